//! Repeats what is worth repeating: requests that change nothing, before the first byte of a body, with waits that do
//! not fall together.

use std::time::Duration;

use crds::RetrySettings;
use http::{Method, StatusCode};
use jiff::Timestamp;

use super::retry_after::retry_after;
use super::{Ask, BoxFuture, Fetch, FetchError, Phase, Reply, tls};

/// Added to a wait that the upstream asks for: the breaker pauses the origin for the same time, by another clock.
const GRACE: Duration = Duration::from_millis(10);

/// Asks again.
pub struct Retry<F> {
    inner: F,
    settings: RetrySettings,
}

/// What an outcome means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the answer.
    Final,
    /// Another attempt, after a wait of our own choosing.
    Again,
    /// One more attempt after the wait that the upstream asks for, if that is short enough.
    After(Duration),
}

/// Judges a status.
pub fn judge_status(status: StatusCode, retry_after: Option<Duration>) -> Verdict {
    match (status.as_u16(), retry_after) {
        (429 | 503, Some(wait)) => Verdict::After(wait),
        (408 | 500 | 502 | 503 | 504, _) => Verdict::Again,
        _ => Verdict::Final,
    }
}

/// Judges an error. What has already waited for its full limit is not made to wait for it again, and what was decided
/// here, by the breaker, the filter or for want of a credential, will be decided alike the next time.
pub fn judge_error(error: &FetchError) -> Verdict {
    match error {
        FetchError::Connect { .. } | FetchError::Dns { .. } | FetchError::Broken { .. } => Verdict::Again,
        FetchError::Tls { reason, .. } if *reason == tls::HANDSHAKE => Verdict::Again,
        FetchError::Timeout {
            phase: Phase::Connect | Phase::Head | Phase::Idle | Phase::Rate | Phase::Queue, ..
        }
        | FetchError::Tls { .. }
        | FetchError::CircuitOpen { .. }
        | FetchError::Paused { .. }
        | FetchError::Forbidden { .. }
        | FetchError::Credential { .. }
        | FetchError::Trust { .. }
        | FetchError::Protocol { .. } => Verdict::Final,
    }
}

impl<F> Retry<F> {
    /// Repeats what `inner` fails at.
    pub fn new(inner: F, settings: RetrySettings) -> Self {
        Self { inner, settings }
    }

    /// The longest wait before attempt `attempt + 1`, counted from 0.
    fn ceiling(&self, attempt: u32) -> Duration {
        self.settings.base.saturating_mul(2_u32.saturating_pow(attempt)).min(self.settings.cap)
    }
}

impl<F: Fetch> Fetch for Retry<F> {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        Box::pin(async move {
            let repeatable = matches!(ask.method, Method::GET | Method::HEAD);
            let mut obeyed = false;
            let mut attempt = 0;
            loop {
                let outcome = self.inner.fetch(ask.clone()).await;
                if !repeatable || attempt >= self.settings.attempts {
                    return outcome;
                }
                let verdict = match &outcome {
                    Ok(reply) => judge_status(reply.status, retry_after(&reply.headers, Timestamp::now())),
                    Err(error) => judge_error(error),
                };
                let wait = match verdict {
                    Verdict::Again => self.ceiling(attempt).mul_f64(fastrand::f64()),
                    Verdict::After(wait) if !obeyed && wait <= self.settings.cap => {
                        obeyed = true;
                        wait + GRACE
                    }
                    Verdict::After(_) | Verdict::Final => return outcome,
                };
                // The reply holds a place among the requests to this upstream, and its body is not wanted.
                drop(outcome);
                attempt += 1;
                tokio::time::sleep(wait).await;
            }
        })
    }

    fn forget(&self) {
        self.inner.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::fetch::CircuitBreaker;
    use crate::fetch::testing::{Fake, ask, broken, reply, reply_with};

    #[test]
    fn every_status() {
        for code in 100..=999 {
            let status = StatusCode::from_u16(code).unwrap();
            let plain = if [408, 500, 502, 503, 504].contains(&code) { Verdict::Again } else { Verdict::Final };
            assert_eq!(judge_status(status, None), plain, "{code}");
            let wait = Duration::from_secs(7);
            let told = if [429, 503].contains(&code) { Verdict::After(wait) } else { plain };
            assert_eq!(judge_status(status, Some(wait)), told, "{code} with Retry-After");
        }
    }

    fn settings(attempts: u32) -> RetrySettings {
        RetrySettings { attempts, ..RetrySettings::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_until_it_succeeds_or_has_asked_enough() {
        for (failures, attempts, asked, status) in
            [(0, 2, 1, 200), (1, 2, 2, 200), (2, 2, 3, 200), (3, 2, 3, 500), (9, 0, 1, 500), (9, 4, 5, 500)]
        {
            let fake = Fake::numbered(move |ask, number| Ok(reply(ask, if number < failures { 500 } else { 200 })));
            let retry = Retry::new(Arc::clone(&fake), settings(attempts));
            let found = retry.fetch(ask("https://registry.example/a"));
            assert_eq!(found.await.unwrap().status.as_u16(), status);
            assert_eq!(fake.asked().len(), asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_are_jittered_below_a_doubling_ceiling() {
        for _ in 0..50 {
            let fake = Fake::new(|ask| Err(broken(ask)));
            let retry = Retry::new(Arc::clone(&fake), settings(9));
            let begun = Instant::now();
            assert!(retry.fetch(ask("https://registry.example/a")).await.is_err());
            // 0.2 + 0.4 + ... + 25.6, then the cap of 30, and a millisecond of the clock's grain each.
            assert!(begun.elapsed() <= Duration::from_millis(51_000 + 30_000 + 9));
            assert_eq!(fake.asked().len(), 10);
        }
        let retry = Retry::new((), settings(9));
        assert_eq!(
            [0, 1, 7, 8, 40].map(|attempt| retry.ceiling(attempt).as_millis()),
            [200, 400, 25_600, 30_000, 30_000]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_upstream_s_own_wait_is_kept_once() {
        for (seconds, asked, waited) in [("30", 2, 30), ("31", 1, 0), ("0", 2, 0)] {
            for status in [429, 503] {
                let fake = Fake::new(move |ask| Ok(reply_with(ask, status, &[("retry-after", seconds)], "")));
                let begun = Instant::now();
                let found = Retry::new(Arc::clone(&fake), settings(5)).fetch(ask("https://registry.example/a")).await;
                assert_eq!(found.unwrap().status.as_u16(), status);
                assert_eq!((fake.asked().len(), begun.elapsed().as_secs()), (asked, waited), "{status} {seconds}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_something_is_sent_once() {
        for (method, asked) in [(Method::POST, 1), (Method::GET, 3), (Method::HEAD, 3)] {
            let fake = Fake::new(|ask| Err(broken(ask)));
            let ask = Ask { method, ..ask("https://registry.example/a") };
            assert!(Retry::new(Arc::clone(&fake), settings(2)).fetch(ask).await.is_err());
            assert_eq!(fake.asked().len(), asked);
        }
    }

    /// The breaker below pauses the origin for as long as the retry waits, and lets it through afterwards.
    #[tokio::test(start_paused = true)]
    async fn a_kept_wait_ends_the_pause() {
        let fake = Fake::numbered(|ask, number| match number {
            0 => Ok(reply_with(ask, 429, &[("retry-after", "7")], "")),
            _ => Ok(reply(ask, 200)),
        });
        let guarded = CircuitBreaker::new(Arc::clone(&fake), Arc::default(), crds::BreakerSettings::default());
        let retry = Retry::new(guarded, settings(2));
        let found = retry.fetch(ask("https://registry.example/a")).await;
        assert_eq!((found.unwrap().status.as_u16(), fake.asked().len()), (200, 2));
    }

    #[test]
    fn errors_that_repeat_themselves_are_final() {
        let origin = || "https://registry.example:443".to_owned();
        let source = || -> super::super::Source { Arc::new(std::io::Error::other("x")) };
        let url = || ask("https://registry.example/").url;
        let tls = |reason| FetchError::Tls { origin: origin(), reason, source: source() };
        for (error, verdict) in [
            (FetchError::Connect { origin: origin(), source: source() }, Verdict::Again),
            (FetchError::Dns { origin: origin(), source: source() }, Verdict::Again),
            (FetchError::Broken { origin: origin(), source: source() }, Verdict::Again),
            (tls(tls::HANDSHAKE), Verdict::Again),
            (tls("its certificate has expired"), Verdict::Final),
            (FetchError::Timeout { origin: origin(), phase: Phase::Head }, Verdict::Final),
            (FetchError::CircuitOpen { origin: origin(), retry_after: Duration::ZERO }, Verdict::Final),
            (FetchError::Paused { origin: origin(), retry_after: Duration::ZERO }, Verdict::Final),
            (FetchError::Forbidden { url: url(), reason: String::new() }, Verdict::Final),
            (FetchError::Credential { reason: String::new() }, Verdict::Final),
            (FetchError::Protocol { origin: origin(), reason: String::new() }, Verdict::Final),
        ] {
            assert_eq!(judge_error(&error), verdict, "{error:?}");
        }
    }
}
