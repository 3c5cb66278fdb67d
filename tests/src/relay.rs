//! A relay in front of the API server that records what passes and breaks it by rules, which can change while it runs.
//!
//! It is plain HTTP towards the operator, whose token it passes on: the faults are those of HTTP and of connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Uri;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::{Client, Config};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

pub use call::Call;
pub use fault::{Fault, Rule, WatchFault};
use forward::answer;

use crate::port::Port;

mod call;
mod fault;
mod forward;
#[cfg(test)]
mod tests;

/// A relay. Dropping it closes every connection.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
    listening: watch::Sender<bool>,
    server: JoinHandle<()>,
}

/// What the connections of a relay share.
struct State {
    upstream: Client,
    origin: Uri,
    calls: Mutex<Vec<Call>>,
    rules: Mutex<Vec<(u64, Rule)>>,
    next_rule: AtomicU64,
    watches: watch::Sender<Option<WatchFault>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").field("calls", &self.calls.lock().len()).finish_non_exhaustive()
    }
}

/// Names a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u64);

impl Relay {
    /// Starts a relay to a server whose certificate one of these authorities (DER) has issued.
    #[expect(clippy::unused_async, reason = "what it starts needs a runtime around it")]
    pub async fn start(origin: Uri, authorities: Option<Vec<Vec<u8>>>) -> Self {
        let mut config = Config::new(origin.clone());
        config.root_cert = authorities;
        config.default_retry = false;
        config.write_timeout = None;
        let upstream = Client::try_from(config).expect("a client of the API server");
        let state = Arc::new(State {
            upstream,
            origin,
            calls: Mutex::default(),
            rules: Mutex::default(),
            next_rule: AtomicU64::new(0),
            watches: watch::Sender::new(None),
        });
        let port = Port::take(Ipv4Addr::LOCALHOST).expect("a free port");
        let (address, listener) = (port.address(), port.listen().expect("a port of our own"));
        let listening = watch::Sender::new(true);
        let server = tokio::spawn(serve(port, listener, Arc::clone(&state), listening.subscribe()));
        Self { address, state, listening, server }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked so far, in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().clone()
    }

    /// Number of calls so far: what follows is `calls()[mark..]`.
    pub fn mark(&self) -> usize {
        self.state.calls.lock().len()
    }

    /// The calls after a mark that change something, other than those of the Lease.
    pub fn writes_since(&self, mark: usize) -> Vec<Call> {
        self.calls().split_off(mark).into_iter().filter(|call| call.is_write() && !call.is_lease()).collect()
    }

    /// The same as [`Self::writes_since`] from the beginning.
    pub fn writes(&self) -> Vec<Call> {
        self.writes_since(0)
    }

    /// Adds a rule. The first rule that applies to a call decides.
    pub fn add(&self, rule: Rule) -> RuleId {
        let id = self.state.next_rule.fetch_add(1, Ordering::Relaxed);
        self.state.rules.lock().push((id, rule));
        RuleId(id)
    }

    /// Takes a rule away. Calls that hang because of it stay so until their client gives up.
    pub fn remove(&self, id: RuleId) {
        self.state.rules.lock().retain(|(other, _)| *other != id.0);
    }

    /// Takes all rules away and listens again.
    pub fn heal(&self) {
        self.state.rules.lock().clear();
        self.listening.send_replace(true);
    }

    /// Closes every connection and the port: connecting is refused until [`Self::heal`].
    pub fn refuse(&self) {
        self.listening.send_replace(false);
    }

    /// Does this to every watch that is open now.
    pub fn break_watches(&self, fault: WatchFault) {
        self.state.watches.send_replace(Some(fault));
    }

    /// Watches that have not ended.
    pub fn open_watches(&self) -> usize {
        self.state.watches.receiver_count()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(port: Port, listener: TcpListener, state: Arc<State>, mut listening: watch::Receiver<bool>) {
    let mut listener = Some(listener);
    loop {
        // Dropped at the end of a round, and with it every connection.
        let mut connections = JoinSet::new();
        let open = listener.take().unwrap_or_else(|| port.listen().expect("a port of our own"));
        while *listening.borrow_and_update() {
            tokio::select! {
                accepted = open.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection(stream, Arc::clone(&state)));
                }
                _ = connections.join_next(), if !connections.is_empty() => {}
                changed = listening.changed() => if changed.is_err() { return },
            }
        }
        drop((open, connections));
        if listening.wait_for(|open| *open).await.is_err() {
            return;
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, state: Arc<State>) {
    let service = service_fn(|request| answer(Arc::clone(&state), request));
    // An error is a connection that a fault or the client has cut.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

impl State {
    /// Notes a call and decides what becomes of it.
    fn arrive(&self, mut call: Call) -> (usize, Option<Fault>) {
        let mut calls = self.calls.lock();
        call.at = Instant::now();
        let index = calls.len();
        let fault = self.rules.lock().iter_mut().find_map(|(_, rule)| rule.apply(&call));
        call.faulted = fault.is_some();
        calls.push(call);
        (index, fault)
    }

    fn finish(&self, index: usize, status: u16) {
        let mut calls = self.calls.lock();
        calls[index].status = Some(status);
        calls[index].took = Some(calls[index].at.elapsed());
    }
}
