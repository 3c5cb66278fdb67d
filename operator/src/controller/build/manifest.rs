//! The ConfigMap that the data plane reads, and reads again whenever it changes.

use crds::workload::Storage;
use serde_json::{Value, json};

use super::{Child, Component, child, claim};
use crate::controller::plan::Plan;
use crate::kinds::ChildKind;

/// The key, and with it the name of the file.
pub(super) const KEY: &str = "manifest.json";

pub(super) fn build(plan: &Plan) -> Child {
    let mut map = child(plan, ChildKind::ConfigMap, name(plan), Component::Proxy);
    map.object["data"] = json!({ KEY: text(plan) });
    map
}

/// What the file holds.
pub(super) fn text(plan: &Plan) -> String {
    format!("{:#}\n", sized(plan))
}

/// Its name.
pub(super) fn name(plan: &Plan) -> String {
    format!("{}-manifest", plan.name())
}

/// The manifest with the size of the cache, which follows from the volume where nothing is said. It is said here and not
/// by a flag, so that a claim can grow without new pods.
fn sized(plan: &Plan) -> Value {
    let mut manifest = plan.manifest.clone();
    if let Some(bytes) = max_size(plan)
        && manifest["spec"]["cache"]["maxSize"].is_null()
    {
        manifest["spec"]["cache"]["maxSize"] = json!(bytes.to_string());
    }
    manifest
}

/// Bytes that the cache may fill: nine tenths of its volume, since the kubelet evicts a pod whose emptyDir is over its
/// limit, and a full file system serves nobody. `None` if nobody knows how large the volume is.
fn max_size(plan: &Plan) -> Option<u64> {
    let volume = match &plan.workload.storage {
        Storage::Ephemeral { size_limit } => Some(*size_limit),
        Storage::Claim { .. } => claim::size(plan),
        Storage::ExistingClaim { .. } => None,
    };
    volume.map(|bytes| bytes / 10 * 9)
}
