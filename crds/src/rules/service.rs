//! Rules over what stands before the pods: the Service, TLS, the consumers.

use super::keys;
use super::node::Node;
use super::rule::Rule;
use super::upstream;

/// The rules of `service` and `consumers` below this place.
pub(super) fn rules(at: &str) -> Vec<Rule> {
    let annotations = format!("{at}.service.annotations");
    let mut rules = vec![keys::valid(&annotations), keys::foreign(&annotations)];
    rules.extend(selector(&format!("{at}.consumers.namespaceSelector")));
    rules.push(upstream::networks(&format!("{at}.consumers"), "cidrs"));
    rules
}

/// The rules of a label selector at this place: those of `metav1.LabelSelector`, which the API server applies to its
/// own types only.
pub(super) fn selector(at: &str) -> Vec<Rule> {
    let requirement = format!("{at}.matchExpressions[]");
    let takes_values = |node: &Node<'_>| matches!(node.get("operator").text(), Some("In" | "NotIn"));
    let has_values = |node: &Node<'_>| !node.get("values").items().is_empty();
    vec![
        keys::valid(&format!("{at}.matchLabels")),
        Rule::at(
            format!("{requirement}.key"),
            "`key` must be a label such as 'name' or 'prefix.example/name'",
            format!("self.matches('{}')", keys::key_in_cel()),
            |key| key.text().is_none_or(keys::is_key),
        )
        .remedy("name a label"),
        Rule::at(
            requirement.clone(),
            "`values` must not be empty if `operator` is 'In' or 'NotIn'",
            "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            move |node| !takes_values(node) || has_values(node),
        )
        .field("values")
        .remedy("add the values, or use the operator Exists or DoesNotExist"),
        Rule::at(
            requirement,
            "`values` must be empty if `operator` is 'Exists' or 'DoesNotExist'",
            "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
            move |node| takes_values(node) || !has_values(node),
        )
        .field("values")
        .remedy("remove the values, or use the operator In or NotIn"),
    ]
}

/// Secrets and ConfigMaps that a proxy reads are mounted side by side, each in a directory of its name.
pub(super) fn one_directory() -> Rule {
    Rule::at(
        "spec",
        "`upstream` must not refer to a ConfigMap and a Secret of the same name: they share one directory in the pod",
        one_directory_in_cel(),
        |spec| {
            let names = |places: &[&str]| -> Vec<String> {
                let nodes = places.iter().flat_map(|place| spec.find(place));
                nodes.filter_map(|node| node.text().map(str::to_owned)).collect()
            };
            let maps = names(&["upstream.trust.configMapRef.name", "upstream.fallbacks[].trust.configMapRef.name"]);
            let secrets = names(&[
                "upstream.auth.secretRef.name",
                "upstream.trust.secretRef.name",
                "tls.secretRef.name",
                "upstream.fallbacks[].auth.secretRef.name",
                "upstream.fallbacks[].trust.secretRef.name",
            ]);
            maps.iter().all(|map| !secrets.contains(map))
        },
    )
    .field("upstream")
    .remedy("give one of the two another name")
}

fn one_directory_in_cel() -> String {
    let differs = |map: &str, origin: &str| {
        format!(
            "(!has({origin}.auth) || {origin}.auth.secretRef.name != {map}) && (!has({origin}.trust) || \
             !has({origin}.trust.secretRef) || {origin}.trust.secretRef.name != {map})"
        )
    };
    let own_name = |origin: &str| {
        let map = format!("{origin}.trust.configMapRef.name");
        format!(
            "!has({origin}.trust) || !has({origin}.trust.configMapRef) || ((!has(self.tls) || \
             self.tls.secretRef.name != {map}) && {} && (!has(self.upstream.fallbacks) || \
             self.upstream.fallbacks.all(g, {})))",
            differs(&map, "self.upstream"),
            differs(&map, "g")
        )
    };
    format!(
        "!has(self.upstream) || (({}) && (!has(self.upstream.fallbacks) || self.upstream.fallbacks.all(f, {})))",
        own_name("self.upstream"),
        own_name("f")
    )
}
