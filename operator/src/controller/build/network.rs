//! The NetworkPolicy: who may reach the pods, and with `Strict` what the pods may reach.

use std::collections::BTreeSet;

use crds::spec::{ConsumersSpec, LabelSelector, NetworkPolicyMode};
use crds::values::Cidr;
use serde_json::{Value, json};
use url::Url;

use super::{ADMIN_PORT, Child, Component, DATA_PORT, child, selector};
use crate::controller::plan::Plan;
use crate::kinds::ChildKind;

/// The labels of the operator's own pods, which ask the admin ports.
const OPERATOR: &str = "packageproxy-operator";

/// None if the manifest does not want one.
pub(super) fn build(plan: &Plan) -> Option<Child> {
    let strict = match plan.workload.network_policy {
        NetworkPolicyMode::Disabled => return None,
        NetworkPolicyMode::Ingress => false,
        NetworkPolicyMode::Strict => true,
    };
    let mut policy = child(plan, ChildKind::NetworkPolicy, plan.name().to_owned(), Component::Proxy);
    policy.object["spec"] = json!({
        "podSelector": {"matchLabels": selector(plan)},
        "policyTypes": if strict { vec!["Ingress", "Egress"] } else { vec!["Ingress"] },
        "ingress": [
            {"from": consumers(plan), "ports": [tcp(DATA_PORT)]},
            {"from": observers(plan), "ports": [tcp(ADMIN_PORT)]},
        ],
    });
    if strict {
        policy.object["spec"]["egress"] = egress(plan);
    }
    Some(policy)
}

/// The pods of the proxy's own namespace, those of the namespaces that the manifest selects, and the networks that it
/// names.
fn consumers(plan: &Plan) -> Vec<Value> {
    let own = json!({"podSelector": {}});
    let ConsumersSpec { namespace_selector, cidrs } = &plan.workload.consumers;
    // The API server may refuse a network with bits of a host.
    let networks = cidrs.iter().map(|Cidr(network)| json!({"ipBlock": {"cidr": network.trunc().to_string()}}));
    std::iter::once(own).chain(namespace_selector.as_ref().map(namespaces)).chain(networks).collect()
}

/// The operator, and monitoring.
fn observers(plan: &Plan) -> Vec<Value> {
    let operator = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": plan.site.operator_namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": OPERATOR}},
    });
    std::iter::once(operator).chain(plan.workload.monitoring.as_ref().map(namespaces)).collect()
}

fn namespaces(selector: &LabelSelector) -> Value {
    json!({"namespaceSelector": selector})
}

/// Names are resolved anywhere, and the ports of the registries are reachable anywhere: a policy knows no host names.
fn egress(plan: &Plan) -> Value {
    let upstream = &plan.settings.upstream;
    let urls = std::iter::once(&upstream.url)
        .chain(upstream.fallbacks.iter().map(|fallback| &fallback.url))
        .chain(&upstream.proxy_url);
    let ports: BTreeSet<u16> = urls.filter_map(Url::port_or_known_default).collect();
    let names = json!({"ports": [{"protocol": "UDP", "port": 53}, tcp(53)]});
    // A rule without ports would be one for all of them.
    let registries = (!ports.is_empty()).then(|| json!({"ports": ports.into_iter().map(tcp).collect::<Vec<_>>()}));
    std::iter::once(names).chain(registries).collect()
}

fn tcp(port: u16) -> Value {
    json!({"protocol": "TCP", "port": port})
}
