//! What happened between two statuses, for `kubectl describe`. Transitions only: what stays is in the conditions.

use crds::PackageProxyStatus;
use crds::status::{Condition, ConditionStatus};

use super::kind;
use super::merge::cut;
use super::verdict::find;

/// The longest note that the API takes, in bytes.
const NOTE_LIMIT: usize = 1024;

/// Whether an event is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// It is, or no news at all.
    Normal,
    /// Somebody should look.
    Warning,
}

impl EventType {
    /// The word of the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// One event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    /// Whether it is good news.
    pub type_: EventType,
    /// What happened, in one word.
    pub reason: String,
    /// What was being done.
    pub action: &'static str,
    /// The same in a sentence.
    pub note: String,
}

impl EventNote {
    fn new(type_: EventType, reason: &str, action: &'static str, note: &str) -> Self {
        Self { type_, reason: reason.to_owned(), action, note: cut(note, NOTE_LIMIT) }
    }
}

/// The transitions from one status to the next. A first status gives `Applied`, or the one thing that kept it from that.
pub fn events(previous: &PackageProxyStatus, next: &PackageProxyStatus) -> Vec<EventNote> {
    let rules = [
        (kind::ACCEPTED, accepted as Rule),
        (kind::RESOURCES_APPLIED, applied),
        (kind::STORAGE_READY, storage),
        (kind::CONFIGURATION_LOADED, configuration),
        (kind::AVAILABLE, available),
        (kind::UPSTREAM_REACHABLE, upstream),
        (kind::CREDENTIALS_RESOLVED, credentials),
    ];
    let is_first = previous.conditions.is_empty();
    let rules = if is_first { &rules[..2] } else { &rules[..] };
    let mut notes = Vec::new();
    for (kind, rule) in rules {
        let Some(now) = find(&next.conditions, kind) else { continue };
        let before = find(&previous.conditions, kind);
        let is_new = before.is_none_or(|before| before.status != now.status || before.reason != now.reason);
        if is_new {
            notes.extend(rule(before, now));
        }
    }
    notes.truncate(if is_first { 1 } else { notes.len() });
    notes
}

type Rule = fn(Option<&Condition>, &Condition) -> Option<EventNote>;

/// An event with the words of the condition.
fn warning(reason: &str, action: &'static str, now: &Condition) -> EventNote {
    EventNote::new(EventType::Warning, reason, action, &now.message)
}

fn normal(reason: &str, action: &'static str, note: &str) -> EventNote {
    EventNote::new(EventType::Normal, reason, action, note)
}

fn was(before: Option<&Condition>, status: ConditionStatus) -> bool {
    before.is_some_and(|before| before.status == status)
}

fn reason_was(before: Option<&Condition>, reason: &str) -> bool {
    before.is_some_and(|before| before.reason == reason)
}

fn accepted(before: Option<&Condition>, now: &Condition) -> Option<EventNote> {
    match now.status {
        ConditionStatus::False => Some(warning(&now.reason, "Validate", now)),
        ConditionStatus::True if was(before, ConditionStatus::False) => {
            Some(normal("Accepted", "Validate", &now.message))
        }
        _ => None,
    }
}

fn applied(before: Option<&Condition>, now: &Condition) -> Option<EventNote> {
    match (now.status, now.reason.as_str()) {
        (_, "Suspended") => Some(normal("Suspended", "Suspend", &now.message)),
        (ConditionStatus::False, reason) => Some(warning(reason, "Apply", now)),
        (ConditionStatus::True, "RolloutPending") => Some(normal("RolloutPending", "Apply", &now.message)),
        _ if reason_was(before, "Suspended") => Some(normal("Resumed", "Resume", "changes are applied again")),
        (ConditionStatus::True, _) if !was(before, ConditionStatus::True) => {
            Some(normal("Applied", "Apply", &now.message))
        }
        _ => None,
    }
}

fn storage(_: Option<&Condition>, now: &Condition) -> Option<EventNote> {
    let reasons = ["CacheFull", "CacheReadOnly", "ClaimLost", "ClaimPending"];
    reasons.contains(&now.reason.as_str()).then(|| warning(&now.reason, "Store", now))
}

fn configuration(_: Option<&Condition>, now: &Condition) -> Option<EventNote> {
    (now.status == ConditionStatus::False).then(|| warning("ConfigurationRejected", "Configure", now))
}

fn available(before: Option<&Condition>, now: &Condition) -> Option<EventNote> {
    match now.reason.as_str() {
        "Progressing" if now.status == ConditionStatus::True => Some(normal("RolloutStarted", "Rollout", &now.message)),
        "MinimumReplicasAvailable" if !reason_was(before, "ScaledToZero") => {
            Some(normal("RolloutFinished", "Rollout", &now.message))
        }
        "Progressing" | "MinimumReplicasAvailable" | "ScaledToZero" => None,
        reason => Some(warning(reason, "Rollout", now)),
    }
}

fn upstream(before: Option<&Condition>, now: &Condition) -> Option<EventNote> {
    match now.status {
        ConditionStatus::False if !was(before, ConditionStatus::False) => {
            Some(warning("UpstreamUnreachable", "Probe", now))
        }
        ConditionStatus::True if was(before, ConditionStatus::False) => {
            Some(normal("UpstreamRecovered", "Probe", &now.message))
        }
        _ => None,
    }
}

fn credentials(before: Option<&Condition>, now: &Condition) -> Option<EventNote> {
    match now.status {
        ConditionStatus::False => Some(warning("CredentialsMissing", "ResolveCredentials", now)),
        ConditionStatus::True if was(before, ConditionStatus::False) => {
            Some(normal("CredentialsResolved", "ResolveCredentials", &now.message))
        }
        _ => None,
    }
}
