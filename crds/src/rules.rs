//! What a schema cannot say, as rules over one document. Each looks only at fields that have the right form, so that
//! all mistakes of a document are found at once, and each message is the one that a CEL rule of the same meaning has.

mod cache;
mod metadata;
mod node;
mod upstream;

use serde_json::Value;

use crate::problem::Problem;
use node::Node;

/// Appends every broken rule of `document`.
pub fn check(document: &Value, problems: &mut Vec<Problem>) {
    let root = Node::root(document);
    metadata::check(&root, problems);
    let spec = root.get("spec");
    upstream::check(&spec, problems);
    cache::check(&spec.get("cache"), problems);
    external_url(&spec.get("externalURL"), problems);
}

fn external_url(at: &Node<'_>, problems: &mut Vec<Problem>) {
    upstream::url(at, problems);
    if at.text().is_some_and(|url| url.ends_with('/')) {
        problems.push(at.problem("`externalURL` must not end in '/'", "remove the slash at the end"));
    }
}
