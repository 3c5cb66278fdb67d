//! What a schema cannot say, as rules over one document. Each rule is written twice, side by side: as a predicate for
//! the programs here, and as a CEL expression for the API server. Place, field and message are common to both.

mod base;
mod cache;
mod change;
mod class;
mod keys;
mod metadata;
mod node;
mod pod;
mod rule;
mod service;
mod upstream;

use std::sync::LazyLock;

use serde_json::Value;

use crate::problem::Problem;
use node::Node;
pub use rule::Rule;

/// The rules of a `PackageProxy`.
pub fn of_proxy() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let mut rules = metadata::rules();
        rules.extend(upstream::rules("spec.upstream"));
        rules.extend(upstream::rules_with_ecosystem());
        rules.extend(base::rules());
        rules.extend(upstream::address("spec.externalURL", "externalURL"));
        rules.push(
            Rule::at("spec.externalURL", "`externalURL` must not end in '/'", "!self.endsWith('/')", |url| {
                url.text().is_none_or(|url| !url.ends_with('/'))
            })
            .remedy("remove the slash at the end"),
        );
        rules.extend(cache::rules("spec.cache"));
        rules.push(cache::one_replica_with_a_claim());
        rules.extend(service::rules("spec"));
        rules.push(service::one_directory());
        rules.extend(pod::rules("spec.pod"));
        rules.extend(change::rules());
        rules
    });
    &RULES
}

/// The rules of a `PackageProxyClass`.
pub fn of_class() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let mut rules = class::rules();
        rules.extend(upstream::rules("spec.defaults.upstream"));
        rules.extend(cache::rules("spec.defaults.cache"));
        rules.extend(service::rules("spec.defaults"));
        rules.extend(pod::rules("spec.defaults.pod"));
        rules
    });
    &RULES
}

/// Appends every broken rule of a `PackageProxy`.
pub fn check(document: &Value, problems: &mut Vec<Problem>) {
    metadata::check(&Node::root(document), problems);
    broken(of_proxy(), document, problems);
}

/// Appends every broken rule of a `PackageProxyClass`.
pub fn check_class(document: &Value, problems: &mut Vec<Problem>) {
    metadata::check_version(&Node::root(document), problems);
    broken(of_class(), document, problems);
}

/// A place that is already known to be wrong is not reported a second time.
fn broken(rules: &[Rule], document: &Value, problems: &mut Vec<Problem>) {
    let root = Node::root(document);
    for rule in rules {
        for problem in rule.broken(&root) {
            if problems.iter().all(|known| known.path != problem.path) {
                problems.push(problem);
            }
        }
    }
}
