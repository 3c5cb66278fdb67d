//! A small HTTP client that shows everything: raw paths, bodies as they arrive, and whether they were complete.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::wait::within;

/// A client of one server. Each request has a connection of its own unless [`Client::keep_alive`] is used.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

/// A request. `target` goes out as it is.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Ask {
    /// A request of any method.
    pub fn new(method: Method, target: &str) -> Self {
        Self { method, target: target.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new(Method::GET, target)
    }

    /// A HEAD.
    pub fn head(target: &str) -> Self {
        Self::new(Method::HEAD, target)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn build(self, address: SocketAddr) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(self.method).uri(self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", address.to_string());
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body)).expect("a request that can be written")
    }
}

/// Why a body is not whole, and what had arrived of it.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The bytes before the break.
    pub received: Bytes,
    /// What hyper said.
    pub reason: String,
}

/// A complete exchange.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, if it came to its announced end.
    pub body: Result<Bytes, Broken>,
}

impl Answer {
    /// A header as text, empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The `Cache-Status` header (RFC 9211).
    pub fn cache_status(&self) -> &str {
        self.header("cache-status")
    }

    /// Whether `Cache-Status` says that the answer came from the cache without asking the upstream.
    pub fn is_hit(&self) -> bool {
        self.cache_status().split(';').any(|word| word.trim() == "hit")
    }

    /// The complete body.
    #[track_caller]
    pub fn bytes(&self) -> &Bytes {
        match &self.body {
            Ok(bytes) => bytes,
            Err(broken) => panic!("the body broke after {} bytes: {}", broken.received.len(), broken.reason),
        }
    }

    /// The complete body as text.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// Whether a client would take this for a success with a whole body.
    pub fn is_complete_success(&self) -> bool {
        self.status.is_success() && self.body.is_ok()
    }

    /// Fails unless the status is this one; shows the body otherwise.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "often the check is all that is wanted")]
    pub fn expect_status(self, status: u16) -> Self {
        let body = self.body.as_ref().unwrap_or_else(|broken| &broken.received);
        let shown = String::from_utf8_lossy(&body[..body.len().min(400)]);
        assert_eq!(self.status.as_u16(), status, "{} {shown:?} {:?}", self.status, self.headers);
        self
    }
}

/// An answer whose body is still arriving. Dropping it closes the connection.
#[derive(Debug)]
pub struct Open {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    body: Incoming,
    received: BytesMut,
    connection: JoinHandle<()>,
}

impl Open {
    /// What has been read so far.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Reads on until at least so many bytes have arrived in total. `false`: the body ended or broke before.
    pub async fn read(&mut self, bytes: usize) -> bool {
        while self.received.len() < bytes {
            match within("more of a body", self.body.frame()).await {
                Some(Ok(frame)) => self.received.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
                Some(Err(_)) | None => return false,
            }
        }
        true
    }

    /// Reads the rest without keeping it and says whether the whole body was exactly this.
    pub async fn equals(mut self, expected: &Bytes) -> bool {
        let mut rest = expected.clone();
        let mut is_next = |piece: &[u8]| {
            let equal = rest.starts_with(piece);
            rest = if equal { rest.slice(piece.len()..) } else { Bytes::new() };
            equal
        };
        if !is_next(&self.received) {
            return false;
        }
        loop {
            match within("the rest of a body", self.body.frame()).await {
                Some(Ok(frame)) => {
                    if !is_next(frame.data_ref().unwrap_or(&Bytes::new())) {
                        return false;
                    }
                }
                Some(Err(_)) => return false,
                None => return rest.is_empty(),
            }
        }
    }

    /// Reads the rest without keeping it: the length of the whole body, or `None` if it broke.
    pub async fn drained(mut self) -> Option<usize> {
        let mut length = self.received.len();
        loop {
            match within("the rest of a body", self.body.frame()).await {
                Some(Ok(frame)) => length += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) => return None,
                None => return Some(length),
            }
        }
    }

    /// Reads the rest with a pause between the pieces.
    pub async fn finish_slowly(mut self, pause: Duration) -> Answer {
        let body = loop {
            match within("the rest of a body", self.body.frame()).await {
                Some(Ok(frame)) => self.received.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
                Some(Err(error)) => break Err(Broken { received: Bytes::new(), reason: error.to_string() }),
                None => break Ok(Bytes::new()),
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        };
        let received = std::mem::take(&mut self.received).freeze();
        let body = match body {
            Ok(_) => Ok(received),
            Err(broken) => Err(Broken { received, ..broken }),
        };
        Answer { status: self.status, headers: std::mem::take(&mut self.headers), body }
    }

    /// Reads the rest.
    pub async fn finish(self) -> Answer {
        self.finish_slowly(Duration::ZERO).await
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    /// A client of the server at this address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Sends a request and returns once the head of the answer is there.
    pub async fn open(&self, ask: Ask) -> Result<Open, String> {
        let connect = async {
            let socket = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
            let _ = socket.set_nodelay(true);
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
            let connection = tokio::spawn(async move {
                let _ = connection.await;
            });
            let answer = sender.send_request(ask.build(self.address)).await.map_err(|error| error.to_string())?;
            let (head, body) = answer.into_parts();
            Ok(Open { status: head.status, headers: head.headers, body, received: BytesMut::new(), connection })
        };
        within("the head of an answer", connect).await
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    /// If there is no answer at all.
    pub async fn send(&self, ask: Ask) -> Answer {
        let shown = format!("{ask:?}");
        match self.open(ask).await {
            Ok(open) => open.finish().await,
            Err(error) => panic!("no answer to {shown}: {error}"),
        }
    }

    /// GET.
    pub async fn get(&self, target: &str) -> Answer {
        self.send(Ask::get(target)).await
    }

    /// Sends several requests over one connection, one after the other; `None` where it had been closed.
    pub async fn keep_alive(&self, asks: Vec<Ask>) -> Vec<Option<Answer>> {
        let socket = TcpStream::connect(self.address).await.expect("the server accepts");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.expect("a handshake without bytes");
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut answers = Vec::new();
        for ask in asks {
            if within("a reusable connection", sender.ready()).await.is_err() {
                answers.push(None);
                continue;
            }
            let Ok(answer) = within("an answer", sender.send_request(ask.build(self.address))).await else {
                answers.push(None);
                continue;
            };
            let (head, body) = answer.into_parts();
            let body = within("a body", body.collect()).await;
            let body = body
                .map(http_body_util::Collected::to_bytes)
                .map_err(|error| Broken { received: Bytes::new(), reason: error.to_string() });
            answers.push(Some(Answer { status: head.status, headers: head.headers, body }));
        }
        connection.abort();
        answers
    }

    /// Sends bytes as they are and returns everything that came back until the server closed or, after its first
    /// bytes, was silent for `patience`. For the first ones it has ten times as long.
    pub async fn raw(&self, bytes: &[u8], patience: Duration) -> Vec<u8> {
        let mut socket = TcpStream::connect(self.address).await.expect("the server accepts");
        let _ = socket.write_all(bytes).await;
        let mut received = Vec::new();
        let mut piece = vec![0; 16 << 10];
        let mut left = patience * 10;
        while let Ok(Ok(length)) = tokio::time::timeout(left, socket.read(&mut piece)).await {
            if length == 0 {
                break;
            }
            received.extend_from_slice(&piece[..length]);
            left = patience;
        }
        received
    }
}
