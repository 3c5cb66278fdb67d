//! From what was observed to `status`: pure, so that every case is a line of a table. A status that says the same as the
//! one before is equal to it, to the letter: nobody writes it then.

mod accepted;
mod available;
mod configuration;
mod credentials;
mod events;
mod fields;
mod merge;
mod pods;
mod ready;
mod storage;
mod upstream;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use crds::{PackageProxyStatus, Problem, ProblemKind};
use jiff::Timestamp;
use serde_json::Value;

pub use events::events;
use verdict::Verdict;

use super::plan::Plan;
use crate::facts::Report;

/// The types of conditions, in the order in which they are shown.
pub mod kind {
    /// The manifest and its class can be used.
    pub const ACCEPTED: &str = "Accepted";
    /// The children are as they should be.
    pub const RESOURCES_APPLIED: &str = "ResourcesApplied";
    /// The volume of the cache is there.
    pub const STORAGE_READY: &str = "StorageReady";
    /// The pods have taken over the manifest.
    pub const CONFIGURATION_LOADED: &str = "ConfigurationLoaded";
    /// At least one pod serves.
    pub const AVAILABLE: &str = "Available";
    /// The registry answers.
    pub const UPSTREAM_REACHABLE: &str = "UpstreamReachable";
    /// Secrets and trust bundles are there.
    pub const CREDENTIALS_RESOLVED: &str = "CredentialsResolved";
    /// Clients find their configuration.
    pub const CLIENT_CONFIG_PUBLISHED: &str = "ClientConfigPublished";
    /// Every wanted pod runs with what the manifest says.
    pub const READY: &str = "Ready";
    /// Only a person can help.
    pub const STALLED: &str = "Stalled";
}

/// Everything that a status is made of.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// `metadata.generation` of the `PackageProxy`.
    pub generation: i64,
    /// What is wanted, or why the manifest cannot be used.
    pub accepted: Result<&'a Plan, Refusal>,
    /// `spec.suspend`.
    pub suspend: bool,
    /// The class in use; `None`: the operator's own.
    pub class_name: Option<String>,
    /// How far the children are.
    pub applied: Applied,
    /// The Deployment as the API returned it last: by a watch or by the apply, whichever is newer.
    pub deployment: Option<&'a Value>,
    /// The claim that the pods mount, likewise: `<name>`, or the one that the manifest names.
    pub claim: Option<&'a Value>,
    /// The pods with the proxy's labels. Read are `metadata.{name, deletionTimestamp}` and
    /// `status.{conditions, containerStatuses}`.
    pub pods: Vec<&'a Value>,
    /// What pods said on their admin ports, by the name of the pod. A ready pod that is absent does not answer.
    pub reports: BTreeMap<String, Report>,
    /// Pods whose first answer is still awaited, by name: an operator that has just begun knows nothing of any.
    pub unheard: BTreeSet<String>,
    /// How far the ConfigMaps for clients are.
    pub client_config: ClientConfig,
    /// Whether the numbers of the cache may be written again.
    pub cache_due: bool,
}

/// Why a manifest cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason of the condition `Accepted`.
    pub reason: RefusalReason,
    /// What is wrong, and what to do.
    pub message: String,
}

/// A reason of `Accepted=False`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The class does not exist.
    ClassNotFound,
    /// A limit of the class is exceeded.
    ClassViolation,
    /// The class does not allow the registry.
    UpstreamNotAllowed,
    /// Neither manifest nor class names a registry.
    UpstreamMissing,
    /// A field has a value that cannot be used.
    InvalidConfiguration,
    /// A child exists that somebody else made.
    NameConflict,
    /// This operator does not know the ecosystem.
    UnsupportedEcosystem,
}

impl RefusalReason {
    /// The word of the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClassNotFound => "ClassNotFound",
            Self::ClassViolation => "ClassViolation",
            Self::UpstreamNotAllowed => "UpstreamNotAllowed",
            Self::UpstreamMissing => "UpstreamMissing",
            Self::InvalidConfiguration => "InvalidConfiguration",
            Self::NameConflict => "NameConflict",
            Self::UnsupportedEcosystem => "UnsupportedEcosystem",
        }
    }
}

impl Refusal {
    /// All problems of a manifest in one message; the first one gives the reason.
    pub fn of(problems: &[Problem]) -> Self {
        let reason = problems.first().map_or(RefusalReason::InvalidConfiguration, reason_of);
        let sentence = |problem: &Problem| match problem.path.as_str() {
            "" => format!("{}: {}", problem.message, problem.remedy),
            path => format!("{path}: {}: {}", problem.message, problem.remedy),
        };
        Self { reason, message: problems.iter().map(sentence).collect::<Vec<_>>().join("; ") }
    }
}

fn reason_of(problem: &Problem) -> RefusalReason {
    match problem.kind {
        ProblemKind::UpstreamMissing => RefusalReason::UpstreamMissing,
        ProblemKind::ClassViolation => RefusalReason::ClassViolation,
        ProblemKind::UpstreamNotAllowed => RefusalReason::UpstreamNotAllowed,
        // A newer definition may admit what this program does not know yet.
        ProblemKind::Invalid if problem.path == "spec.ecosystem" => RefusalReason::UnsupportedEcosystem,
        ProblemKind::Invalid | ProblemKind::UnknownField => RefusalReason::InvalidConfiguration,
    }
}

/// How far the children are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All are as they should be.
    Applied,
    /// Not tried yet.
    NotYet,
    /// One could not be applied.
    Failed {
        /// Why.
        reason: ApplyFailure,
        /// Which one, what the API said, and what to do.
        message: String,
    },
    /// All but the Deployment, which waits for its turn.
    RolloutPending {
        /// For what.
        message: String,
    },
}

/// Why a child could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyFailure {
    /// The API refused it or did not answer; it is tried again.
    ApplyFailed,
    /// The operator has no right to it.
    Forbidden,
    /// A quota of the namespace is used up.
    QuotaExceeded,
    /// A field cannot be changed.
    ImmutableFieldChanged,
}

/// How far the ConfigMaps for clients are. Whether there are to be any is said by the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientConfig {
    /// They are there.
    Published,
    /// Not yet.
    Pending,
    /// They could not be applied, or the certificate authority for clients was not found.
    Failed {
        /// Why, and what to do.
        message: String,
    },
}

/// The status that follows from what was observed.
pub fn status(previous: &PackageProxyStatus, observed: &Observed<'_>, now: Timestamp) -> PackageProxyStatus {
    let plan = observed.accepted.as_ref().ok().copied();
    let pods = pods::Pods::new(observed);
    // What depends on a plan says what it said before while there is none: nothing of it was changed.
    let planned = |kind, verdict: &dyn Fn(&Plan) -> Verdict, otherwise: fn() -> Verdict| match plan {
        Some(plan) => verdict(plan),
        None => Verdict::kept(previous, kind).unwrap_or_else(otherwise),
    };
    let loaded = |plan: &Plan| match Verdict::kept(previous, kind::CONFIGURATION_LOADED).filter(|_| observed.suspend) {
        Some(kept) => kept,
        None => configuration::verdict(plan, observed, &pods),
    };
    let verdicts = vec![
        (kind::ACCEPTED, accepted::accepted(observed)),
        (kind::RESOURCES_APPLIED, accepted::applied(observed)),
        (
            kind::STORAGE_READY,
            planned(kind::STORAGE_READY, &|plan| storage::verdict(plan, observed, &pods), storage::unknown),
        ),
        (kind::CONFIGURATION_LOADED, planned(kind::CONFIGURATION_LOADED, &loaded, configuration::unknown)),
        (kind::AVAILABLE, available::verdict(observed, &pods)),
        (kind::UPSTREAM_REACHABLE, upstream::verdict(&pods)),
        (
            kind::CREDENTIALS_RESOLVED,
            planned(kind::CREDENTIALS_RESOLVED, &|plan| credentials::verdict(plan, &pods), credentials::unknown),
        ),
        (
            kind::CLIENT_CONFIG_PUBLISHED,
            planned(
                kind::CLIENT_CONFIG_PUBLISHED,
                &|plan| accepted::client_config(plan, observed),
                accepted::client_config_unknown,
            ),
        ),
    ];
    let verdicts = until_heard(verdicts, previous, observed, &pods);
    let verdicts = ready::with_summary(verdicts, previous, observed, &pods);
    let conditions = merge::conditions(&previous.conditions, verdicts, observed.generation, now);
    merge::fit(fields::status(previous, observed, plan, &pods, conditions))
}

/// What only pods can tell stays as it was said of this generation until each ready one has had time to tell it.
fn until_heard(
    mut verdicts: Vec<(&'static str, Verdict)>,
    previous: &PackageProxyStatus,
    observed: &Observed<'_>,
    pods: &pods::Pods<'_>,
) -> Vec<(&'static str, Verdict)> {
    if pods.unheard.is_empty() {
        return verdicts;
    }
    for (kind, verdict) in &mut verdicts {
        let Some(kept) = Verdict::kept(previous, kind) else { continue };
        let told = match *kind {
            kind::CONFIGURATION_LOADED | kind::UPSTREAM_REACHABLE | kind::CREDENTIALS_RESOLVED => true,
            kind::STORAGE_READY => storage::is_reported(&kept) && verdict.status == kept.status,
            _ => false,
        };
        if told && kept.generation == Some(observed.generation) {
            *verdict = kept;
        }
    }
    verdicts
}

#[cfg(test)]
mod tests;
