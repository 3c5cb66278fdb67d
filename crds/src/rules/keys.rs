//! Rules over the keys of maps: labels, annotations.

use super::node::Node;
use super::rule::Rule;
use crate::values::has_form;

/// The form of a label's or annotation's key (Kubernetes, "Labels and Selectors").
pub(super) const KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// What the operator writes itself.
const OWN: [&str; 2] = ["app.kubernetes.io/", "packageproxy.dev/"];
/// Longest key: a prefix of 253 characters, a slash and a name of 63.
const LIMIT: usize = 317;

/// [`KEY`] as it stands in a CEL string.
pub(super) fn key_in_cel() -> String {
    KEY.replace('\\', "\\\\")
}

/// Whether a text is a key.
pub(super) fn is_key(text: &str) -> bool {
    text.len() <= LIMIT && has_form(text, KEY)
}

/// The keys of a map of labels or annotations.
pub(super) fn valid(map: &str) -> Rule {
    let name = map.rsplit('.').next().unwrap_or_default();
    Rule::at(
        map,
        format!("`{name}` must have keys such as 'name' or 'prefix.example/name'"),
        format!("self.all(k, size(k) <= {LIMIT} && k.matches('{}'))", key_in_cel()),
        |map| map.keys().all(is_key),
    )
    .remedy("use letters, digits, '-', '_' and '.', after an optional DNS name and '/'")
}

/// The keys of a map that is written onto an object of the operator's.
pub(super) fn foreign(map: &str) -> Rule {
    let name = map.rsplit('.').next().unwrap_or_default();
    Rule::at(
        map,
        format!("`{name}` must not have keys with the prefix '{}' or '{}'", OWN[0], OWN[1]),
        format!("self.all(k, !k.startsWith('{}') && !k.startsWith('{}'))", OWN[0], OWN[1]),
        |map: &Node<'_>| map.keys().all(|key| OWN.iter().all(|own| !key.starts_with(own))),
    )
    .remedy("use a prefix of your own")
}
