//! What was found as manifests: YAML with a comment for each address that says where it was read.

use std::fmt::Write as _;

use super::{Discovery, Found, NotFound};

/// One document for each registry that was found, and a comment for each that was not.
pub fn manifests(discoveries: &[Discovery]) -> String {
    let mut text = String::from(
        "# Each document is one proxy, served at /<metadata.name>/. Run them with: packageproxy serve -f FILE\n",
    );
    for discovery in discoveries {
        match discovery {
            Discovery::Found(found) => document(&mut text, found),
            Discovery::NotFound(missing) => comment(&mut text, missing),
        }
    }
    text
}

fn document(text: &mut String, found: &Found) {
    // `url` serialises without characters that end a line, a comment begins only after a blank: quoting suffices.
    let url = serde_json::Value::from(found.url.as_str());
    let _ = write!(
        text,
        "---\napiVersion: {}\nkind: {}\nmetadata:\n  name: {}\nspec:\n  ecosystem: {}\n  upstream:\n",
        crds::API_VERSION,
        crds::KIND,
        found.name,
        found.ecosystem,
    );
    line(text, "    ", &format!("read from: {}", found.read_from));
    for note in &found.notes {
        line(text, "    ", note);
    }
    let _ = writeln!(text, "    url: {url}");
    if let Some(namespace) = &found.namespace {
        let _ = writeln!(text, "    namespace: {}", serde_json::Value::from(namespace.as_str()));
    }
    if let Some(database) = &found.checksum_database {
        let _ = writeln!(text, "    checksumDatabase: {}", serde_json::Value::from(database.as_str()));
    }
    for (index, (url, when)) in found.fallbacks.iter().enumerate() {
        let head = if index == 0 { "    fallbacks:\n" } else { "" };
        let _ = writeln!(text, "{head}      - url: {}\n        when: {when:?}", serde_json::Value::from(url.as_str()));
    }
}

fn comment(text: &mut String, missing: &NotFound) {
    text.push_str("---\n");
    line(text, "", &format!("{}: no registry was found; {}", missing.ecosystem, missing.remedy));
    for note in &missing.notes {
        line(text, "", note);
    }
}

/// One comment on one line, whatever a file name holds.
fn line(text: &mut String, indent: &str, comment: &str) {
    let comment: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(text, "{indent}# {comment}");
}
