//! The PersistentVolumeClaim. Made here and not from a template of a stateful set, which could never be changed.

use crds::spec::RetentionPolicy;
use crds::workload::Storage;
use serde_json::json;

use super::{Child, Component, child, quantity, unowned_child};
use crate::controller::plan::Plan;
use crate::kinds::ChildKind;

/// None if the cache lies elsewhere.
pub(super) fn build(plan: &Plan) -> Option<Child> {
    let Storage::Claim { storage_class, access_mode, retention, .. } = &plan.workload.storage else { return None };
    let make = match retention {
        RetentionPolicy::Delete => child,
        RetentionPolicy::Retain => unowned_child,
    };
    let mut claim = make(plan, ChildKind::PersistentVolumeClaim, plan.name().to_owned(), Component::Proxy);
    if *retention == RetentionPolicy::Retain {
        // The tool that applied the PackageProxy would otherwise delete what it does not find in its repository.
        claim.object["metadata"]["annotations"] = json!({"argocd.argoproj.io/sync-options": "Prune=false"});
    }
    claim.object["spec"] = json!({
        "accessModes": [access_mode.name()],
        "resources": {"requests": {"storage": quantity::bytes(size(plan)?)}},
    });
    if let Some(name) = storage_class {
        claim.object["spec"]["storageClassName"] = json!(name);
    }
    Some(claim)
}

/// Bytes of the claim: what is wanted, but never less than it has, since a claim cannot shrink.
pub(super) fn size(plan: &Plan) -> Option<u64> {
    let Storage::Claim { size, .. } = &plan.workload.storage else { return None };
    Some(plan.claim_size.unwrap_or_default().max(*size))
}

/// The name of the claim that the pods mount.
pub(super) fn name(plan: &Plan) -> Option<&str> {
    match &plan.workload.storage {
        Storage::Ephemeral { .. } => None,
        Storage::Claim { .. } => Some(plan.name()),
        Storage::ExistingClaim { name } => Some(name),
    }
}
