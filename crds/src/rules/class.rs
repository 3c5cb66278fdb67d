//! Rules over what only a class has.

use super::rule::Rule;
use super::{base, service, upstream};
use crate::Ecosystem;
use crate::values::HttpUrl;

/// The rules of a class besides those of its `defaults`.
pub(super) fn rules() -> Vec<Rule> {
    let mut rules = vec![
        Rule::at(
            "spec.upstreams",
            "`upstreams` must be http(s) addresses without user info, query and fragment",
            format!("self.all(k, {})", upstream::address_in_cel("self[k]")),
            |upstreams| upstreams.values().all(|url| url.text().is_none_or(|url| url.parse::<HttpUrl>().is_ok())),
        )
        .remedy("write addresses such as 'https://registry.example/path/'"),
    ];
    rules.extend(base::rules_of_class());
    let names = Ecosystem::ALL.iter().map(|ecosystem| format!("'{ecosystem}'")).collect::<Vec<_>>().join(", ");
    rules.push(
        Rule::at(
            "spec.upstreams",
            format!("`upstreams` must have no keys but {names}"),
            format!("self.all(k, k in [{names}])"),
            |upstreams| upstreams.keys().all(|key| Ecosystem::ALL.iter().any(|known| known.name() == key)),
        )
        .remedy("use the names of ecosystems"),
    );
    for field in ["url", "fallbacks"] {
        rules.push(
            Rule::at(
                "spec.defaults.upstream",
                format!("`{field}` must be absent in `defaults.upstream`: registries belong into `upstreams`"),
                format!("!has(self.{field})"),
                move |upstream| !upstream.get(field).is_set(),
            )
            .field(field)
            .remedy("name the registry of each ecosystem in `spec.upstreams`"),
        );
    }
    rules.push(Rule::size("spec.limits.maxStorage", "1Mi", "4Pi"));
    rules.extend(service::selector("spec.monitoringNamespaceSelector"));
    rules
}
