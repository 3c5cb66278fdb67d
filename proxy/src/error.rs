//! Why a request is not answered with what it asked for. `respond` holds the one table from here to statuses.

use std::sync::Arc;
use std::time::Duration;

use crate::fetch::FetchError;
use crate::intent::{Refusal, Unexpected};

/// A request that fails, by situation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The request itself cannot be served.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The upstream says that there is no such thing.
    #[error("{upstream} does not have it (status {status})")]
    Missing {
        /// 404 or 410.
        status: u16,
        /// Origin of the upstream.
        upstream: String,
        /// What it says about that to people: a few lines, or nothing.
        text: Arc<str>,
    },
    /// The upstream does not show it to this proxy, or does not have it: it does not tell.
    #[error("{upstream} has no such thing that this proxy may see")]
    Withheld {
        /// Origin of the upstream.
        upstream: String,
    },
    /// The documents of the upstream do not name this file.
    #[error("the metadata of {upstream} does not list it")]
    Unlisted {
        /// Origin of the upstream.
        upstream: String,
    },
    /// The upstream gave another status than one that says what there is.
    #[error("{upstream} answered with status {status}")]
    Upstream {
        /// The status.
        status: u16,
        /// Origin of the upstream.
        upstream: String,
        /// What its `Retry-After` says.
        retry_after: Option<Duration>,
    },
    /// The upstream does not accept the credential of this proxy.
    #[error("the upstream rejected credentials of this proxy ({upstream}): renew the Secret of its auth")]
    CredentialRejected {
        /// Origin of the upstream.
        upstream: String,
    },
    /// There was no answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The answer is not what the protocol says.
    #[error("{upstream} gave {reason}")]
    Unexpected {
        /// Origin of the upstream.
        upstream: String,
        /// What is wrong with it.
        reason: Unexpected,
    },
    /// A document is larger than this proxy takes.
    #[error("{upstream} sent a document of more than {limit} bytes: raise cache.maxMetadataSize")]
    TooLarge {
        /// Origin of the upstream.
        upstream: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes do not have the digest that the upstream publishes.
    #[error("{upstream} sent bytes with the digest {found} where its metadata says {expected}: nothing was kept")]
    Mismatch {
        /// Origin of the upstream.
        upstream: String,
        /// What it publishes.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// The upstream publishes no digest and the bytes are not those that it sent the first time.
    #[error(
        "{upstream} now sends other bytes than those first seen under this name ({expected}): if that is right, purge \
         it with `packageproxy purge`"
    )]
    PinChanged {
        /// Origin of the upstream.
        upstream: String,
        /// The pin.
        expected: String,
    },
    /// The upstream was changing its indexes meanwhile: what it serves does not fit together.
    #[error("{upstream} is changing its indexes: try again")]
    OutOfStep {
        /// Origin of the upstream.
        upstream: String,
    },
    /// Too many large documents are being worked on.
    #[error("too many large documents at once")]
    Busy {
        /// When to come again.
        retry_after: Duration,
    },
    /// The work ended without a result: a bug, or the process is stopping.
    #[error("the work on this request was abandoned")]
    Abandoned,
    /// Neither disk nor memory holds what was just fetched.
    #[error("what was fetched cannot be held: {0}")]
    Storage(Arc<std::io::Error>),
}

impl Error {
    /// Whether a cached document may stand in: everything but a clear word of the upstream that it is gone, and the
    /// client's own mistakes.
    pub fn allows_stale(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Missing { .. } | Self::Unlisted { .. })
    }

    /// Whether the upstream failed, or what is between: no word on what it has. Another form of the same may be had where
    /// somebody stands in for it.
    pub fn is_of_upstream(&self) -> bool {
        match self {
            Self::Upstream { status, .. } => !means_none(*status),
            Self::Fetch(_) => true,
            _ => false,
        }
    }

    /// The status that the upstream gave, for `Cache-Status: fwd-status`.
    pub fn upstream_status(&self) -> Option<u16> {
        match self {
            Self::Missing { status, .. } | Self::Upstream { status, .. } => Some(*status),
            Self::CredentialRejected { .. } | Self::Withheld { .. } => Some(401),
            _ => None,
        }
    }

    /// When to come again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Upstream { retry_after, .. } => *retry_after,
            Self::Busy { retry_after }
            | Self::Fetch(FetchError::CircuitOpen { retry_after, .. } | FetchError::Paused { retry_after, .. }) => {
                Some(*retry_after)
            }
            _ => None,
        }
    }
}

/// Whether a status says that there is no such thing: some stores refuse what they do not have. A 408 or a 429 says only
/// that this was not the time to ask.
pub(crate) fn means_none(status: u16) -> bool {
    (400..=499).contains(&status) && !matches!(status, 408 | 429)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_that_there_is_none() {
        let none = [200, 304, 400, 401, 403, 404, 408, 410, 429, 451, 499, 500, 503].into_iter();
        let none: Vec<_> = none.filter(|status| means_none(*status)).collect();
        assert_eq!(none, [400, 401, 403, 404, 410, 451, 499]);
    }
}
