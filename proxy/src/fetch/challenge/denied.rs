//! What becomes of a request for which there is no token.

use std::time::Duration;

use futures_util::stream;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::fetch::{Ask, FetchError, Reply, SafeUrl};

/// There is no token.
#[derive(Clone)]
pub(super) enum Denied {
    Failed(FetchError),
    /// The token server's answer, in place of the registry's.
    Answered {
        status: StatusCode,
        retry_after: Option<HeaderValue>,
        realm: SafeUrl,
        at: Instant,
    },
}

impl Denied {
    /// Whether the token server asks to be left alone.
    pub(super) fn is_pause(&self) -> bool {
        matches!(self, Self::Answered { status: StatusCode::TOO_MANY_REQUESTS, .. })
    }

    /// Whether the token server refused a token less than so long ago.
    pub(super) fn is_refusal_within(&self, time: Duration) -> bool {
        match self {
            Self::Answered { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, at, .. } => at.elapsed() < time,
            _ => false,
        }
    }

    pub(super) fn into_reply(self, ask: &Ask) -> Result<Reply, FetchError> {
        let (status, retry_after, url) = match self {
            Self::Failed(error) => return Err(error),
            // Its word on our account is the registry's.
            Self::Answered { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => {
                (StatusCode::UNAUTHORIZED, None, ask.url.clone())
            }
            Self::Answered { status, retry_after, realm, .. }
                if status.is_client_error() || status.is_server_error() =>
            {
                (status, retry_after, realm)
            }
            Self::Answered { status, realm, .. } => {
                let reason = format!("status {status} where a token was asked for");
                return Err(FetchError::Protocol { origin: realm.origin(), reason });
            }
        };
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value);
        }
        // A token server that knows no such thing says nothing of the registry.
        let status = if matches!(status.as_u16(), 404 | 410) { StatusCode::BAD_GATEWAY } else { status };
        Ok(Reply { status, headers, url, framed: true, body: Box::pin(stream::empty()), fallback: None })
    }
}
