//! What happened between two statuses, for `kubectl describe`. Transitions only: what stays is in the conditions.

use crds::PackageProxyStatus;
use crds::status::{Condition, ConditionStatus};

use super::kind;
use super::verdict::find;
use crate::events::Note;

/// The transitions from one status to the next. A first status gives `Applied`, or the one thing that kept it from that.
pub fn events(previous: &PackageProxyStatus, next: &PackageProxyStatus) -> Vec<Note> {
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

type Rule = fn(Option<&Condition>, &Condition) -> Option<Note>;

/// An event with the words of the condition.
fn warning(reason: &str, action: &str, now: &Condition) -> Note {
    Note { warning: true, reason: reason.to_owned(), action: action.to_owned(), note: now.message.clone() }
}

fn normal(reason: &str, action: &str, note: &str) -> Note {
    Note { warning: false, reason: reason.to_owned(), action: action.to_owned(), note: note.to_owned() }
}

fn was(before: Option<&Condition>, status: ConditionStatus) -> bool {
    before.is_some_and(|before| before.status == status)
}

fn reason_was(before: Option<&Condition>, reason: &str) -> bool {
    before.is_some_and(|before| before.reason == reason)
}

fn accepted(before: Option<&Condition>, now: &Condition) -> Option<Note> {
    match now.status {
        ConditionStatus::False => Some(warning(&now.reason, "Validate", now)),
        ConditionStatus::True if was(before, ConditionStatus::False) => {
            Some(normal("Accepted", "Validate", &now.message))
        }
        _ => None,
    }
}

fn applied(before: Option<&Condition>, now: &Condition) -> Option<Note> {
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

fn storage(_: Option<&Condition>, now: &Condition) -> Option<Note> {
    let reasons = ["CacheFull", "CacheReadOnly", "ClaimLost", "ClaimPending"];
    reasons.contains(&now.reason.as_str()).then(|| warning(&now.reason, "Store", now))
}

fn configuration(_: Option<&Condition>, now: &Condition) -> Option<Note> {
    (now.status == ConditionStatus::False).then(|| warning("ConfigurationRejected", "Configure", now))
}

fn available(before: Option<&Condition>, now: &Condition) -> Option<Note> {
    match now.reason.as_str() {
        "Progressing" if now.status == ConditionStatus::True => Some(normal("RolloutStarted", "Rollout", &now.message)),
        "MinimumReplicasAvailable" if !reason_was(before, "ScaledToZero") => {
            Some(normal("RolloutFinished", "Rollout", &now.message))
        }
        "Progressing" | "MinimumReplicasAvailable" | "ScaledToZero" => None,
        reason => Some(warning(reason, "Rollout", now)),
    }
}

fn upstream(before: Option<&Condition>, now: &Condition) -> Option<Note> {
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

fn credentials(before: Option<&Condition>, now: &Condition) -> Option<Note> {
    match now.status {
        ConditionStatus::False => Some(warning("CredentialsMissing", "ResolveCredentials", now)),
        ConditionStatus::True if was(before, ConditionStatus::False) => {
            Some(normal("CredentialsResolved", "ResolveCredentials", &now.message))
        }
        _ => None,
    }
}
