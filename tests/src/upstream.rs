//! The scripted upstream: a registry on loopback that answers well, badly or not at all, as the test says, and
//! remembers every request.
//!
//! It writes HTTP/1.1 by hand, so that wrong lengths, resets and unfinished bodies are possible.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use gate::Gate;
pub use log::Logged;
pub use reply::{Reply, Step};
pub use resource::Resource;

use crate::port::Port;
use crate::wait::within;

mod connection;
mod gate;
mod log;
mod reply;
mod resource;

/// One server on a loopback port. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Upstream {
    port: Port,
    state: Arc<State>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

/// What the connections share with the test.
#[derive(Debug)]
struct State {
    steady: Mutex<HashMap<String, Scripted>>,
    scripts: Mutex<HashMap<String, VecDeque<Scripted>>>,
    everything: Mutex<Option<Reply>>,
    accounts: Mutex<Option<Vec<String>>>,
    challenge: Mutex<String>,
    log: Mutex<Vec<Logged>>,
    logged: watch::Sender<usize>,
    connections: watch::Sender<usize>,
}

/// What a path answers.
#[derive(Clone, Debug)]
pub enum Scripted {
    /// With validators and ranges, as a registry does.
    Resource(Resource),
    /// Exactly so, whatever was asked.
    Reply(Reply),
}

impl From<Resource> for Scripted {
    fn from(resource: Resource) -> Self {
        Self::Resource(resource)
    }
}

impl From<Reply> for Scripted {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Upstream {
    /// A server on a free port of 127.0.0.1. Every path is 404 until something is set.
    pub async fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST).await
    }

    /// A server on a free port of another address of this machine, which pods reach for example.
    #[expect(clippy::unused_async, reason = "what it starts needs a runtime around it")]
    pub async fn start_at(address: Ipv4Addr) -> Self {
        let upstream = Self {
            port: Port::take(address).expect("a free port"),
            state: Arc::new(State {
                steady: Mutex::default(),
                scripts: Mutex::default(),
                everything: Mutex::default(),
                accounts: Mutex::default(),
                challenge: Mutex::new("Basic".to_owned()),
                log: Mutex::default(),
                logged: watch::Sender::new(0),
                connections: watch::Sender::new(0),
            }),
            acceptor: Mutex::new(None),
        };
        upstream.listen();
        upstream
    }

    fn listen(&self) {
        let listener = self.port.listen().expect("a port of our own");
        let state = Arc::clone(&self.state);
        *self.acceptor.lock() = Some(tokio::spawn(async move {
            // Owns the connections: aborting this task closes them all.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let number = state.connected();
                connections.spawn(connection::serve(socket, number, Arc::clone(&state)));
                while connections.try_join_next().is_some() {}
            }
        }));
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `http://127.0.0.1:PORT` and the path, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// What a path answers from now on, once its script is used up. Paths are compared after percent-decoding and
    /// without their query.
    pub fn set(&self, path: &str, with: impl Into<Scripted>) {
        self.state.steady.lock().insert(log::decoded(path), with.into());
    }

    /// Takes an answer away: the path is 404 again.
    pub fn unset(&self, path: &str) {
        self.state.steady.lock().remove(&log::decoded(path));
    }

    /// Appends one answer to a path's script: each is given once, before the steady one.
    pub fn then(&self, path: &str, with: impl Into<Scripted>) -> &Self {
        self.state.scripts.lock().entry(log::decoded(path)).or_default().push_back(with.into());
        self
    }

    /// Answers everything in this way until [`Self::recover`].
    pub fn fail_with(&self, reply: Reply) {
        *self.state.everything.lock() = Some(reply);
    }

    /// Ends [`Self::fail_with`].
    pub fn recover(&self) {
        *self.state.everything.lock() = None;
    }

    /// Answers 401 to every request whose `Authorization` is none of these.
    pub fn require(&self, accounts: &[&str]) {
        *self.state.accounts.lock() = Some(accounts.iter().map(|&account| account.to_owned()).collect());
    }

    /// What those 401 say in `WWW-Authenticate`.
    pub fn challenge(&self, with: &str) {
        with.clone_into(&mut self.state.challenge.lock());
    }

    /// Closes the port and every connection: the next client is refused.
    pub async fn stop(&self) {
        let acceptor = self.acceptor.lock().take();
        if let Some(task) = acceptor {
            task.abort();
            let _ = task.await;
        }
    }

    /// Listens on the same port again.
    pub async fn resume(&self) {
        self.stop().await;
        self.listen();
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Logged> {
        self.state.log.lock().clone()
    }

    /// The requests for one path, compared as in [`Self::set`].
    pub fn requests_of(&self, path: &str) -> Vec<Logged> {
        let path = log::decoded(path);
        self.state.log.lock().iter().filter(|logged| logged.path() == path).cloned().collect()
    }

    /// How many requests a path has had.
    pub fn count(&self, path: &str) -> usize {
        self.requests_of(path).len()
    }

    /// How many requests there were at all.
    pub fn total(&self) -> usize {
        self.state.log.lock().len()
    }

    /// How many connections were opened, with or without a request.
    pub fn connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Returns once a path has had `requests` requests.
    ///
    /// # Panics
    /// After the time that [`within`] gives.
    pub async fn wait_for(&self, path: &str, requests: usize) {
        let mut logged = self.state.logged.subscribe();
        within(&format!("{requests} requests of {path}"), logged.wait_for(|_| self.count(path) >= requests))
            .await
            .expect("the upstream outlives its subscribers");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(task) = self.acceptor.lock().take() {
            task.abort();
        }
    }
}

impl State {
    fn connected(&self) -> usize {
        self.connections.send_modify(|count| *count += 1);
        *self.connections.borrow()
    }

    /// Remembers a request and finds its answer.
    fn answer(&self, request: Logged) -> Reply {
        let path = request.path();
        let scripted = self.scripts.lock().get_mut(&path).and_then(VecDeque::pop_front);
        let stranger = self.accounts.lock().as_ref().is_some_and(|accounts| {
            request.header("authorization").is_none_or(|given| !accounts.iter().any(|account| account == given))
        });
        let chosen = match self.everything.lock().clone() {
            Some(reply) => Some(Scripted::Reply(reply)),
            None if stranger => {
                Some(Scripted::Reply(Reply::new(401).header("WWW-Authenticate", &self.challenge.lock())))
            }
            None => scripted.or_else(|| self.steady.lock().get(&path).cloned()),
        };
        let reply = match chosen {
            Some(Scripted::Reply(reply)) => reply,
            Some(Scripted::Resource(resource)) => resource.answer(&request),
            None => Reply::new(404).text("no such thing here\n"),
        };
        self.log.lock().push(request);
        self.logged.send_modify(|count| *count += 1);
        reply
    }
}

#[cfg(test)]
mod tests;
