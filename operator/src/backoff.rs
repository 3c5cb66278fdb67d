//! Waits that double, with jitter.

use std::time::Duration;

/// Waits that double from `first` to `cap`, each shortened at random by up to a half so that many do not come at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Nothing failed yet.
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, failures: 0 }
    }

    /// After one more failure.
    pub fn wait(&mut self) -> Duration {
        let wait = self.first.saturating_mul(1 << self.failures.min(20)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// After a success; whether something had failed before.
    pub const fn reset(&mut self) -> bool {
        let failed = self.failures > 0;
        self.failures = 0;
        failed
    }
}

/// A period with a tenth more or less, so that what began together does not stay together.
pub fn jittered(period: Duration) -> Duration {
    period.mul_f64(0.9 + fastrand::f64() / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        assert!(!backoff.reset());
        for full in [1, 2, 4, 8, 16, 30, 30] {
            let wait = backoff.wait().as_millis();
            assert!((full * 500..=full * 1000).contains(&wait), "{full}: {wait}");
        }
        assert!(backoff.reset() && !backoff.reset());
        assert!(backoff.wait() <= Duration::from_secs(1));
    }
}
