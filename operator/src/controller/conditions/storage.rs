//! `StorageReady`: the volume of the cache, as the claim and the proxies tell of it.

use crds::values::ByteSize;
use crds::workload::Storage;
use serde_json::Value;

use super::Observed;
use super::pods::Pods;
use super::verdict::Verdict;
use crate::controller::plan::Plan;
use crate::facts::Report;

pub(super) fn verdict(plan: &Plan, observed: &Observed<'_>, pods: &Pods<'_>) -> Verdict {
    let base = match &plan.workload.storage {
        Storage::Ephemeral { .. } => {
            Verdict::holds("Ephemeral", "the cache lies in a directory of the node and ends with the pod")
        }
        Storage::ExistingClaim { name } => claim(name, None, true, observed, pods),
        Storage::Claim { storage_class, .. } => claim(plan.name(), storage_class.as_deref(), false, observed, pods),
    };
    // What the proxies say is about a volume that is there.
    if base.status == crds::status::ConditionStatus::True { reported(pods).unwrap_or(base) } else { base }
}

pub(super) fn unknown() -> Verdict {
    Verdict::unknown("NotReported", "nothing is known of the volume yet")
}

/// Whether a verdict is what a proxy said of the volume.
pub(super) fn is_reported(verdict: &Verdict) -> bool {
    ["CacheReadOnly", "CacheFull"].contains(&verdict.reason.as_ref())
}

fn reported(pods: &Pods<'_>) -> Option<Verdict> {
    // A full volume is a fault, too, and has its own remedy.
    let is_unwritable = |report: &Report| {
        let storage = &report.storage;
        storage.read_only || (storage.fault.is_some() && !storage.full)
    };
    let unwritable = pods.reports().find(|(_, report)| is_unwritable(report));
    if let Some((pod, report)) = unwritable {
        let fault = report.storage.fault.as_deref().unwrap_or("the volume is read-only");
        let message =
            format!("the pod '{pod}' serves without storing anything: {fault}; check the volume of the cache");
        return Some(Verdict::holds("CacheReadOnly", message));
    }
    let (pod, _) = pods.reports().find(|(_, report)| report.storage.full)?;
    let message = format!(
        "the volume of the pod '{pod}' is full below spec.cache.maxSize: something else fills it; enlarge the volume or \
         lower spec.cache.maxSize"
    );
    Some(Verdict::holds("CacheFull", message))
}

fn claim(name: &str, class: Option<&str>, foreign: bool, observed: &Observed<'_>, pods: &Pods<'_>) -> Verdict {
    let Some(claim) = observed.claim else {
        return if foreign {
            let message = format!(
                "the claim '{name}' does not exist: create it, or name another one in \
                 spec.cache.storage.persistentVolumeClaim.existingClaimName"
            );
            Verdict::fails("ClaimPending", message)
        } else {
            Verdict::unknown("NotReported", format!("the claim '{name}' does not exist yet"))
        };
    };
    if !claim["metadata"]["deletionTimestamp"].is_null() {
        let remedy =
            if foreign { "create it again" } else { "it is made again once no pod uses it, without its content" };
        return Verdict::fails("ClaimLost", format!("the claim '{name}' is being deleted: {remedy}"));
    }
    match claim["status"]["phase"].as_str() {
        Some("Bound") => bound(name, claim),
        Some("Lost") => {
            let message = format!("the volume of the claim '{name}' is gone: delete the claim to get a new one");
            Verdict::fails("ClaimLost", message)
        }
        // A volume may be made only once a pod needs it.
        _ if pods.wanted == 0 => {
            Verdict::unknown("NotReported", format!("the claim '{name}' is not bound, and no pod is wanted"))
        }
        _ => {
            let message = match class {
                Some(class) => format!(
                    "the claim '{name}' is not bound: check that the storage class '{class}' of \
                     spec.cache.storage.persistentVolumeClaim.storageClassName exists and can provide a volume; \
                     see the events of the claim"
                ),
                None => format!(
                    "the claim '{name}' is not bound: check that the cluster has a default storage class, or name one in \
                     spec.cache.storage.persistentVolumeClaim.storageClassName; see the events of the claim"
                ),
            };
            Verdict::fails("ClaimPending", message)
        }
    }
}

fn bound(name: &str, claim: &Value) -> Verdict {
    let amount = |value: &Value| value.as_str().and_then(|text| text.parse::<ByteSize>().ok());
    let asked = &claim["spec"]["resources"]["requests"]["storage"];
    let given = &claim["status"]["capacity"]["storage"];
    if let (Some(asked_amount), Some(given_amount)) = (amount(asked), amount(given))
        && given_amount < asked_amount
    {
        let (asked, given) = (asked.as_str().unwrap_or_default(), given.as_str().unwrap_or_default());
        let message = format!(
            "the claim '{name}' has {given} and waits for {asked}: its storage class must allow expansion; see the events \
             of the claim"
        );
        return Verdict::holds("ResizePending", message);
    }
    Verdict::holds("Bound", format!("the claim '{name}' is bound"))
}
