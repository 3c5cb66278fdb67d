//! Rules over `pod`: what the API server would refuse of the Deployment is refused of the manifest.

use super::keys;
use super::node::Node;
use super::rule::Rule;
use crate::values::Quantity;

/// What a container can be given.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// The rules of a `pod` at this place.
pub(super) fn rules(at: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        ["labels", "annotations", "nodeSelector"].iter().map(|map| keys::valid(&format!("{at}.{map}"))).collect();
    rules.extend(["labels", "annotations"].iter().map(|map| keys::foreign(&format!("{at}.{map}"))));
    for list in ["requests", "limits"] {
        let names = RESOURCES.map(|name| format!("'{name}'")).join(", ");
        rules.push(
            Rule::at(
                format!("{at}.resources.{list}"),
                format!("`{list}` must have no keys but {names}"),
                format!("self.all(k, k in [{names}])"),
                |list| list.keys().all(|key| RESOURCES.contains(&key)),
            )
            .remedy("remove the other keys"),
        );
    }
    rules.push(
        Rule::at(
            format!("{at}.resources"),
            "`requests` must not be larger than `limits`",
            "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || \
             quantity(self.requests[k]).compareTo(quantity(self.limits[k])) <= 0)",
            |resources| {
                let (requests, limits) = (resources.get("requests"), resources.get("limits"));
                requests.keys().all(|key| {
                    let amount = |list: &Node<'_>| list.get(key).parsed::<Quantity>();
                    amount(&requests).zip(amount(&limits)).is_none_or(|(request, limit)| request <= limit)
                })
            },
        )
        .field("requests")
        .remedy("raise the limit or lower the request"),
    );
    rules.extend(tolerations(&format!("{at}.tolerations[]")));
    rules
}

fn tolerations(at: &str) -> [Rule; 3] {
    let exists = |toleration: &Node<'_>| toleration.get("operator").text() == Some("Exists");
    [
        Rule::at(
            at,
            "`operator` must be 'Exists' if `key` is absent",
            "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            move |toleration| toleration.object().is_none() || toleration.get("key").is_set() || exists(toleration),
        )
        .field("operator")
        .remedy("name the key, or use operator: Exists"),
        Rule::at(
            at,
            "`value` must be absent if `operator` is 'Exists'",
            "!has(self.value) || self.value == '' || !has(self.operator) || self.operator != 'Exists'",
            move |toleration| !exists(toleration) || toleration.get("value").text().is_none_or(str::is_empty),
        )
        .field("value")
        .remedy("remove the value, or use operator: Equal"),
        Rule::at(
            at,
            "`tolerationSeconds` must be absent unless `effect` is 'NoExecute'",
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            |toleration| {
                !toleration.get("tolerationSeconds").is_set() || toleration.get("effect").text() == Some("NoExecute")
            },
        )
        .field("tolerationSeconds")
        .remedy("remove it, or use effect: NoExecute"),
    ]
}
