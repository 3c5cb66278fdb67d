//! Whose Lease has not moved for long enough, measured by this process's monotonic clock.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::store::Key;

/// When each Lease was first seen as it is.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<HashMap<Key, (LeaseSpec, Instant)>>);

impl Silence {
    /// Whether a Lease was seen unchanged for as long as its holder promised, and for `least` at least.
    pub(super) fn is_silent(&self, key: &Key, spec: &LeaseSpec, least: Duration) -> bool {
        let now = Instant::now();
        let mut all = self.0.lock();
        let seen = all.entry(key.clone()).or_insert_with(|| (spec.clone(), now));
        if seen.0 != *spec {
            *seen = (spec.clone(), now);
        }
        let promised = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        now >= seen.1 + Duration::from_secs(promised).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_silent_once_it_has_not_moved_for_its_time() {
        let (silence, key) = (Silence::default(), Key::new("team", "scope"));
        let spec = |transitions| LeaseSpec {
            lease_duration_seconds: Some(60),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        let half = Duration::from_secs(30);
        assert!(!silence.is_silent(&key, &spec(1), half));
        tokio::time::advance(half).await;
        assert!(!silence.is_silent(&key, &spec(2), half));
        tokio::time::advance(half).await;
        assert!(!silence.is_silent(&key, &spec(2), half));
        tokio::time::advance(half).await;
        assert!(silence.is_silent(&key, &spec(2), half) && !silence.is_silent(&key, &spec(3), half));
    }
}
