//! The one table from errors to statuses.

use std::time::Duration;

use http::StatusCode;

use crate::error::Error;
use crate::fetch::{FetchError, Phase};
use crate::intent::Refusal;

/// An upstream that wants to be left alone and does not say how long.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// The status for an error, and when to come again.
pub fn status_of(error: &Error) -> (StatusCode, Option<Duration>) {
    let status = |code: u16| StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
    match error {
        Error::Refused(refusal) => match refusal {
            Refusal::NotFound(_) => (StatusCode::NOT_FOUND, None),
            Refusal::Bad(_) => (StatusCode::BAD_REQUEST, None),
            Refusal::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, None),
            Refusal::TooLong { .. } => (StatusCode::URI_TOO_LONG, None),
        },
        Error::Unlisted { .. } | Error::Withheld { .. } => (StatusCode::NOT_FOUND, None),
        // The client's affair: its tool acts on it. A 407 or a 408 would be about our own connection.
        Error::Missing { status: code, .. }
        | Error::Upstream { status: code @ (400..=406 | 409..=428 | 430..=499), .. } => (status(*code), None),
        // It asked for a pause, so nobody was asked in its place: the client may try when that is over.
        Error::Upstream { status: 429, .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, Some(error.retry_after().unwrap_or(PAUSE)))
        }
        Error::Upstream { status: 503, .. } if error.retry_after().is_some() => {
            (StatusCode::SERVICE_UNAVAILABLE, error.retry_after())
        }
        Error::Upstream { .. }
        | Error::CredentialRejected { .. }
        | Error::Unexpected { .. }
        | Error::TooLarge { .. }
        | Error::Mismatch { .. }
        | Error::PinChanged { .. }
        | Error::Storage(_) => (StatusCode::BAD_GATEWAY, None),
        Error::OutOfStep { .. } => (StatusCode::SERVICE_UNAVAILABLE, Some(PAUSE)),
        Error::Busy { retry_after } => (StatusCode::SERVICE_UNAVAILABLE, Some(*retry_after)),
        Error::Abandoned => (StatusCode::INTERNAL_SERVER_ERROR, None),
        Error::Fetch(error) => match error {
            FetchError::Timeout { phase: Phase::Queue, .. } => (StatusCode::SERVICE_UNAVAILABLE, Some(PAUSE)),
            FetchError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, None),
            FetchError::CircuitOpen { retry_after, .. } | FetchError::Paused { retry_after, .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, Some(*retry_after))
            }
            FetchError::Credential { .. } | FetchError::Trust { .. } => (StatusCode::SERVICE_UNAVAILABLE, None),
            _ => (StatusCode::BAD_GATEWAY, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_statuses_pass_where_a_client_acts_on_them() {
        let upstream = || "https://registry.example:443".to_owned();
        for (code, expected) in
            [(401, 401), (403, 403), (451, 451), (418, 418), (407, 502), (408, 502), (429, 503), (500, 502), (503, 502)]
        {
            let (status, _) = status_of(&Error::Upstream { status: code, upstream: upstream(), retry_after: None });
            assert_eq!(status.as_u16(), expected, "{code}");
        }
        assert_eq!(status_of(&Error::CredentialRejected { upstream: upstream() }).0, StatusCode::BAD_GATEWAY);
        assert_eq!(
            status_of(&Error::Missing { status: 410, upstream: upstream(), text: "".into() }).0,
            StatusCode::GONE
        );
    }
}
