//! Rules over `apiVersion` and `metadata`.

use super::node::Node;
use super::rule::Rule;
use crate::manifest::API_VERSION;
use crate::problem::Problem;
use crate::values::has_form;

/// A letter first: Services refuse other names.
const NAME: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";
/// Longest name: leaves room for the suffixes of child objects, whose names have at most 63 characters.
const NAME_LIMIT: usize = 40;

/// The rules of the name. The API server knows of `metadata` only that it is an object, so it blames the document.
pub(super) fn rules() -> Vec<Rule> {
    let name = |node: &Node<'_>| node.get("metadata").get("name").text().unwrap_or("npm").to_owned();
    vec![
        Rule::at(
            "",
            "`metadata.name` must be lower-case letters, digits and '-', with a letter first",
            format!("self.metadata.name.matches('{NAME}')"),
            move |node| has_form(&name(node), NAME),
        )
        .remedy("choose a name such as 'npm' or 'debian-security'"),
        Rule::at(
            "",
            format!("`metadata.name` must have at most {NAME_LIMIT} characters"),
            format!("size(self.metadata.name) <= {NAME_LIMIT}"),
            move |node| name(node).len() <= NAME_LIMIT,
        )
        .remedy("choose a shorter name"),
        Rule::at(
            "",
            "`metadata.name` must not be 'v2', which container clients ask for at the root",
            "self.metadata.name != 'v2'",
            move |node| name(node) != "v2",
        )
        .remedy("choose another name"),
    ]
    .into_iter()
    .map(|rule| rule.field("metadata.name"))
    .collect()
}

/// What an API server sees to without a rule: that the version is known and that the namespace can exist.
pub(super) fn check(root: &Node<'_>, problems: &mut Vec<Problem>) {
    check_version(root, problems);
    let namespace = root.get("metadata").get("namespace");
    let label = |text: &str| text.len() <= 63 && has_form(text, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$");
    if namespace.text().is_some_and(|text| !label(text)) {
        let message = "`metadata.namespace` must be an RFC 1123 label of at most 63 characters";
        problems.push(namespace.problem(message, "use lower-case letters, digits and '-'"));
    }
}

pub(super) fn check_version(root: &Node<'_>, problems: &mut Vec<Problem>) {
    let version = root.get("apiVersion");
    if version.text().is_some_and(|text| text != API_VERSION) {
        let message = format!("`apiVersion` must be '{API_VERSION}'");
        problems.push(version.problem(message, format!("write apiVersion: {API_VERSION}")));
    }
}
