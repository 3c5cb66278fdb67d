//! Rules over `apiVersion` and `metadata`.

use regex_lite::Regex;

use super::node::Node;
use crate::manifest::API_VERSION;
use crate::problem::Problem;

/// Longest name: leaves room for the suffixes of child objects, whose names have at most 63 characters.
const NAME_LIMIT: usize = 40;

pub(super) fn check(root: &Node<'_>, problems: &mut Vec<Problem>) {
    let version = root.get("apiVersion");
    if version.text().is_some_and(|text| text != API_VERSION) {
        let message = format!("`apiVersion` must be '{API_VERSION}'");
        problems.push(version.problem(message, format!("write apiVersion: {API_VERSION}")));
    }
    let name = root.get("metadata").get("name");
    if let Some(text) = name.text() {
        if !matches(text, r"^[a-z]([-a-z0-9]*[a-z0-9])?$") {
            let message = "`metadata.name` must be lower-case letters, digits and '-', with a letter first";
            problems.push(name.problem(message, "choose a name such as 'npm' or 'debian-security'"));
        } else if text.len() > NAME_LIMIT {
            let message = format!("`metadata.name` must have at most {NAME_LIMIT} characters");
            problems.push(name.problem(message, "choose a shorter name"));
        } else if text == "v2" {
            let message = "`metadata.name` must not be 'v2', which container clients ask for at the root";
            problems.push(name.problem(message, "choose another name"));
        }
    }
    let namespace = root.get("metadata").get("namespace");
    let label = |text: &str| text.len() <= 63 && matches(text, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$");
    if namespace.text().is_some_and(|text| !label(text)) {
        let message = "`metadata.namespace` must be an RFC 1123 label of at most 63 characters";
        problems.push(namespace.problem(message, "use lower-case letters, digits and '-'"));
    }
}

fn matches(text: &str, pattern: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}
