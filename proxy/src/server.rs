//! Listeners: accept, speak HTTP/1.1 and HTTP/2 by prior knowledge, drain. Whoever connects gets a place, a time for
//! each thing that is its turn, and nothing that two parsers could read differently.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};

use self::conversation::{Conversation, Ended, Speakers};
use self::sendfile::SendFile;

mod activity;
mod conversation;
mod framing;
mod sendfile;
mod streams;
mod tls;
mod watched;

pub use sendfile::Lane;
pub use tls::Tls;

#[cfg(test)]
mod tests;

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
    // What is accepted inherits it. Without it a body whose head was sent alone waits for a delayed acknowledgement.
    socket.set_nodelay(true)?;
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
    phase: watch::Receiver<Phase>,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    service: S,
) where
    S: Fn(Request<Incoming>, Arrival) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = bytes::Bytes, Error: std::error::Error + Send + Sync> + From<&'static str> + Send + 'static,
{
    let all_places = limits.connections.clamp(1, 1 << 24);
    let places = Arc::new(Semaphore::new(all_places));
    let speakers = Arc::new(Speakers::new(limits));
    let mut end = pin!(draining(phase.clone()));
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            listener.accept().await.map(|accepted| (accepted, place))
        };
        let accepted = tokio::select! {
            accepted = accept => accepted,
            () = &mut end => break,
        };
        let ((stream, peer), place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let conversation = Conversation {
            peer: peer.ip().to_canonical(),
            limits,
            speakers: Arc::clone(&speakers),
            service: service.clone(),
            phase: phase.clone(),
        };
        let tls = tls.clone();
        tokio::spawn(async move {
            let ended = match tls {
                None => {
                    let stream = SendFile::new(stream);
                    let lane = stream.lane();
                    conversation.hold(stream, Some(lane)).await
                }
                // In the clear nobody pays for the room that this takes.
                Some(tls) => Box::pin(hold_secured(&tls, stream, conversation)).await,
            };
            if let Err(error) = ended {
                tracing::debug!(error, peer = %peer.ip(), "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    // Every connection has given its place back.
    let _ = places.acquire_many(all_places as u32).await;
}

/// A connection over TLS.
async fn hold_secured<S, F, B>(tls: &Tls, stream: TcpStream, conversation: Conversation<S>) -> Ended
where
    S: Fn(Request<Incoming>, Arrival) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = bytes::Bytes, Error: std::error::Error + Send + Sync> + From<&'static str> + Send + 'static,
{
    let draining = draining(conversation.phase.clone());
    match before(draining, tls.handshake(stream, conversation.limits.handshake)).await {
        Some(stream) => conversation.hold(stream?, None).await,
        None => Ok(()),
    }
}

/// What has to happen before the first request, or `None` once it would hold up the end of the process.
async fn before<T>(draining: impl Future, opening: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        opened = opening => Some(opened),
        _ = draining => None,
    }
}

/// Waits until nothing new is to be begun.
async fn draining(mut phase: watch::Receiver<Phase>) {
    // Without a sender the end is near as well.
    let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
}

/// Which connection a request came on: clients behind one address are told apart by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Connection(pub u64);

/// How a request came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// From where.
    pub peer: IpAddr,
    /// On which connection.
    pub connection: Connection,
    /// Where a file may be put that the kernel is to send in answer to it; not every connection has such a place.
    pub lane: Option<Lane>,
}
