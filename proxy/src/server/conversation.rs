//! One connection from its first bytes, which tell what the client speaks, to its last request.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::{Sleep, Timer};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::activity::{Activity, Tracked};
use super::streams::{Paced, Streams};
use super::watched::{Protocol, Watched};
use super::{Arrival, Connection, Lane, Limits, Phase, before, draining, framing};

/// Longest header block of a request in bytes.
const HEADER_LIMIT: usize = 64 << 10;
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 128;

/// The settings of both protocols.
pub(super) struct Speakers {
    http1: http1::Builder,
    http2: http2::Builder<Streams>,
}

impl Speakers {
    pub(super) fn new(limits: Limits) -> Self {
        let streams = Streams { stalled: limits.stalled };
        let (mut http1, mut http2) = (http1::Builder::new(), http2::Builder::new(streams));
        http1.timer(Timeless).header_read_timeout(Duration::ZERO).max_buf_size(HEADER_LIMIT + (16 << 10));
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEADER_LIMIT as u32)
            .keep_alive_interval(Some(Duration::from_secs(30)));
        Self { http1, http2 }
    }
}

/// Whoever is slow is left by [`Watched`]. It has to be asked for the next request as soon as one is answered, which
/// hyper does only where it keeps a time for that itself: this one never comes, and costs nothing.
struct Timeless;

#[expect(clippy::disallowed_types, reason = "the trait's")]
impl Timer for Timeless {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Self)
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Self)
    }
}

impl Sleep for Timeless {}

impl Future for Timeless {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// Why a connection ended before its client was done.
pub(super) type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The number of the next connection.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What is needed to talk to one client.
pub(super) struct Conversation<S> {
    pub(super) peer: IpAddr,
    pub(super) limits: Limits,
    pub(super) speakers: Arc<Speakers>,
    pub(super) service: S,
    /// Ends it after the request that is under way.
    pub(super) phase: watch::Receiver<Phase>,
}

impl<S> Conversation<S> {
    /// Every request that can be understood in one way only goes to the service. A `lane` belongs to a stream that what
    /// is written reaches as it is; HTTP/2 puts its frames around it.
    pub(super) async fn hold<T, F, B>(self, stream: T, lane: Option<Lane>) -> Ended
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Fn(Request<Incoming>, Arrival) -> F + Clone + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = bytes::Bytes, Error: std::error::Error + Send + Sync> + From<&'static str> + Send + 'static,
    {
        let Self { peer, limits, speakers, service, phase } = self;
        let mut draining = pin!(draining(phase));
        let activity = Arc::new(Activity::default());
        let mut stream = Watched::new(stream, Arc::clone(&activity), limits);
        let Some(protocol) = before(draining.as_mut(), stream.opening()).await else { return Ok(()) };
        let protocol = protocol?;
        let connection = Connection(NEXT.fetch_add(1, Ordering::Relaxed));
        let lane = lane.filter(|_| protocol == Protocol::Http1);
        let respond = service_fn(move |request: Request<Incoming>| {
            let arrival = Arrival { peer, connection, lane: lane.clone() };
            let under_way = activity.begin();
            let refused = framing::refusal(&request);
            let service = service.clone();
            async move {
                let response = match refused {
                    Some(refusal) => refusal.response(),
                    None => service(request, arrival).await,
                };
                Ok::<_, Infallible>(response.map(|body| Tracked::new(Paced::new(body), under_way)))
            }
        });
        let stream = TokioIo::new(stream);
        match protocol {
            Protocol::Http1 => to_the_end(pin!(speakers.http1.serve_connection(stream, respond)), draining).await?,
            Protocol::Http2 => {
                let mut connection = Box::pin(speakers.http2.serve_connection(stream, respond));
                to_the_end(connection.as_mut(), draining).await?;
            }
        }
        Ok(())
    }
}

/// Answers requests until the client has no more, or until the one that is under way when `draining` comes.
async fn to_the_end<C: GracefulConnection>(mut connection: Pin<&mut C>, draining: impl Future) -> Result<(), C::Error> {
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        _ = draining => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
