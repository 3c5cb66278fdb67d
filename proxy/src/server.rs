//! Listeners: accept, speak HTTP/1.1 and HTTP/2 by prior knowledge, drain.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// A client that has not sent its headers by then is not going to.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
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

/// Binds a port.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

/// Serves until the phase is [`Phase::Draining`] and every request is answered.
pub async fn serve<S, F, B>(listener: TcpListener, mut phase: watch::Receiver<Phase>, service: S)
where
    S: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = bytes::Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let connections = GracefulShutdown::new();
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_LIMIT + (16 << 10))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIMIT as u32)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase == Phase::Draining) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Without it a body whose head was sent alone waits for a delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        let respond = service_fn(move |request| {
            let response = service(request, peer.ip().to_canonical());
            async move { Ok::<_, Infallible>(response.await) }
        });
        let connection = server.serve_connection(TokioIo::new(stream), respond).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection ended early");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}
