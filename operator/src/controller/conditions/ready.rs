//! `Ready` and `Stalled`: one word for scripts, and whether waiting is of any use.

use crds::PackageProxyStatus;
use crds::status::ConditionStatus;

use super::available::Rollout;
use super::pods::Pods;
use super::verdict::Verdict;
use super::{Observed, kind};

type Verdicts = Vec<(&'static str, Verdict)>;

/// What `Ready` waits for, in the order in which its reason is chosen.
const ORDER: [&str; 6] = [
    kind::ACCEPTED,
    kind::RESOURCES_APPLIED,
    kind::STORAGE_READY,
    kind::CONFIGURATION_LOADED,
    kind::AVAILABLE,
    kind::CREDENTIALS_RESOLVED,
];

/// Reasons of `ResourcesApplied` that no waiting mends.
const NEEDS_A_PERSON: [&str; 2] = ["Forbidden", "ImmutableFieldChanged"];

/// Appends `Ready` and `Stalled`.
pub(super) fn with_summary(
    mut verdicts: Verdicts,
    previous: &PackageProxyStatus,
    observed: &Observed<'_>,
    pods: &Pods<'_>,
) -> Verdicts {
    let kept = Verdict::kept(previous, kind::READY).filter(|_| observed.suspend);
    let ready = kept.unwrap_or_else(|| ready(&verdicts, observed, pods));
    let stalled = stalled(&verdicts);
    verdicts.extend([(kind::READY, ready), (kind::STALLED, stalled)]);
    verdicts
}

fn verdict<'a>(verdicts: &'a Verdicts, kind: &str) -> Option<&'a Verdict> {
    verdicts.iter().find(|(known, _)| *known == kind).map(|(_, verdict)| verdict)
}

fn ready(verdicts: &Verdicts, observed: &Observed<'_>, pods: &Pods<'_>) -> Verdict {
    let parts: Vec<&Verdict> = ORDER.iter().filter_map(|kind| verdict(verdicts, kind)).collect();
    let messages = |parts: &[&Verdict]| parts.iter().map(|part| part.message.as_str()).collect::<Vec<_>>().join("; ");
    let failing: Vec<&Verdict> = parts.iter().copied().filter(|part| fails(part)).collect();
    if let Some(first) = failing.first() {
        let status = ConditionStatus::False;
        return Verdict { status, reason: first.reason.clone(), message: messages(&failing), generation: None };
    }
    let rollout = observed.deployment.map_or(Rollout::Running, |deployment| Rollout::of(deployment, pods.wanted));
    let waits = |kind: &str| verdict(verdicts, kind).filter(|part| part.status == ConditionStatus::Unknown);
    if pods.wanted == 0 {
        // Without pods nobody reports anything, and nothing is missing.
        let waiting: Vec<&Verdict> = ORDER[..2].iter().filter_map(|kind| waits(kind)).collect();
        return match (waiting.is_empty(), rollout) {
            (false, _) => Verdict::unknown("Reconciling", messages(&waiting)),
            (true, Rollout::Complete) => Verdict::holds("ScaledToZero", "spec.replicas is 0: no pod is wanted"),
            (true, _) => Verdict::unknown("Reconciling", "pods are being removed"),
        };
    }
    let waiting: Vec<&Verdict> = ORDER.iter().filter_map(|kind| waits(kind)).collect();
    if !waiting.is_empty() {
        return Verdict::unknown("Reconciling", messages(&waiting));
    }
    match rollout {
        Rollout::Running => return Verdict::unknown("Reconciling", "pods are being replaced"),
        Rollout::Unready => return Verdict::unknown("Reconciling", "not every wanted pod is ready"),
        Rollout::Complete => {}
    }
    match verdict(verdicts, kind::UPSTREAM_REACHABLE).filter(|part| part.status == ConditionStatus::False) {
        Some(upstream) => {
            let message = format!("what is cached is served while the upstream cannot be used: {}", upstream.message);
            Verdict::holds("ServingStale", message)
        }
        None => Verdict::holds("Ready", "every wanted pod runs with what the manifest says"),
    }
}

/// Some pods may serve while others cannot come up: that is available, and not ready.
fn fails(part: &Verdict) -> bool {
    let stuck = ["ProgressDeadlineExceeded", "ReplicaFailure", "ImagePullFailed", "CrashLooping", "Unschedulable"];
    part.status == ConditionStatus::False || stuck.contains(&part.reason.as_ref())
}

/// kstatus takes `Stalled=True` for a failure, so it is said only where time does not help.
fn stalled(verdicts: &Verdicts) -> Verdict {
    let failed = |kind| verdict(verdicts, kind).filter(|part| part.status == ConditionStatus::False);
    let applied = failed(kind::RESOURCES_APPLIED).filter(|part| NEEDS_A_PERSON.contains(&part.reason.as_ref()));
    let found = [
        (kind::ACCEPTED, failed(kind::ACCEPTED)),
        (kind::RESOURCES_APPLIED, applied),
        (kind::CONFIGURATION_LOADED, failed(kind::CONFIGURATION_LOADED)),
    ];
    match found.into_iter().find_map(|(kind, part)| part.map(|part| (kind, part))) {
        Some((kind, part)) => {
            let message = format!("nothing goes on until a person acts: see the condition {kind}");
            Verdict { status: ConditionStatus::True, reason: part.reason.clone(), message, generation: None }
        }
        None => Verdict::fails("Reconciling", "nothing waits for a person"),
    }
}
