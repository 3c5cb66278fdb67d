//! What is said of one type of condition.

use std::borrow::Cow;

use crds::PackageProxyStatus;
use crds::status::{Condition, ConditionStatus};

/// What is said of one type of condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether it holds.
    pub(super) status: ConditionStatus,
    /// One word for programs.
    pub(super) reason: Cow<'static, str>,
    /// A sentence for people.
    pub(super) message: String,
    /// The generation that it is about, if that is not the one observed.
    pub(super) generation: Option<i64>,
}

impl Verdict {
    fn new(status: ConditionStatus, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason: Cow::Borrowed(reason), message: message.into(), generation: None }
    }

    /// It holds.
    pub(super) fn holds(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::True, reason, message)
    }

    /// It does not hold.
    pub(super) fn fails(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::False, reason, message)
    }

    /// Nobody knows yet.
    pub(super) fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::Unknown, reason, message)
    }

    /// What was said before.
    pub(super) fn kept(previous: &PackageProxyStatus, kind: &str) -> Option<Self> {
        find(&previous.conditions, kind).map(|condition| Self {
            status: condition.status,
            reason: Cow::Owned(condition.reason.clone()),
            message: condition.message.clone(),
            generation: condition.observed_generation,
        })
    }
}

/// The condition of a type.
pub(super) fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}
