//! What this process knows of every origin that it talks to: shared by all proxies, read by metrics and `/status`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crds::BreakerSettings;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::circuit::{Admission, Circuit, Outcome, Phase};

/// Origins that are remembered although nothing is wrong with them. Links in documents may name any number.
const ORIGINS: usize = 256;
/// Origins that are remembered at all. A registry can send us to one name after the other that does not answer.
const MOST_ORIGINS: usize = 1024;

/// All origins.
#[derive(Default)]
pub struct Origins(Mutex<HashMap<String, Arc<Origin>>>);

/// One origin.
#[derive(Default)]
pub(super) struct Origin(Mutex<Known>);

#[derive(Default)]
struct Known {
    circuit: Circuit,
    last_error: Option<String>,
    last_success: Option<Timestamp>,
    trouble: Option<Trouble>,
    unauthorized: bool,
}

/// What the last requests without success failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name has no address.
    Dns,
    /// No connection.
    Connect,
    /// A certificate, or the handshake.
    Tls,
    /// It answers, but not with what was asked for: a 5xx, a body that breaks, a stall.
    Answer,
}

/// How one request went, as the gate reports it.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    /// The failure in words, where the outcome does not hold it.
    pub(super) error: Option<String>,
    pub(super) trouble: Option<Trouble>,
    /// Whether it answered 401 and will have no token.
    pub(super) unauthorized: bool,
}

impl Report {
    /// An outcome, and nothing else to say.
    pub(super) fn of(outcome: Outcome) -> Self {
        let trouble = matches!(outcome, Outcome::Failure(_)).then_some(Trouble::Answer);
        Self { outcome, error: None, trouble, unauthorized: false }
    }
}

/// What the breaker does with requests to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// They go.
    Closed,
    /// They do not, until a probe has succeeded.
    Open,
    /// One is on its way, the others wait for how it goes.
    HalfOpen,
    /// They do not: the origin asked for a pause.
    Paused,
}

impl State {
    /// Every state, for metrics that report each as 0 or 1.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Open, Self::HalfOpen, Self::Paused];

    /// The word in metrics and on `/status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Paused => "paused",
        }
    }
}

/// The state of an origin at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginState {
    /// `scheme://host:port`.
    pub origin: String,
    /// What happens to requests now.
    pub state: State,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Until requests go again, where they do not go now.
    pub retry_after: Option<Duration>,
    /// The last failure, in words; it stays after a success.
    pub last_error: Option<String>,
    /// When the origin last did what was asked.
    pub last_success: Option<Timestamp>,
    /// What failed since the last success.
    pub trouble: Option<Trouble>,
    /// Whether its last answer was a 401 that no token answers.
    pub unauthorized: bool,
}

impl Origins {
    pub(super) fn of(&self, name: &str) -> Arc<Origin> {
        let mut origins = self.0.lock();
        if let Some(origin) = origins.get(name) {
            return Arc::clone(origin);
        }
        if origins.len() >= ORIGINS {
            origins.retain(|_, origin| Arc::strong_count(origin) > 1 || origin.is_in_trouble());
        }
        if origins.len() >= MOST_ORIGINS {
            origins.retain(|_, origin| Arc::strong_count(origin) > 1 || origin.is_left_alone());
        }
        if origins.len() >= MOST_ORIGINS {
            // It is asked as if nothing were known of it.
            return Arc::default();
        }
        Arc::clone(origins.entry(name.to_owned()).or_default())
    }

    /// Forgets what an origin said of how it was asked: it is asked in another way from now on, with another credential
    /// or other authorities. Whether it is left alone does not change.
    pub fn reconsider(&self, origin: &str) {
        let found = self.0.lock().get(origin).cloned();
        if let Some(origin) = found {
            let mut known = origin.0.lock();
            known.trouble = known.trouble.filter(|_| known.circuit.phase != Phase::Closed);
            known.unauthorized = false;
        }
    }

    /// Every origin that was asked for something, by name.
    pub fn snapshot(&self) -> Vec<OriginState> {
        let mut states: Vec<_> = self.0.lock().iter().map(|(name, origin)| origin.state(name)).collect();
        states.sort_by(|one, other| one.origin.cmp(&other.origin));
        states
    }

    /// One origin, `scheme://host:port`, if it was asked for something.
    pub fn state(&self, origin: &str) -> Option<OriginState> {
        let found = self.0.lock().get(origin).cloned();
        found.map(|known| known.state(origin))
    }
}

impl Origin {
    pub(super) fn admit(&self, counted: bool) -> Admission {
        self.0.lock().circuit.admit(counted, Instant::now())
    }

    pub(super) fn settle(&self, report: Report, key: u64, probe: bool, limits: &BreakerSettings) {
        let Report { outcome, error, trouble, unauthorized } = report;
        let mut known = self.0.lock();
        known.circuit.settle(&outcome, key, probe, limits, Instant::now(), fastrand::f64());
        match outcome {
            Outcome::Success => {
                known.last_success = Some(Timestamp::now());
                known.trouble = None;
                known.unauthorized = unauthorized;
            }
            Outcome::Failure(reason) => {
                known.last_error = Some(reason);
                known.trouble = trouble;
            }
            Outcome::Pause(_) => {}
            Outcome::Neither => {
                known.last_error = error.or(known.last_error.take());
                known.trouble = trouble.or(known.trouble);
            }
        }
    }

    /// Whether something has gone wrong since it last did what was asked.
    fn is_in_trouble(&self) -> bool {
        self.0.lock().circuit.failures > 0 || self.is_left_alone()
    }

    /// Whether requests to it do not go now.
    fn is_left_alone(&self) -> bool {
        let known = self.0.lock();
        let is_paused = known.circuit.paused_until.is_some_and(|until| Instant::now() < until);
        is_paused || known.circuit.phase != Phase::Closed
    }

    fn state(&self, origin: &str) -> OriginState {
        let known = self.0.lock();
        let now = Instant::now();
        let left = |until: Instant| until.saturating_duration_since(now);
        let pause = known.circuit.paused_until.map(left).filter(|left| !left.is_zero());
        let (state, retry_after) = match (pause, known.circuit.phase) {
            (Some(left), _) => (State::Paused, Some(left)),
            (None, Phase::Closed) => (State::Closed, None),
            (None, Phase::Open(until)) => (State::Open, Some(left(until))),
            (None, Phase::HalfOpen) => (State::HalfOpen, None),
        };
        OriginState {
            origin: origin.to_owned(),
            state,
            consecutive_failures: known.circuit.failures,
            retry_after,
            last_error: known.last_error.clone(),
            last_success: known.last_success,
            trouble: known.trouble,
            unauthorized: known.unauthorized,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_trouble_is_not_forgotten() {
        let origins = Origins::default();
        let limits = BreakerSettings { failures: 1, ..BreakerSettings::default() };
        let down = origins.of("https://down.example:443");
        down.settle(Report::of(Outcome::Failure("refused".into())), 1, false, &limits);
        drop(down);
        for index in 0..ORIGINS * 3 {
            origins.of(&format!("https://n{index}.example:443"));
        }
        assert!(origins.snapshot().len() <= ORIGINS);
        let known = origins.state("https://down.example:443").unwrap();
        assert_eq!((known.state, known.last_error.as_deref()), (State::Open, Some("refused")));
        // One that fails once, and is never asked again, is as little worth in the long run; what is left alone is not.
        for (failures, left_alone) in [(2, 1), (1, MOST_ORIGINS)] {
            let limits = BreakerSettings { failures, ..BreakerSettings::default() };
            for index in 0..MOST_ORIGINS * 2 {
                let origin = origins.of(&format!("https://f{failures}-{index}.example:443"));
                origin.settle(Report::of(Outcome::Failure("refused".into())), 1, false, &limits);
            }
            let known = origins.snapshot();
            assert!(known.len() <= MOST_ORIGINS, "{}", known.len());
            assert_eq!(known.iter().filter(|origin| origin.state == State::Open).count(), left_alone);
        }
        assert_eq!(origins.state("https://down.example:443").unwrap().state, State::Open);
    }
}
