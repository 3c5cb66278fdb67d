//! The Service. Addresses, node ports and families are the cluster's business and are left alone.

use serde_json::json;

use super::{Child, Component, child, selector};
use crate::controller::plan::Plan;
use crate::kinds::ChildKind;

pub(super) fn build(plan: &Plan) -> Child {
    let wanted = &plan.workload.service;
    let scheme = plan.workload.scheme();
    let mut service = child(plan, ChildKind::Service, plan.name().to_owned(), Component::Proxy);
    if !wanted.annotations.is_empty() {
        service.object["metadata"]["annotations"] = json!(wanted.annotations);
    }
    service.object["spec"] = json!({
        "type": wanted.kind.name(),
        "selector": selector(plan),
        // The protocol is part of the key by which the API server merges ports.
        "ports": [{
            "name": scheme,
            "appProtocol": scheme,
            "port": wanted.port,
            "protocol": "TCP",
            "targetPort": "data",
        }],
    });
    if let Some(policy) = wanted.ip_family_policy {
        service.object["spec"]["ipFamilyPolicy"] = json!(policy.name());
    }
    if plan.workload.replicas > 1 {
        // Each pod has a cache of its own: a client that stays with one sees metadata go forward only.
        service.object["spec"]["sessionAffinity"] = json!("ClientIP");
    }
    service
}
