//! What clients take: a ConfigMap of files to mount, and one of variables for `envFrom`. Two, because a mixed one
//! would inject its files as variables.

use proxy::client;
use serde_json::json;

use super::{CLIENT_CA_PATH, Child, Component, child};
use crate::controller::plan::Plan;
use crate::kinds::ChildKind;

/// Both ConfigMaps, or none if they are disabled.
pub(super) fn build(plan: &Plan) -> Vec<Child> {
    if !plan.workload.client_config {
        return Vec::new();
    }
    let base = base(plan);
    let kind = plan.settings.ecosystem;
    let authority = plan.ca.as_ref().map(|_| CLIENT_CA_PATH);
    let namespace = plan.settings.upstream.namespace();
    let mut data = client::files(kind, &base, authority, &namespace);
    if let Some(ca) = &plan.ca {
        data.insert("ca.crt".to_owned(), ca.clone());
    }
    let map = |suffix, data| {
        let name = format!("{}-{suffix}", plan.name());
        let mut map = child(plan, ChildKind::ConfigMap, name, Component::ClientConfiguration);
        map.object["data"] = json!(data);
        map
    };
    vec![map("client", data), map("client-env", client::variables(kind, &base, authority, &namespace))]
}

/// The address of the proxy for clients: that of the manifest, else that of the Service.
fn base(plan: &Plan) -> String {
    let service = plan.bases().swap_remove(0);
    plan.settings.external_url.as_ref().map_or(service, ToString::to_string)
}
