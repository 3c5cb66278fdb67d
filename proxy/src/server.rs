//! Listeners: accept, speak HTTP/1.1 and HTTP/2 by prior knowledge, drain. Whoever connects gets a place, a time for
//! each thing that is its turn, and nothing that two parsers could read differently.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};

use self::activity::{Activity, Tracked};
use self::sendfile::SendFile;
use self::watched::Watched;

mod activity;
mod framing;
mod sendfile;
mod tls;
mod watched;

pub use sendfile::Lane;
pub use tls::Tls;

#[cfg(test)]
mod tests;

/// Longest header block of a request in bytes.
const HEADER_LIMIT: usize = 64 << 10;
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 128;
/// After a failure to accept, such as too many open files, nothing is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a listener stands in the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Not ready any more, but still accepting: others have yet to learn of it.
    Leaving,
    /// Accepting nothing; what is under way is finished.
    Draining,
}

/// What a listener and its clients must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; those beyond it wait in the backlog.
    pub connections: usize,
    /// From the connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the connection, or from the handshake, to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a header block to its last.
    pub head: Duration,
    /// From the end of a response to the next request.
    pub idle: Duration,
    /// Without a single byte taken while there is something to send.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stalled: Duration::from_mins(1),
        }
    }
}

/// Binds a port. `[::]` takes IPv4 as well, whatever the machine's default is, and stands for `0.0.0.0` where there is
/// no IPv6, so that the same arguments do everywhere.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match listen(address) {
        Err(error) if is_for_want_of_ipv6(address, &error) => listen((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        listening => listening,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(address)?;
    socket.listen(4096)
}

/// Whether `[::]` cannot be had because this machine, or this network namespace, has no IPv6.
fn is_for_want_of_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    let any = address.is_ipv6() && address.ip().is_unspecified();
    any && matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// Serves until the phase is [`Phase::Draining`] and every request is answered. With `tls` nothing is answered in the
/// clear.
pub async fn serve<S, F, B>(
    listener: TcpListener,
    mut phase: watch::Receiver<Phase>,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    service: S,
) where
    S: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = bytes::Bytes, Error: std::error::Error + Send + Sync> + From<&'static str> + Send + 'static,
{
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let server = Arc::new(speaker(&limits));
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            listener.accept().await.map(|accepted| (accepted, place))
        };
        let accepted = tokio::select! {
            accepted = accept => accepted,
            _ = phase.wait_for(|phase| *phase == Phase::Draining) => break,
        };
        let ((stream, peer), place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Without it a body whose head was sent alone waits for a delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let peer = peer.ip().to_canonical();
        let (server, service, watcher) = (Arc::clone(&server), service.clone(), connections.watcher());
        let (tls, mut phase) = (tls.clone(), phase.clone());
        tokio::spawn(async move {
            let ended = match tls {
                None => {
                    let stream = SendFile::new(stream);
                    let lane = Some(stream.lane());
                    watcher.watch(connection(&server, stream, lane, peer, limits, service)).await.map_err(display)
                }
                Some(tls) => {
                    let handshake = tokio::time::timeout(limits.handshake, tls.accept(stream));
                    let shaken = tokio::select! {
                        shaken = handshake => shaken,
                        _ = phase.wait_for(|phase| *phase == Phase::Draining) => return,
                    };
                    match shaken {
                        Ok(Ok(stream)) => watcher
                            .watch(connection(&server, stream, None, peer, limits, service))
                            .await
                            .map_err(display),
                        Ok(Err(error)) => Err(display(error)),
                        Err(late) => Err(display(late)),
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

fn display(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The settings of both protocols.
fn speaker(limits: &Limits) -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        // It runs from the end of the last response, so it comes after both of ours. It catches what only the parser
        // sees: half a header block that arrived behind the request before it.
        .header_read_timeout(limits.idle + limits.head)
        .max_buf_size(HEADER_LIMIT + (16 << 10))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIMIT as u32)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    server
}

/// Which connection a request came on: clients behind one address are told apart by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Connection(pub u64);

/// The number of the next connection.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One connection: every request that can be understood in one way only goes to `service`. A `lane` belongs to a stream
/// that what is written reaches as it is; HTTP/2 puts its frames around it.
fn connection<T, S, F, B>(
    server: &Builder<TokioExecutor>,
    stream: T,
    lane: Option<Lane>,
    peer: IpAddr,
    limits: Limits,
    service: S,
) -> impl GracefulConnection<Error: std::fmt::Display> + Send + use<T, S, F, B>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = bytes::Bytes, Error: std::error::Error + Send + Sync> + From<&'static str> + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let stream = Watched::new(stream, Arc::clone(&activity), limits);
    let number = Connection(NEXT.fetch_add(1, Ordering::Relaxed));
    let respond = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(number);
        if let Some(lane) = lane.as_ref().filter(|_| request.version() <= Version::HTTP_11) {
            request.extensions_mut().insert(lane.clone());
        }
        let under_way = activity.begin();
        let refused = framing::refusal(&request);
        let service = service.clone();
        async move {
            let response = match refused {
                Some(refusal) => refusal.response(),
                None => service(request, peer).await,
            };
            Ok::<_, Infallible>(response.map(|body| Tracked::new(body, under_way)))
        }
    });
    server.serve_connection(TokioIo::new(stream), respond).into_owned()
}
