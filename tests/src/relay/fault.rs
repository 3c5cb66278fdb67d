//! What can be done to a call, and to which.

use std::fmt;
use std::time::Duration;

use super::Call;

/// What is done to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is cut before the call is passed on.
    CutBefore,
    /// The call is passed on, its effect stays, and the connection is cut instead of an answer.
    CutAfter,
    /// There is no answer.
    Hang,
    /// The call is passed on later.
    Delay(Duration),
    /// It is answered with this status and is not passed on.
    Status {
        /// Status code.
        code: u16,
        /// `Retry-After` in seconds.
        retry_after: Option<u64>,
        /// The word for programs, as in `Forbidden`.
        reason: &'static str,
        /// The sentence.
        message: String,
    },
    /// The call is passed on, its effect stays, and the answer is this status.
    AfterCommit(u16),
}

impl Fault {
    /// An answer with a status, the way the API server says it.
    pub fn status(code: u16, reason: &'static str) -> Self {
        Self::Status { code, retry_after: None, reason, message: format!("injected: {reason}") }
    }

    /// A refusal by rights, quota or admission, with the API server's sentence.
    pub fn forbidden(message: &str) -> Self {
        Self::Status { code: 403, retry_after: None, reason: "Forbidden", message: message.to_owned() }
    }

    /// An answer that says when to come back.
    pub fn retry_after(code: u16, seconds: u64) -> Self {
        let reason = if code == 429 { "TooManyRequests" } else { "ServiceUnavailable" };
        Self::Status { code, retry_after: Some(seconds), reason, message: format!("injected: {reason}") }
    }
}

/// What is done to a watch that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// The connection stays and nothing comes any more, as when a path between two hosts is lost.
    Silent,
    /// An event `ERROR` with the code 410 comes, and the stream ends.
    Gone,
    /// The connection is cut.
    Cut,
}

type Predicate = Box<dyn Fn(&Call) -> bool + Send + Sync>;

/// A fault and the calls that it is for.
pub struct Rule {
    fault: Fault,
    matches: Predicate,
    seen: usize,
    which: Which,
}

enum Which {
    All,
    From(usize),
    Nth(usize),
    Every(usize),
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rule").field("fault", &self.fault).field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Rule {
    /// For every call.
    pub fn all(fault: Fault) -> Self {
        Self::when(fault, |_| true)
    }

    /// For the calls for which this holds.
    pub fn when(fault: Fault, matches: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Self {
        Self { fault, matches: Box::new(matches), seen: 0, which: Which::All }
    }

    /// Only the one of this number, counted from 1.
    #[must_use]
    pub fn nth(mut self, number: usize) -> Self {
        self.which = Which::Nth(number);
        self
    }

    /// The one of this number, counted from 1, and all after it.
    #[must_use]
    pub fn from(mut self, number: usize) -> Self {
        self.which = Which::From(number);
        self
    }

    /// Each one whose number is a multiple of this.
    #[must_use]
    pub fn every(mut self, number: usize) -> Self {
        self.which = Which::Every(number);
        self
    }

    pub(super) fn apply(&mut self, call: &Call) -> Option<Fault> {
        if !(self.matches)(call) {
            return None;
        }
        self.seen += 1;
        let hit = match self.which {
            Which::All => true,
            Which::From(number) => self.seen >= number,
            Which::Nth(number) => self.seen == number,
            Which::Every(number) => self.seen.is_multiple_of(number),
        };
        hit.then(|| self.fault.clone())
    }
}
