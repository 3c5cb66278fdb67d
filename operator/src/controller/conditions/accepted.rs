//! `Accepted`, `ResourcesApplied`, `ClientConfigPublished`: what the operator did itself.

use super::verdict::Verdict;
use super::{Applied, ApplyFailure, ClientConfig, Observed};
use crate::controller::plan::Plan;

pub(super) fn accepted(observed: &Observed<'_>) -> Verdict {
    match &observed.accepted {
        Err(refusal) => Verdict::fails(refusal.reason.name(), &refusal.message),
        Ok(_) => Verdict::holds("Accepted", "the manifest and its class can be used"),
    }
}

pub(super) fn applied(observed: &Observed<'_>) -> Verdict {
    if observed.suspend {
        let message = "spec.suspend is true: everything stays as it is; set it to false to go on";
        return Verdict::unknown("Suspended", message);
    }
    if observed.accepted.is_err() {
        return Verdict::unknown("Pending", "nothing is changed until the condition Accepted is True");
    }
    match &observed.applied {
        Applied::Applied => Verdict::holds("Applied", "all objects of the proxy are as they should be"),
        Applied::NotYet => Verdict::unknown("Pending", "the objects of the proxy are not applied yet"),
        Applied::RolloutPending { message } => Verdict::holds("RolloutPending", message),
        Applied::Failed { reason, message } => match reason {
            ApplyFailure::ApplyFailed => Verdict::fails("ApplyFailed", message),
            ApplyFailure::Forbidden => Verdict::fails("Forbidden", message),
            ApplyFailure::QuotaExceeded => Verdict::fails("QuotaExceeded", message),
            ApplyFailure::ImmutableFieldChanged => Verdict::fails("ImmutableFieldChanged", message),
        },
    }
}

pub(super) fn client_config(plan: &Plan, observed: &Observed<'_>) -> Verdict {
    if !plan.workload.client_config {
        return Verdict::holds("Disabled", "spec.clientConfig.configMap is Disabled");
    }
    match &observed.client_config {
        ClientConfig::Published => {
            let name = plan.name();
            let message =
                format!("clients take the ConfigMaps '{name}-client' (files) and '{name}-client-env' (variables)");
            Verdict::holds("Published", message)
        }
        ClientConfig::Pending => client_config_unknown(),
        ClientConfig::Failed { message } => Verdict::fails("ApplyFailed", message),
    }
}

pub(super) fn client_config_unknown() -> Verdict {
    Verdict::unknown("Pending", "the ConfigMaps for clients are not applied yet")
}
