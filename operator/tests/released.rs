//! Manifests of released versions: the verdict stays, and what becomes of them is seen in review when it changes.
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::fs;
use std::path::{Path, PathBuf};

use operator::controller::plan::Site;
use operator::render::render;

/// Set to write the children anew.
const WRITE: &str = "PACKAGEPROXY_WRITE_CHILDREN";

/// The operator as the golden children see it: no value of theirs depends on this build's own version.
fn site() -> Site {
    Site {
        image: "registry.example/packageproxy:released".to_owned(),
        image_pull_policy: "IfNotPresent".to_owned(),
        image_pull_secrets: Vec::new(),
        cluster_domain: "cluster.local".to_owned(),
        operator_namespace: "packageproxy-system".to_owned(),
    }
}

/// The YAML files of a folder of every version, with their texts.
fn manifests(verdict: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let versions = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/released")).unwrap();
    for version in versions.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for entry in fs::read_dir(version.join(verdict)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found.sort();
    found
}

#[test]
fn what_was_accepted_is_accepted_and_becomes_the_same() {
    let mut stale = Vec::new();
    let accepted = manifests("accepted");
    assert!(accepted.len() >= 8, "{}", accepted.len());
    for (path, text) in accepted {
        let children = match render(&text, &site()) {
            Ok(children) => children,
            Err(problems) => panic!("{}: {problems:#?}", path.display()),
        };
        let golden = path.parent().unwrap().with_file_name("children").join(path.file_name().unwrap());
        if std::env::var_os(WRITE).is_some() {
            fs::write(&golden, children).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != children {
            let changed = first_difference(&fs::read_to_string(&golden).unwrap_or_default(), &children);
            stale.push(format!("{}: {changed}", golden.display()));
        }
    }
    assert!(
        stale.is_empty(),
        "another version would make something else of these; if that is meant, run this test with {WRITE}=1 and look at \
         what changed:\n{}",
        stale.join("\n")
    );
}

fn first_difference(before: &str, after: &str) -> String {
    let mut pairs = before.lines().zip(after.lines()).enumerate();
    pairs.find(|(_, (old, new))| old != new).map_or_else(
        || "its length".to_owned(),
        |(line, (old, new))| format!("line {}: '{}' instead of '{}'", line + 1, new.trim(), old.trim()),
    )
}

#[test]
fn what_was_refused_is_refused_because_of_the_same_field() {
    let refused = manifests("refused");
    assert!(refused.len() >= 6, "{}", refused.len());
    for (path, text) in refused {
        let field = text.lines().next().and_then(|line| line.strip_prefix("# refused because of ")).unwrap();
        let problems = render(&text, &site()).err().unwrap_or_default();
        assert!(problems.iter().any(|problem| problem.contains(field)), "{}: {problems:?}", path.display());
        eprintln!("{}: {}", path.display(), problems.join("; "));
    }
}
