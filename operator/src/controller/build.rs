//! From a [`Plan`] to the objects that a proxy is made of: pure and deterministic, one file a child.
//!
//! Each object is the whole intent of a server-side apply: only fields that the operator means to own, and quantities
//! in the form in which the API server keeps them, so that what is asked for can be compared with what is there.

mod account;
mod budget;
mod claim;
mod client;
mod deployment;
mod manifest;
mod network;
mod quantity;
mod secrets;
mod service;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use quantity::canonical;

use super::plan::Plan;
use crate::kinds::ChildKind;

/// The port of the registry protocols in the pods.
pub const DATA_PORT: u16 = 8080;
/// The port of health, metrics and status in the pods.
pub const ADMIN_PORT: u16 = 8081;
/// The annotation of a Deployment that holds [`template_hash`].
pub const TEMPLATE_HASH: &str = "packageproxy.dev/template-hash";
/// The label that names the owner, on children and on a Namespace.
pub const OWNER_LABEL: &str = "packageproxy.dev/owner";
/// Where a client pod mounts the certificate authority that its variables name.
pub const CLIENT_CA_PATH: &str = "/etc/packageproxy/ca.crt";

/// One object to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// All of it.
    pub object: Value,
}

/// Every object of a proxy in the order of application.
pub fn build(plan: &Plan) -> Vec<Child> {
    let children = |kind| match kind {
        ChildKind::ServiceAccount => account::build(plan).into_iter().collect(),
        ChildKind::ConfigMap => [vec![manifest::build(plan)], client::build(plan)].concat(),
        ChildKind::Service => vec![service::build(plan)],
        ChildKind::PersistentVolumeClaim => claim::build(plan).into_iter().collect(),
        ChildKind::NetworkPolicy => network::build(plan).into_iter().collect(),
        ChildKind::PodDisruptionBudget => budget::build(plan).into_iter().collect(),
        ChildKind::Deployment => vec![deployment::build(plan)],
    };
    ChildKind::ALL.into_iter().flat_map(children).collect()
}

/// Identifies the pod template of a Deployment: pods are replaced exactly when it changes.
pub fn template_hash(deployment: &Child) -> String {
    hash_of(&deployment.object["spec"]["template"].to_string(), 16)
}

/// The labels by which a proxy's pods are found. They never change, as a Deployment's selector cannot.
pub fn selector(plan: &Plan) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name", "packageproxy".to_owned()),
        ("app.kubernetes.io/instance", plan.name().to_owned()),
    ])
}

/// Whether the proxy reads any Secret or trust bundle.
pub fn reads_secrets(plan: &Plan) -> bool {
    !secrets::mounts(plan).is_empty()
}

/// SHA-256 of the file that the data plane reads, in hexadecimal digits: what a proxy says of the one in force.
pub fn manifest_sha256(plan: &Plan) -> String {
    hash_of(&manifest::text(plan), 32)
}

/// A Secret or trust bundle that the proxy reads, as `Secret 'name'` or `ConfigMap 'name'`.
pub fn secret_object(plan: &Plan, name: &str) -> String {
    secrets::object(plan, name)
}

/// What an object is for: the value of `app.kubernetes.io/component`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Component {
    Proxy,
    ClientConfiguration,
}

/// The beginning of the SHA-256 of a text, in hexadecimal digits.
pub(super) fn hash_of(text: &str, bytes: usize) -> String {
    Sha256::digest(text).iter().take(bytes).fold(String::new(), |mut digits, byte| {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// The labels of every child.
fn labels(plan: &Plan, component: Component) -> BTreeMap<String, String> {
    let component = match component {
        Component::Proxy => "proxy",
        Component::ClientConfiguration => "client-configuration",
    };
    let own = [
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/managed-by", "packageproxy-operator"),
        (OWNER_LABEL, &plan.settings.owner),
        ("packageproxy.dev/ecosystem", plan.settings.ecosystem.name()),
    ];
    let own = own.into_iter().map(|(key, value)| (key, value.to_owned()));
    selector(plan).into_iter().chain(own).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A child that the garbage collector removes with its `PackageProxy`.
fn child(plan: &Plan, kind: ChildKind, name: String, component: Component) -> Child {
    let mut child = unowned_child(plan, kind, name, component);
    child.object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": crds::API_VERSION,
        "kind": crds::KIND,
        "name": plan.name(),
        "uid": plan.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    child
}

/// A child that stays when its `PackageProxy` is deleted.
fn unowned_child(plan: &Plan, kind: ChildKind, name: String, component: Component) -> Child {
    let object = json!({
        "apiVersion": kind.resource().api_version,
        "kind": kind.kind(),
        "metadata": {"name": name, "namespace": plan.namespace, "labels": labels(plan, component)},
    });
    Child { kind, name, object }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
