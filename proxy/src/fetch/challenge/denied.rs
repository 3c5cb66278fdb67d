//! What becomes of a request for which there is no token.

use std::time::Duration;

use futures_util::stream;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::fetch::{Ask, FetchError, Reply, SafeUrl};

/// How long a token server is left alone that says "later" and not when.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest that it is left alone.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// There is no token.
#[derive(Clone)]
pub(super) enum Denied {
    Failed(FetchError),
    /// The token server's answer, in place of the registry's.
    Answered {
        status: StatusCode,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
        realm: SafeUrl,
        at: Instant,
    },
}

impl Denied {
    /// Whether the answer stands, so that the token server need not be asked again: a refusal for so long, and "later"
    /// until then. Some count what an account that they do not know tries, and lock it.
    pub(super) fn stands(&self, refused_for: Duration) -> bool {
        match self {
            Self::Answered { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, at, .. } => {
                at.elapsed() < refused_for
            }
            _ => self.is_pause(),
        }
    }

    /// Whether the token server wants to be left alone now, whatever it is asked for.
    pub(super) fn is_pause(&self) -> bool {
        let says_later = |status| matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        matches!(self, Self::Answered { status, .. } if says_later(*status))
            && self.pause_left().is_some_and(|left| !left.is_zero())
    }

    /// What is left of the time for which the token server asked to be left alone.
    fn pause_left(&self) -> Option<Duration> {
        let Self::Answered { status, retry_after, at, .. } = self else { return None };
        let untold = (*status == StatusCode::TOO_MANY_REQUESTS).then_some(PAUSE);
        let pause = retry_after.or(untold)?;
        Some(pause.min(LONGEST_PAUSE).saturating_sub(at.elapsed()))
    }

    pub(super) fn into_reply(self, ask: &Ask) -> Result<Reply, FetchError> {
        let pause = self.pause_left();
        let (status, url) = match self {
            Self::Failed(error) => return Err(error),
            // Its word on our account is the registry's.
            Self::Answered { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => {
                (StatusCode::UNAUTHORIZED, ask.url.clone())
            }
            Self::Answered { status, realm, .. } if status.is_client_error() || status.is_server_error() => {
                (status, realm)
            }
            Self::Answered { status, realm, .. } => {
                let reason = format!("status {status} where a token was asked for");
                return Err(FetchError::Protocol { origin: realm.origin(), reason });
            }
        };
        let mut headers = HeaderMap::new();
        if let Some(left) = pause.filter(|_| status != StatusCode::UNAUTHORIZED) {
            headers.insert(RETRY_AFTER, HeaderValue::from(left.as_secs_f64().ceil() as u64));
        }
        // A token server that knows no such thing says nothing of the registry.
        let status = if matches!(status.as_u16(), 404 | 410) { StatusCode::BAD_GATEWAY } else { status };
        Ok(Reply { status, headers, url, framed: true, body: Box::pin(stream::empty()), fallback: None })
    }
}
