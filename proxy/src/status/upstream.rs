//! One word for how an upstream does, from real traffic where there is any and else from the handshake at the start.

use jiff::Timestamp;

use crate::fetch::breaker::{OriginState, State, Trouble};
use crate::fetch::probe::Probe;

/// What is known of an upstream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// What the breaker has seen, if anything.
    pub(super) traffic: Option<&'a OriginState>,
    /// Whether the upstream refuses our credential.
    pub(super) rejected: bool,
    /// How the handshake went and when, once it is over.
    pub(super) probe: Option<(&'a Probe, Timestamp)>,
}

/// The reason of the condition `UpstreamReachable`, and the same in words where something is wrong.
pub(super) fn verdict(known: Known<'_>) -> (&'static str, Option<String>) {
    let Known { traffic, rejected, probe } = known;
    let said = |text: &str| Some(text.to_owned());
    let error = || traffic.and_then(|traffic| traffic.last_error.clone());
    match traffic {
        Some(OriginState { state: State::Paused, .. }) => {
            ("RateLimited", said("it asked to be left alone for now (429, or 503 with Retry-After)"))
        }
        Some(OriginState { state: State::Open | State::HalfOpen, trouble, .. }) => (word(*trouble), error()),
        _ if rejected => ("Unauthorized", said("it rejects the credential of this proxy (401)")),
        Some(OriginState { unauthorized: true, .. }) => ("Unauthorized", said("it wants an account (401)")),
        // A certificate that is not accepted never opens the breaker, and does not mend itself.
        Some(OriginState { trouble: Some(Trouble::Tls), .. }) => ("TLSFailure", error()),
        // Some failures among successes are not an upstream that fails. A handshake that failed after the last of them,
        // with other settings then, says more.
        Some(OriginState { last_success: Some(success), .. })
            if probe.is_none_or(|(probe, time)| probe.message().is_none() || time < *success) =>
        {
            ("Probed", None)
        }
        Some(OriginState { trouble: Some(trouble), .. }) => (word(Some(*trouble)), error()),
        _ => match probe {
            Some((probe, _)) => (probe.reason(), probe.message().map(str::to_owned)),
            None => ("NotProbed", None),
        },
    }
}

fn word(trouble: Option<Trouble>) -> &'static str {
    match trouble {
        Some(Trouble::Dns) => "DNSFailure",
        Some(Trouble::Connect) => "ConnectFailed",
        Some(Trouble::Tls) => "TLSFailure",
        Some(Trouble::Answer) | None => "UpstreamError",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn traffic_comes_before_the_handshake() {
        let quiet = OriginState {
            origin: "https://registry.example:443".to_owned(),
            state: State::Closed,
            consecutive_failures: 0,
            retry_after: None,
            last_error: Some("because".to_owned()),
            last_success: None,
            trouble: None,
            unauthorized: false,
        };
        let works =
            OriginState { last_success: Some(Timestamp::UNIX_EPOCH + Duration::from_secs(10)), ..quiet.clone() };
        let fails = |state, trouble| OriginState { state, trouble: Some(trouble), ..works.clone() };
        let unreachable = Probe::ConnectFailed("nobody".to_owned());
        let (none, because) = (None, Some("because"));
        for (traffic, rejected, expected, message) in [
            (None, false, "ConnectFailed", Some("nobody")),
            (Some(quiet.clone()), false, "ConnectFailed", Some("nobody")),
            (Some(works.clone()), false, "Probed", none),
            (Some(works.clone()), true, "Unauthorized", Some("it rejects the credential of this proxy (401)")),
            (
                Some(OriginState { unauthorized: true, ..works.clone() }),
                false,
                "Unauthorized",
                Some("it wants an account (401)"),
            ),
            (
                Some(OriginState { state: State::Paused, ..works.clone() }),
                true,
                "RateLimited",
                Some("it asked to be left alone for now (429, or 503 with Retry-After)"),
            ),
            (Some(fails(State::Open, Trouble::Answer)), true, "UpstreamError", because),
            (Some(fails(State::HalfOpen, Trouble::Dns)), false, "DNSFailure", because),
            (Some(fails(State::Open, Trouble::Connect)), false, "ConnectFailed", because),
            (Some(fails(State::Open, Trouble::Tls)), false, "TLSFailure", because),
            (Some(fails(State::Closed, Trouble::Tls)), false, "TLSFailure", because),
            (Some(fails(State::Closed, Trouble::Answer)), false, "Probed", none),
            (Some(OriginState { trouble: Some(Trouble::Dns), ..quiet.clone() }), false, "DNSFailure", because),
        ] {
            let probe = Some((&unreachable, Timestamp::UNIX_EPOCH));
            let known = Known { traffic: traffic.as_ref(), rejected, probe };
            let (reason, said) = verdict(known);
            assert_eq!((reason, said.as_deref()), (expected, message), "{traffic:?} {rejected}");
        }
        let later = Some((&unreachable, Timestamp::UNIX_EPOCH + Duration::from_secs(20)));
        let changed = Known { traffic: Some(&works), rejected: false, probe: later };
        assert_eq!(verdict(changed), ("ConnectFailed", Some("nobody".to_owned())));
        let nothing = Known { traffic: None, rejected: false, probe: None };
        assert_eq!(verdict(nothing), ("NotProbed", None));
    }
}
