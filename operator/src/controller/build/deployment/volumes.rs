//! The volumes of a pod: the manifest, what it refers to, and the cache.

use crds::workload::Storage;
use serde_json::{Value, json};

use crate::controller::build::{claim, manifest, quantity, secrets};
use crate::controller::plan::Plan;

/// Where the manifest is.
pub(super) const MANIFEST_DIRECTORY: &str = "/etc/packageproxy/manifest";
/// Where the cache is.
pub(super) const CACHE_DIRECTORY: &str = "/var/cache/packageproxy";

pub(super) fn volumes(plan: &Plan) -> Vec<Value> {
    let manifest = json!({"name": "manifest", "configMap": {"name": manifest::name(plan)}});
    let secrets = secrets::mounts(plan).into_iter().map(|(name, mount)| secrets::volume(&name, &mount));
    [manifest, cache(plan)].into_iter().chain(secrets).collect()
}

pub(super) fn mounts(plan: &Plan) -> Vec<Value> {
    let manifest = json!({"name": "manifest", "mountPath": MANIFEST_DIRECTORY, "readOnly": true});
    let cache = json!({"name": cache(plan)["name"], "mountPath": CACHE_DIRECTORY});
    let secrets = secrets::mounts(plan).into_keys().map(|name| secrets::volume_mount(&name));
    [manifest, cache].into_iter().chain(secrets).collect()
}

/// The volume of the cache. Its name says its kind: under one name the API server would merge the two kinds into a
/// volume that has both, and refuse it.
fn cache(plan: &Plan) -> Value {
    match (&plan.workload.storage, claim::name(plan)) {
        (Storage::Ephemeral { size_limit }, _) => {
            json!({"name": "cache-ephemeral", "emptyDir": {"sizeLimit": quantity::bytes(*size_limit)}})
        }
        (_, name) => json!({"name": "cache-claim", "persistentVolumeClaim": {"claimName": name}}),
    }
}

/// Whether the cache ends with the pod: then nothing needs to be forced to the disk.
pub(super) const fn is_ephemeral(plan: &Plan) -> bool {
    matches!(plan.workload.storage, Storage::Ephemeral { .. })
}
