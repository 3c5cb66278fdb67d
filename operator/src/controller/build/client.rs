//! What clients take: a ConfigMap of files to mount, and one of variables for `envFrom`. Two, because a mixed one
//! would inject its files as variables.

use std::collections::BTreeMap;

use crds::Ecosystem;
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
    let mut data = files(kind, &base, plan.ca.as_deref());
    if let Some(ca) = &plan.ca {
        data.insert("ca.crt".to_owned(), ca.clone());
    }
    let map = |suffix, data| {
        let name = format!("{}-{suffix}", plan.name());
        let mut map = child(plan, ChildKind::ConfigMap, name, Component::ClientConfiguration);
        map.object["data"] = json!(data);
        map
    };
    let variables = variables(kind, &base, plan.ca.as_ref().map(|_| CLIENT_CA_PATH));
    vec![map("client", data), map("client-env", variables)]
}

/// The address of the proxy for clients, with its final slash: that of the manifest, else that of the Service.
fn base(plan: &Plan) -> String {
    let service = plan.bases().swap_remove(0);
    let base = plan.settings.external_url.as_ref().map_or(service, ToString::to_string);
    format!("{}/", base.trim_end_matches('/'))
}

/// The files of every client, by the last part of their paths: a key of a ConfigMap has no slash.
fn files(kind: Ecosystem, base: &str, _ca: Option<&str>) -> BTreeMap<String, String> {
    let clients = proxy::ecosystem::of(kind).clients(base);
    let files = clients.into_iter().flat_map(|client| client.files);
    files.map(|(path, text)| (path.rsplit('/').next().unwrap_or(path).to_owned(), text)).collect()
}

/// The variables of every client.
fn variables(kind: Ecosystem, base: &str, ca: Option<&str>) -> BTreeMap<String, String> {
    let clients = proxy::ecosystem::of(kind).clients(base);
    let variables = clients.into_iter().flat_map(|client| client.environment);
    let trust = match kind {
        Ecosystem::Cargo => "CARGO_HTTP_CAINFO",
        Ecosystem::Npm => "NODE_EXTRA_CA_CERTS",
        Ecosystem::Pypi => "PIP_CERT",
    };
    let trust = ca.map(|path| (trust, path.to_owned()));
    variables.chain(trust).map(|(name, value)| (name.to_owned(), value)).collect()
}
