//! Writes only while this process leads: a frozen leader that thaws finds its time is over before it can do harm.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

/// Until when this process may write.
#[derive(Debug, Default)]
pub struct Fence(Mutex<Bound>);

#[derive(Debug, Default)]
enum Bound {
    /// Never yet.
    #[default]
    Closed,
    /// Until then.
    Until(Instant),
    /// Always: there is no election.
    Open,
}

impl Fence {
    /// Lets writes pass until then.
    pub fn extend(&self, until: Instant) {
        *self.0.lock() = Bound::Until(until);
    }

    /// Lets writes pass for good.
    pub fn open(&self) {
        *self.0.lock() = Bound::Open;
    }

    /// Lets nothing pass any more.
    pub fn close(&self) {
        *self.0.lock() = Bound::Closed;
    }

    /// Whether writes pass now.
    pub fn is_open(&self) -> bool {
        match *self.0.lock() {
            Bound::Closed => false,
            Bound::Until(until) => Instant::now() < until,
            Bound::Open => true,
        }
    }
}

/// A write after the time of this leader.
#[derive(Debug, thiserror::Error)]
#[error("this process does not lead any more: nothing is written")]
pub(super) struct Fenced;

/// Puts a [`Fence`] before a client.
#[derive(Clone, Debug)]
pub struct FenceLayer(Arc<Fence>);

impl FenceLayer {
    /// With this fence.
    pub const fn new(fence: Arc<Fence>) -> Self {
        Self(fence)
    }
}

impl<S> Layer<S> for FenceLayer {
    type Service = FenceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FenceService { inner, fence: Arc::clone(&self.0) }
    }
}

/// A client with a [`Fence`].
#[derive(Debug)]
pub struct FenceService<S> {
    inner: S,
    fence: Arc<Fence>,
}

impl<S, B, R> Service<Request<B>> for FenceService<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError>,
    S::Future: Send + 'static,
    R: 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.method() != Method::GET && !self.fence.is_open() {
            return Box::pin(async { Err(Fenced.into()) });
        }
        Box::pin(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_pass_only_in_time() {
        let fence = Arc::new(Fence::default());
        let send = |method: Method| {
            let answer = tower::service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(())) });
            let service = FenceLayer::new(Arc::clone(&fence)).layer(answer);
            async move { service.oneshot(Request::builder().method(method).body(()).unwrap()).await.is_ok() }
        };
        assert!(send(Method::GET).await && !send(Method::PATCH).await);
        fence.extend(Instant::now() + Duration::from_secs(10));
        assert!(send(Method::PATCH).await && send(Method::DELETE).await);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(send(Method::GET).await && !send(Method::POST).await);
        fence.open();
        assert!(send(Method::PUT).await);
        fence.close();
        assert!(!send(Method::PUT).await);
    }
}
