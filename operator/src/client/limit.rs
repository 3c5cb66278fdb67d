//! A bounded rate of requests, and what an overloaded API server asks for: after a 429 one request at a time, each
//! no earlier than the server said.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service, ServiceExt as _};

use super::Activity;

/// The longest that a server's `Retry-After` is obeyed.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// What a 429 without `Retry-After` means.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// A token bucket, and the pause that a server asked for.
#[derive(Debug)]
pub struct Limit {
    interval: Duration,
    burst: u32,
    /// When the next token is due if requests come without a gap (generic cell rate algorithm).
    due: Mutex<Instant>,
    /// Set while the server asks for patience.
    pause: Mutex<Option<Instant>>,
    /// Held by the one request that is under way during a pause.
    turn: tokio::sync::Mutex<()>,
}

impl Limit {
    /// So many requests a second, and twice as many at once.
    pub fn per_second(rate: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / rate.max(1),
            burst: rate.saturating_mul(2),
            due: Mutex::new(Instant::now()),
            pause: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Waits for a token.
    async fn token(&self) {
        let at = {
            let mut due = self.due.lock();
            let now = Instant::now();
            *due = (*due).max(now) + self.interval;
            *due - self.interval * self.burst
        };
        tokio::time::sleep_until(at).await;
    }

    fn paused(&self) -> Option<Instant> {
        *self.pause.lock()
    }

    /// Takes notice of an answer.
    fn answered<B>(&self, answer: &Response<B>) {
        let after = answer.headers().get(header::RETRY_AFTER);
        let overloaded = answer.status() == StatusCode::TOO_MANY_REQUESTS
            || (answer.status() == StatusCode::SERVICE_UNAVAILABLE && after.is_some());
        let seconds = after.and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
        let pause = seconds.map_or(SHORTEST_PAUSE, Duration::from_secs).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let now = Instant::now();
        let mut until = self.pause.lock();
        if overloaded {
            *until = Some(until.map_or(now + pause, |before| before.max(now + pause)));
        } else if until.is_some_and(|until| now >= until) {
            // What was sent before the server asked for patience says nothing.
            *until = None;
        }
    }
}

/// Puts a [`Limit`] before a client, notes the [`Activity`], and bounds the wait for the head of a response.
#[derive(Clone, Debug)]
pub struct LimitLayer {
    limit: Arc<Limit>,
    activity: Arc<Activity>,
    head_timeout: Duration,
}

impl LimitLayer {
    /// With this limit.
    pub const fn new(limit: Arc<Limit>, activity: Arc<Activity>, head_timeout: Duration) -> Self {
        Self { limit, activity, head_timeout }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService { inner: Arc::new(tokio::sync::Mutex::new(inner)), layer: self.clone() }
    }
}

/// A client with a [`Limit`].
#[derive(Debug)]
pub struct LimitService<S> {
    /// Held from readiness to the call, not during the call.
    inner: Arc<tokio::sync::Mutex<S>>,
    layer: LimitLayer,
}

/// The API server did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {0:?}")]
pub(super) struct Unanswered(Duration);

impl<S, B, R> Service<Request<B>> for LimitService<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (inner, layer) = (Arc::clone(&self.inner), self.layer.clone());
        Box::pin(async move {
            layer.limit.token().await;
            let mut turn = None;
            if layer.limit.paused().is_some() {
                turn = Some(layer.limit.turn.lock().await);
                // The request before may have found the server well again.
                if let Some(until) = layer.limit.paused() {
                    tokio::time::sleep_until(until).await;
                }
            }
            layer.activity.note(request.uri().path());
            let answer = inner.lock().await.ready().await?.call(request);
            let answer = tokio::time::timeout(layer.head_timeout, answer);
            let answer = answer.await.map_err(|_| Unanswered(layer.head_timeout))??;
            layer.limit.answered(&answer);
            drop(turn);
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Times = Arc<Mutex<Vec<Duration>>>;

    /// Sends `count` requests at once to a server that answers so; when each arrived.
    async fn send(limit: &Arc<Limit>, count: usize, answer: fn(Duration) -> Response<()>) -> Vec<Duration> {
        let start = Instant::now();
        let times: Times = Arc::default();
        let activity = Arc::new(Activity::default());
        let noted = Arc::clone(&times);
        let server = tower::service_fn(move |_: Request<()>| {
            noted.lock().push(start.elapsed());
            let answer = answer(start.elapsed());
            async move { Ok::<_, BoxError>(answer) }
        });
        let mut service = LimitLayer::new(Arc::clone(limit), activity, Duration::from_secs(10)).layer(server);
        let calls: Vec<_> = (0..count).map(|_| tokio::spawn(service.call(Request::new(())))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        times.lock().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_bounded() {
        let limit = Arc::new(Limit::per_second(10));
        let times = send(&limit, 50, |_| Response::new(())).await;
        assert_eq!(times.iter().filter(|time| time.is_zero()).count(), 20);
        assert!((2900..=3100).contains(&times[49].as_millis()), "{:?}", times[49]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_overloaded_server_is_asked_once_in_its_time() {
        let limit = Arc::new(Limit::per_second(100));
        let busy = |since: Duration| {
            let mut answer = Response::new(());
            if since < Duration::from_secs(20) {
                *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
            }
            answer
        };
        // The first finds out; the others wait for their turn.
        send(&limit, 1, busy).await;
        let times = send(&limit, 12, busy).await;
        let seconds: Vec<u64> = times.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds[..4], [5, 10, 15, 20]);
        assert!(seconds[4..].iter().all(|second| *second == 20), "{seconds:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_an_error() {
        let limit = Arc::new(Limit::per_second(1));
        let server = tower::service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, BoxError>>());
        let mut service = LimitLayer::new(limit, Arc::default(), Duration::from_secs(10)).layer(server);
        let error = service.call(Request::new(())).await.unwrap_err();
        assert!(error.to_string().contains("did not answer within 10s"), "{error}");
    }
}
