//! What a proxy reads of Secrets and trust bundles: each one a directory of the pod, mounted whether it exists or not,
//! so that a missing one is a condition and not a pod that never starts.

use std::collections::{BTreeMap, BTreeSet};

use crds::AuthSettings;
use serde_json::{Value, json};

use super::hash_of;
use crate::controller::plan::Plan;

/// The directory that holds a directory for each name.
pub(super) const DIRECTORY: &str = "/etc/packageproxy/secrets";

/// What is taken of the objects of one name. A Secret and a ConfigMap may share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mount {
    /// The Secret as a whole.
    secret: bool,
    /// Keys of the Secret, if it is not needed as a whole.
    secret_keys: BTreeSet<String>,
    /// Keys of the ConfigMap.
    config_map_keys: BTreeSet<String>,
}

/// Everything that the settings refer to, by name.
pub(super) fn mounts(plan: &Plan) -> BTreeMap<String, Mount> {
    let mut mounts: BTreeMap<String, Mount> = BTreeMap::new();
    let upstream = &plan.settings.upstream;
    let auths = std::iter::once(&upstream.auth).chain(upstream.fallbacks.iter().map(|fallback| &fallback.auth));
    let secrets = auths.flatten().map(|AuthSettings { secret, .. }| secret);
    for secret in secrets.chain(plan.workload.tls.as_ref().map(|tls| &tls.secret)) {
        mounts.entry(secret.clone()).or_default().secret = true;
    }
    for trust in trusts(&plan.manifest["spec"]["upstream"]) {
        for (kind, is_secret) in [("secretRef", true), ("configMapRef", false)] {
            let (Some(name), Some(key)) = (trust[kind]["name"].as_str(), trust[kind]["key"].as_str()) else { continue };
            let mount = mounts.entry(name.to_owned()).or_default();
            let keys = if is_secret { &mut mount.secret_keys } else { &mut mount.config_map_keys };
            keys.insert(key.to_owned());
        }
    }
    mounts
}

/// How a person finds the object that a proxy calls by this name.
pub(super) fn object(plan: &Plan, name: &str) -> String {
    let is_config_map = mounts(plan).get(name).is_some_and(|mount| !mount.secret && mount.secret_keys.is_empty());
    format!("{} '{name}'", if is_config_map { "ConfigMap" } else { "Secret" })
}

/// The trust bundles of the upstream and its fallbacks. Settings do not tell Secrets from ConfigMaps, since the data
/// plane reads both in the same way.
fn trusts(upstream: &Value) -> impl Iterator<Item = &Value> {
    let fallbacks = upstream["fallbacks"].as_array().into_iter().flatten();
    std::iter::once(upstream).chain(fallbacks).map(|origin| &origin["trust"])
}

/// A volume for a name. Projected, so that a Secret and a ConfigMap of one name fit in, and read again by the kubelet.
pub(super) fn volume(name: &str, mount: &Mount) -> Value {
    let items = |keys: &BTreeSet<String>| keys.iter().map(|key| json!({"key": key, "path": key})).collect::<Vec<_>>();
    let mut sources = Vec::new();
    if mount.secret {
        sources.push(json!({"secret": {"name": name, "optional": true}}));
    } else if !mount.secret_keys.is_empty() {
        sources.push(json!({"secret": {"name": name, "optional": true, "items": items(&mount.secret_keys)}}));
    }
    if !mount.config_map_keys.is_empty() {
        sources.push(json!({"configMap": {"name": name, "optional": true, "items": items(&mount.config_map_keys)}}));
    }
    json!({"name": volume_name(name), "projected": {"sources": sources}})
}

/// Where it is seen.
pub(super) fn volume_mount(name: &str) -> Value {
    json!({"name": volume_name(name), "mountPath": format!("{DIRECTORY}/{name}"), "readOnly": true})
}

/// A Secret's name may be too long for a volume, and have dots. Independent of what else is mounted: a position in a
/// list would replace pods for nothing.
fn volume_name(name: &str) -> String {
    format!("secret-{}", hash_of(name, 8))
}
