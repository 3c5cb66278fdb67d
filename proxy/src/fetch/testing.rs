//! For tests: a fetcher that answers from a function, and a server that answers from a script.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, StatusCode};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::dns::{Answer as Addresses, Lookup, LookupError, Resolver};
use super::egress::Egress;
use super::{Ask, BodyStream, BoxFuture, Fetch, FetchError, Purpose, Reply, Shared};

/// A GET for a file. Its key is made of its address.
pub(super) fn ask(url: &str) -> Ask {
    let key = url.bytes().fold(7_u64, |key, byte| key.wrapping_mul(31).wrapping_add(byte.into()));
    Ask { key, ..Ask::get(Url::parse(url).unwrap(), Purpose::Artifact) }
}

pub(super) fn body(pieces: Vec<Result<Bytes, FetchError>>) -> BodyStream {
    Box::pin(futures_util::stream::iter(pieces))
}

pub(super) fn reply(ask: &Ask, status: u16) -> Reply {
    reply_with(ask, status, &[], "body")
}

pub(super) fn reply_with(ask: &Ask, status: u16, headers: &[(&str, &str)], text: &str) -> Reply {
    let header = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.iter().map(header).collect::<HeaderMap>(),
        url: ask.url.clone(),
        framed: true,
        fallback: None,
        body: body(vec![Ok(Bytes::from(text.to_owned()))]),
    }
}

pub(super) fn broken(ask: &Ask) -> FetchError {
    FetchError::Broken { origin: ask.url.origin(), source: Arc::new(std::io::Error::other("broken in a test")) }
}

/// Reads a body to its end.
pub(super) async fn collect(mut body: BodyStream) -> (Vec<u8>, Option<FetchError>) {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

type Answer = dyn Fn(&Ask, usize) -> Result<Reply, FetchError> + Send + Sync;

/// Answers from a function and remembers what it was asked.
pub(super) struct Fake {
    answer: Box<Answer>,
    asked: Mutex<Vec<Ask>>,
}

impl Fake {
    pub(super) fn new(answer: impl Fn(&Ask) -> Result<Reply, FetchError> + Send + Sync + 'static) -> Arc<Self> {
        Self::numbered(move |ask, _| answer(ask))
    }

    /// The function also gets the number of requests before this one.
    pub(super) fn numbered(
        answer: impl Fn(&Ask, usize) -> Result<Reply, FetchError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { answer: Box::new(answer), asked: Mutex::default() })
    }

    pub(super) fn asked(&self) -> Vec<Ask> {
        self.asked.lock().clone()
    }
}

impl Fetch for Fake {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        let number = {
            let mut asked = self.asked.lock();
            asked.push(ask.clone());
            asked.len() - 1
        };
        Box::pin(async move { (self.answer)(&ask, number) })
    }
}

/// One step of a scripted answer.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Says nothing more, and keeps the connection open until the other side closes it.
    Stall,
    /// Closes with a reset.
    Reset,
    /// Closes.
    Close,
}

/// Sends a text.
pub(super) fn send(text: impl Into<Vec<u8>>) -> Step {
    Step::Send(text.into())
}

/// A whole answer with a length.
pub(super) fn whole(head: &str, body: &str) -> Vec<Step> {
    vec![send(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))]
}

/// A server on loopback that writes what a function says, and remembers the heads of all requests.
pub(super) struct Server {
    pub(super) address: std::net::SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// `script` gets the head of a request (lower case names as hyper sends them) and its number.
    pub(super) async fn start(script: impl Fn(&str, usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (script, seen) = (Arc::new(script), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Self { address, requests, task }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

async fn converse(
    mut stream: TcpStream,
    script: Arc<impl Fn(&str, usize) -> Vec<Step>>,
    requests: Arc<Mutex<Vec<String>>>,
) {
    while let Some(head) = read_head(&mut stream).await {
        let number = {
            let mut requests = requests.lock();
            requests.push(head.clone());
            requests.len() - 1
        };
        for step in script(&head, number) {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Stall => {
                    let _ = stream.read(&mut [0; 1]).await;
                    return;
                }
                Step::Reset => {
                    // What was sent must have left before the reset discards it.
                    tokio::task::yield_now().await;
                    let _ = stream.set_zero_linger();
                    return;
                }
                Step::Close => return,
            }
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.ok()?;
        head.push(byte);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Knows every name below `registry.example`, all on loopback.
struct Names;

impl Lookup for Names {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Addresses, LookupError>> {
        let found = if name.ends_with("registry.example") || name == "localhost" {
            Ok(Addresses { addresses: vec![[127, 0, 0, 1].into()], lifetime: std::time::Duration::from_mins(1) })
        } else {
            Err(LookupError(format!("{name} does not exist")))
        };
        Box::pin(std::future::ready(found))
    }
}

pub(super) fn shared() -> Shared {
    Shared::with(Resolver::over(Names), Egress::direct())
}
