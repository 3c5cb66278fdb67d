//! From verdicts to conditions: times that move only when something flips, and messages of bounded length.

use crds::PackageProxyStatus;
use crds::status::Condition;
use jiff::Timestamp;

use super::kind;
use super::verdict::{Verdict, find};

/// The longest message in bytes, and what it is cut to while the whole status is too large.
const MESSAGE_LIMITS: [usize; 4] = [1024, 512, 256, 128];
/// A status of this many bytes is small enough to be kept a thousand times.
const STATUS_LIMIT: usize = 4096;

/// The conditions that follow on those before.
pub(super) fn conditions(
    previous: &[Condition],
    verdicts: Vec<(&'static str, Verdict)>,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    // Whole seconds, as the API server writes times.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let condition = |(kind, verdict): (&'static str, Verdict)| {
        let before = find(previous, kind);
        let same_status = before.filter(|before| before.status == verdict.status);
        let message = cut(&verdict.message, MESSAGE_LIMITS[0]);
        Condition {
            kind: kind.to_owned(),
            status: verdict.status,
            observed_generation: Some(verdict.generation.unwrap_or(generation)),
            last_transition_time: same_status.map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
            message: same_status
                .and_then(|before| as_before(before, &verdict, generation, &message))
                .unwrap_or(message),
            reason: verdict.reason.into_owned(),
        }
    };
    verdicts.into_iter().map(condition).collect()
}

/// The message from before, where the new one differs only in numbers that move by themselves: the scheduler counts
/// nodes, and upstreams count seconds.
fn as_before(before: &Condition, verdict: &Verdict, generation: i64, message: &str) -> Option<String> {
    // `Ready` repeats the messages of others.
    let counts = [kind::UPSTREAM_REACHABLE, kind::AVAILABLE, kind::READY].contains(&before.kind.as_str());
    let is_same = counts
        && before.reason == verdict.reason
        // What a person changed is shown.
        && before.observed_generation == Some(generation)
        && words(&before.message).eq(words(message));
    is_same.then(|| before.message.clone())
}

/// The words of a message, without their digits except in names, which are quoted.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(' ').map(|word| {
        if word.starts_with('\'') { word.to_owned() } else { word.replace(|digit: char| digit.is_ascii_digit(), "") }
    })
}

/// Shortens messages until the status is small.
pub(super) fn fit(mut status: PackageProxyStatus) -> PackageProxyStatus {
    for limit in MESSAGE_LIMITS {
        for condition in &mut status.conditions {
            condition.message = cut(&condition.message, limit);
        }
        if serde_json::to_string(&status).is_ok_and(|text| text.len() <= STATUS_LIMIT) {
            break;
        }
    }
    status
}

/// The beginning of a text, at most `limit` bytes with the mark of what is missing.
pub(super) fn cut(text: &str, limit: usize) -> String {
    const MARK: &str = "...";
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit.saturating_sub(MARK.len()));
    format!("{}{MARK}", text.get(..end).unwrap_or_default())
}
