//! The limits on a body that is under way: it must keep moving, and not too slowly. How long it takes in all is
//! nobody's business.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use crds::UpstreamSettings;
use futures_util::Stream;
use futures_util::stream::empty;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use crate::fetch::{BodyStream, FetchError, Phase};

/// What a body must keep to.
pub(super) struct Limits {
    idle: Duration,
    rate: u64,
    window: Duration,
    origin: String,
}

impl Limits {
    pub(super) fn of(settings: &UpstreamSettings, origin: String) -> Self {
        let window = UpstreamSettings::MINIMUM_RATE_WINDOW;
        Self { idle: settings.idle_timeout, rate: settings.minimum_rate, window, origin }
    }

    /// Watches `body`, and holds its place among the requests to the upstream until it ends, fails or is dropped.
    pub(super) fn keep(self, body: BodyStream, place: OwnedSemaphorePermit) -> BodyStream {
        Box::pin(Kept {
            timer: Box::pin(sleep(self.idle)),
            limits: self,
            body,
            place: Some(place),
            waiting: None,
            waited: Duration::ZERO,
            moved: 0,
        })
    }
}

/// Only the time that is spent waiting for the upstream counts: a reader that is slow itself wrongs nobody.
struct Kept {
    limits: Limits,
    body: BodyStream,
    /// A place among the requests to the upstream, while the body is under way.
    place: Option<OwnedSemaphorePermit>,
    timer: Pin<Box<Sleep>>,
    waiting: Option<Instant>,
    waited: Duration,
    moved: u64,
}

impl Kept {
    /// Closes the connection and frees the place, although the reader may keep the ended stream for long.
    fn end(&mut self) {
        self.body = Box::pin(empty());
        self.place = None;
    }

    fn too_slow(&mut self, phase: Phase) -> FetchError {
        self.end();
        FetchError::Timeout { origin: self.limits.origin.clone(), phase }
    }

    /// Counts a piece. Whether it is below the minimum rate is judged once a window of waiting is full.
    fn count(&mut self, piece: usize) -> Result<(), FetchError> {
        self.moved += piece as u64;
        if self.waited < self.limits.window {
            return Ok(());
        }
        let enough = self.limits.rate.saturating_mul(self.waited.as_secs());
        if self.moved < enough {
            return Err(self.too_slow(Phase::Rate));
        }
        (self.waited, self.moved) = (Duration::ZERO, 0);
        Ok(())
    }
}

impl Stream for Kept {
    type Item = Result<Bytes, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready(next) = self.body.as_mut().poll_next(context) else {
            if self.waiting.is_none() {
                let now = Instant::now();
                self.waiting = Some(now);
                let limit = now + self.limits.idle;
                self.timer.as_mut().reset(limit);
            }
            return match self.timer.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(self.too_slow(Phase::Idle)))),
                Poll::Pending => Poll::Pending,
            };
        };
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        Poll::Ready(match next {
            Some(Ok(piece)) => Some(self.count(piece.len()).map(|()| piece)),
            Some(Err(error)) => {
                self.end();
                Some(Err(error))
            }
            None => {
                self.end();
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    /// A body of `pieces` bytes each, `pause` apart, and its place.
    fn dripping(piece: usize, pieces: usize, pause: Duration) -> (BodyStream, Arc<Semaphore>) {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let drip = futures_util::stream::unfold(0, move |sent| async move {
            tokio::time::sleep(pause).await;
            (sent < pieces).then(|| (Ok(Bytes::from(vec![0; piece])), sent + 1))
        });
        let limits = Limits {
            idle: Duration::from_secs(30),
            rate: 1024,
            window: UpstreamSettings::MINIMUM_RATE_WINDOW,
            origin: "http://registry.example:80".into(),
        };
        (limits.keep(Box::pin(drip), place), places)
    }

    async fn ending(mut body: BodyStream) -> (usize, Option<Phase>) {
        let mut moved = 0;
        while let Some(piece) = body.next().await {
            match piece {
                Ok(piece) => moved += piece.len(),
                Err(FetchError::Timeout { phase, .. }) => {
                    assert!(body.next().await.is_none(), "nothing follows an error");
                    return (moved, Some(phase));
                }
                Err(other) => panic!("{other}"),
            }
        }
        (moved, None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_move_and_not_too_slowly() {
        for (piece, pieces, pause, moved, phase) in [
            // Ten hours at 2 KiB/s: slow, moving, welcome.
            (20_480, 3_600, 10, 3_600 * 20_480, None),
            // A byte a second: given up when the first window is full.
            (1, 1_000, 1, 59, Some(Phase::Rate)),
            (10 * 1024, 100, 10, 100 * 10 * 1024, None),
            (10 * 1024 - 1, 100, 10, 5 * (10 * 1024 - 1), Some(Phase::Rate)),
            (1, 1, 31, 0, Some(Phase::Idle)),
            (1 << 20, 5, 29, 5 << 20, None),
        ] {
            let (body, places) = dripping(piece, pieces, Duration::from_secs(pause));
            assert_eq!(places.available_permits(), 0);
            assert_eq!(ending(body).await, (moved, phase), "{piece} bytes every {pause} s");
            assert_eq!(places.available_permits(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_the_upstream_s_fault() {
        let (mut body, _) = dripping(1, 100, Duration::ZERO);
        while let Some(piece) = body.next().await {
            piece.unwrap();
            tokio::time::advance(Duration::from_mins(10)).await;
        }
    }
}
