//! The HTML form of a project's page (PEP 503): always written anew from what was understood, so that no markup of an
//! upstream reaches a client.

use std::fmt::Write as _;

use super::name::{is_distribution, is_file};
use super::page::{File, Hashes, Page, check_version, last_segment, link, provenance, resolve};
use super::scan::{self, Anchor};
use crate::intent::{Raw, Unexpected};

/// The longest base of links in bytes: every file's address begins with it.
const LONGEST_BASE: usize = 4 << 10;

/// Reads a project's page; `each` gets its files.
pub(super) fn parse(raw: Raw<'_>, each: &mut dyn FnMut(File)) -> Result<Page, Unexpected> {
    let base = scan::base(raw.bytes)?;
    if base.as_ref().is_some_and(|href| href.len() > LONGEST_BASE) {
        return Err(Unexpected(format!("the base of the document's links is longer than {LONGEST_BASE} bytes")));
    }
    let base = base.and_then(|href| resolve(&href, raw.url)).unwrap_or_else(|| raw.url.clone());
    let mut has_files = false;
    let outline = scan::scan(raw.bytes, &mut |anchor| {
        if let Some(file) = file(anchor, &base) {
            has_files = true;
            each(file);
        }
    })?;
    if !has_files && !outline.is_index() {
        return Err(Unexpected("the document is no page of a package index".to_owned()));
    }
    let mut page = Page { api_version: "1.0".to_owned(), notes: Vec::new() };
    for (name, value) in outline.notes {
        if name == "repository-version" {
            check_version(&value)?;
            page.api_version = value;
        } else {
            page.notes.push((name, value));
        }
    }
    Ok(page)
}

/// The file that an anchor links to.
fn file(anchor: &Anchor, base: &url::Url) -> Option<File> {
    let mut url = anchor.attribute("href").and_then(|href| resolve(href, base))?;
    let name = last_segment(&url);
    if !is_file(&name) || !is_distribution(&name) {
        return None;
    }
    let hashes = fragment_hashes(url.fragment().unwrap_or_default());
    url.set_fragment(None);
    let attribute = |name| anchor.attribute(name).map(str::to_owned);
    let metadata = anchor.attribute("data-core-metadata").or_else(|| anchor.attribute("data-dist-info-metadata"));
    Some(File {
        name,
        url: url.into(),
        hashes,
        requires_python: attribute("data-requires-python"),
        yanked: attribute("data-yanked"),
        core_metadata: metadata.and_then(advertised),
        gpg_sig: anchor.attribute("data-gpg-sig").and_then(|value| value.parse().ok()),
        provenance: attribute("data-provenance").filter(|value| !value.is_empty()),
        size: None,
    })
}

/// `true`, or the digest of the metadata.
fn advertised(value: &str) -> Option<Hashes> {
    let hashes = fragment_hashes(value);
    (value.is_empty() || value == "true" || !hashes.is_empty()).then_some(hashes)
}

/// Whether a digest is one that clients may meet in a link.
fn is_hash(name: &str, hex: &str) -> bool {
    matches!(name, "md5" | "sha1" | "sha224" | "sha256" | "sha384" | "sha512" | "blake2b" | "blake2s")
        && !hex.is_empty()
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The digests in `name=hex`, several separated by `&`.
fn fragment_hashes(text: &str) -> Hashes {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, hex)| is_hash(name, hex)).map(|(name, hex)| (name.to_owned(), hex.to_owned())).collect()
}

/// Writes the line of one file.
pub(super) fn write_file(body: &mut String, file: &File, raw: Raw<'_>, base: &str) {
    body.push_str("    <a");
    let fragment = preferred(&file.hashes).map_or(String::new(), |hash| format!("#{hash}"));
    push_attribute(body, "href", &format!("{}{fragment}", link(&raw.key.package, &file.name)));
    if let Some(range) = &file.requires_python {
        push_attribute(body, "data-requires-python", range);
    }
    if let Some(hashes) = &file.core_metadata {
        let value = preferred(hashes).unwrap_or_else(|| "true".to_owned());
        push_attribute(body, "data-dist-info-metadata", &value);
        push_attribute(body, "data-core-metadata", &value);
    }
    if let Some(signed) = file.gpg_sig {
        push_attribute(body, "data-gpg-sig", if signed { "true" } else { "false" });
    }
    if let Some(reason) = &file.yanked {
        push_attribute(body, "data-yanked", reason);
    }
    if let Some(address) = provenance(file, raw, base) {
        push_attribute(body, "data-provenance", &address);
    }
    let _ = writeln!(body, ">{}</a><br>", escaped(&file.name));
}

/// A project's page around the lines of its files.
pub(super) fn page(page: &Page, project: &str, body: &str) -> String {
    document(&format!("Links for {project}"), &page.api_version, &page.notes, body)
}

/// A whole document of the index.
pub(super) fn document(title: &str, api_version: &str, notes: &[(String, String)], body: &str) -> String {
    let mut head = String::new();
    let version = ("repository-version".to_owned(), api_version.to_owned());
    for (name, value) in std::iter::once(&version).chain(notes) {
        head.push_str("    <meta");
        push_attribute(&mut head, "name", &format!("pypi:{name}"));
        push_attribute(&mut head, "content", value);
        head.push_str(">\n");
    }
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html>\n  <head>\n{head}    <title>{title}</title>\n  </head>\n  <body>\n    <h1>{title}</h1>\n{body}  </body>\n</html>\n"
    )
}

/// The digest that a link can hold one of: SHA-256, which every client knows, else what comes first.
fn preferred(hashes: &Hashes) -> Option<String> {
    let mut usable = hashes.iter().filter(|(name, hex)| is_hash(name, hex));
    let (name, hex) = usable.clone().find(|(name, _)| name == "sha256").or_else(|| usable.next())?;
    Some(format!("{name}={hex}"))
}

fn push_attribute(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, " {name}=\"{}\"", escaped(value));
}

/// Text as it may stand in an element or a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
