//! The policy of the breaker: one origin's state as a pure machine. It knows neither requests nor clocks.

use std::time::Duration;

use crds::BreakerSettings;
use tokio::time::Instant;

/// The longest pause that an origin is granted.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// What a request is told while somebody else's probe is under way.
const PROBE_IS_OUT: Duration = Duration::from_secs(1);

/// Whether a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes.
    Pass,
    /// Yes, and the others wait for how it goes.
    Probe,
    /// No: the origin fails. Come back after this time.
    Open(Duration),
    /// No: the origin asked for a pause, of which this much is left.
    Paused(Duration),
}

/// How a request went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The origin works.
    Success,
    /// It does not, and this is why.
    Failure(String),
    /// It works, and asks for a pause.
    Pause(Duration),
    /// Nothing was learnt of it.
    Neither,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Closed,
    /// Nothing goes before that time; then one probe.
    Open(Instant),
    HalfOpen,
}

/// The state of one origin.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    pub(super) phase: Phase,
    /// Consecutive failures.
    pub(super) failures: u32,
    pub(super) paused_until: Option<Instant>,
    /// The key that failed last: one broken package is not a broken registry.
    failed_key: Option<u64>,
    /// How often it has opened since it was last closed.
    openings: u32,
}

impl Circuit {
    /// Admits a request or refuses it. `counted`: its outcome will be told, so that it may be a probe.
    pub(super) fn admit(&mut self, counted: bool, now: Instant) -> Admission {
        if let Some(until) = self.paused_until.filter(|until| now < *until) {
            return Admission::Paused(until - now);
        }
        match self.phase {
            Phase::Closed => Admission::Pass,
            Phase::Open(until) if now < until => Admission::Open(until - now),
            Phase::Open(_) | Phase::HalfOpen if !counted => Admission::Pass,
            Phase::HalfOpen => Admission::Open(PROBE_IS_OUT),
            Phase::Open(_) => {
                self.phase = Phase::HalfOpen;
                Admission::Probe
            }
        }
    }

    /// Takes note of an outcome. `jitter` is between 0 and 1.
    pub(super) fn settle(
        &mut self,
        outcome: &Outcome,
        key: u64,
        probe: bool,
        limits: &BreakerSettings,
        now: Instant,
        jitter: f64,
    ) {
        match outcome {
            // A request from before it opened says nothing of how the origin is now.
            Outcome::Success | Outcome::Failure(_) if !probe && self.phase != Phase::Closed => {}
            Outcome::Success => {
                *self = Self { paused_until: self.paused_until, ..Self::default() };
            }
            Outcome::Failure(_) => {
                if self.failed_key.replace(key) != Some(key) || probe {
                    self.failures = self.failures.saturating_add(1);
                }
                if probe || self.failures >= limits.failures.max(1) {
                    self.open(limits, now, jitter);
                }
            }
            Outcome::Pause(asked) => {
                let until = now + (*asked).min(LONGEST_PAUSE);
                self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
                self.return_probe(probe, now);
            }
            Outcome::Neither => self.return_probe(probe, now),
        }
    }

    /// A probe that learnt nothing leaves its turn to the next request.
    fn return_probe(&mut self, probe: bool, now: Instant) {
        if probe {
            self.phase = Phase::Open(now);
        }
    }

    /// Opens for a time that doubles with each opening, less up to a quarter, so that replicas do not probe together.
    fn open(&mut self, limits: &BreakerSettings, now: Instant, jitter: f64) {
        let nominal = limits.open.saturating_mul(2_u32.saturating_pow(self.openings)).min(limits.cap);
        self.openings = self.openings.saturating_add(1);
        self.phase = Phase::Open(now + nominal.mul_f64(1.0 - 0.25 * jitter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerSettings =
        BreakerSettings { failures: 3, open: Duration::from_secs(5), cap: Duration::from_mins(1) };

    struct Bench(Circuit, Instant);

    impl Bench {
        fn new() -> Self {
            Self(Circuit::default(), Instant::now())
        }

        fn fail(&mut self, key: u64) {
            self.settle(&Outcome::Failure(String::new()), key, false);
        }

        fn settle(&mut self, outcome: &Outcome, key: u64, probe: bool) {
            self.0.settle(outcome, key, probe, &LIMITS, self.1, 0.0);
        }

        fn admit(&mut self) -> Admission {
            self.0.admit(true, self.1)
        }

        fn after(&mut self, seconds: u64) -> &mut Self {
            self.1 += Duration::from_secs(seconds);
            self
        }
    }

    #[test]
    fn it_opens_after_consecutive_failures_of_different_keys() {
        let mut bench = Bench::new();
        for key in [1, 1, 1, 1, 2, 2] {
            bench.fail(key);
        }
        assert_eq!((bench.0.failures, bench.admit()), (2, Admission::Pass));
        bench.settle(&Outcome::Success, 9, false);
        for key in [2, 3] {
            bench.fail(key);
            assert_eq!(bench.admit(), Admission::Pass);
        }
        bench.settle(&Outcome::Neither, 9, false);
        bench.fail(2);
        assert_eq!(bench.admit(), Admission::Open(Duration::from_secs(5)));
        assert_eq!(bench.after(2).admit(), Admission::Open(Duration::from_secs(3)));
    }

    #[test]
    fn it_recovers_through_one_probe_and_waits_longer_each_time() {
        let mut bench = Bench::new();
        (1..=3).for_each(|key| bench.fail(key));
        for wait in [5, 10, 20, 40, 60, 60] {
            assert_eq!(bench.after(wait - 1).admit(), Admission::Open(Duration::from_secs(1)), "{wait}");
            assert_eq!(bench.after(1).admit(), Admission::Probe, "{wait}");
            assert_eq!(bench.admit(), Admission::Open(PROBE_IS_OUT));
            bench.settle(&Outcome::Success, 0, false);
            assert_eq!(bench.admit(), Admission::Open(PROBE_IS_OUT), "an old request's success closes nothing");
            bench.settle(&Outcome::Failure(String::new()), 1, true);
        }
        assert_eq!(bench.after(60).admit(), Admission::Probe);
        bench.settle(&Outcome::Success, 1, true);
        assert_eq!(bench.admit(), Admission::Pass);
        (1..=3).for_each(|key| bench.fail(key));
        assert_eq!(bench.admit(), Admission::Open(Duration::from_secs(5)), "recovered, it starts anew");
    }

    #[test]
    fn a_pause_counts_neither_way() {
        let mut bench = Bench::new();
        (1..=2).for_each(|key| bench.fail(key));
        bench.settle(&Outcome::Pause(Duration::from_secs(20)), 7, false);
        bench.settle(&Outcome::Pause(Duration::from_secs(10)), 8, false);
        assert_eq!((bench.0.failures, bench.admit()), (2, Admission::Paused(Duration::from_secs(20))));
        assert_eq!(bench.0.admit(false, bench.1), Admission::Paused(Duration::from_secs(20)));
        assert_eq!(bench.after(20).admit(), Admission::Pass);
        bench.settle(&Outcome::Pause(Duration::from_hours(9)), 7, false);
        assert_eq!(bench.admit(), Admission::Paused(LONGEST_PAUSE));
    }

    #[test]
    fn a_probe_that_learns_nothing_hands_its_turn_on() {
        for outcome in [Outcome::Neither, Outcome::Pause(Duration::from_secs(1))] {
            let mut bench = Bench::new();
            (1..=3).for_each(|key| bench.fail(key));
            assert_eq!(bench.after(5).admit(), Admission::Probe);
            bench.settle(&outcome, 1, true);
            assert_eq!(bench.after(1).admit(), Admission::Probe, "{outcome:?}");
        }
    }

    #[test]
    fn uncounted_requests_neither_probe_nor_wait_for_one() {
        let mut bench = Bench::new();
        (1..=3).for_each(|key| bench.fail(key));
        assert!(matches!(bench.0.admit(false, bench.1), Admission::Open(_)));
        bench.after(5);
        assert_eq!(bench.0.admit(false, bench.1), Admission::Pass);
        assert_eq!(bench.admit(), Admission::Probe);
        assert_eq!(bench.0.admit(false, bench.1), Admission::Pass);
    }

    #[test]
    fn jitter_shortens_by_at_most_a_quarter() {
        let mut circuit = Circuit::default();
        let now = Instant::now();
        let one = BreakerSettings { failures: 1, ..LIMITS };
        circuit.settle(&Outcome::Failure(String::new()), 1, false, &one, now, 1.0);
        assert_eq!(circuit.phase, Phase::Open(now + Duration::from_millis(3750)));
    }
}
