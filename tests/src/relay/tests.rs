use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;

use super::*;
use crate::client::{Ask, Client as Asker};
use crate::wait::{until, within};

/// An API server of two paths: a watch that says `line` whenever it is told to, and everything else, which is counted.
struct Server {
    address: SocketAddr,
    watches: Arc<Mutex<Vec<mpsc::UnboundedSender<Frame<Bytes>>>>>,
    effects: Arc<AtomicU64>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let watches = Arc::new(Mutex::new(Vec::new()));
        let effects = Arc::new(AtomicU64::new(0));
        let (shared, counted) = (Arc::clone(&watches), Arc::clone(&effects));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, counted) = (Arc::clone(&shared), Arc::clone(&counted));
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let (shared, counted) = (Arc::clone(&shared), Arc::clone(&counted));
                    async move { Ok::<_, Infallible>(Self::answer(&request, &shared, &counted)) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, watches, effects }
    }

    fn answer(
        request: &hyper::Request<Incoming>,
        watches: &Mutex<Vec<mpsc::UnboundedSender<Frame<Bytes>>>>,
        effects: &AtomicU64,
    ) -> Response<Body> {
        if request.uri().query() == Some("watch=true") {
            let (sender, receiver) = mpsc::unbounded_channel();
            watches.lock().push(sender);
            let lines = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
            return Response::new(StreamBody::new(futures_util::StreamExt::map(lines, Ok)).boxed_unsync());
        }
        effects.fetch_add(1, Ordering::SeqCst);
        let token = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap());
        Response::new(Full::from(format!("{} {token}", request.uri())).boxed_unsync())
    }

    fn effects(&self) -> u64 {
        self.effects.load(Ordering::SeqCst)
    }

    fn say(&self, line: &'static str) {
        for watch in self.watches.lock().iter() {
            let _ = watch.send(Frame::data(Bytes::from_static(line.as_bytes())));
        }
    }
}

async fn pair() -> (Server, Relay, Asker) {
    let server = Server::start().await;
    let relay = Relay::start(format!("http://{}", server.address).parse().unwrap(), None).await;
    let asker = Asker::new(relay.address);
    (server, relay, asker)
}

const PATH: &str = "/api/v1/namespaces/a/services/b?dryRun=";

#[tokio::test]
async fn calls_pass_with_their_token_and_are_recorded() {
    let (_server, relay, asker) = pair().await;
    let answer = asker.send(Ask::get(PATH).header("authorization", "Bearer t")).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, format!("{PATH} Bearer t")));
    let put = asker.send(Ask::new(http::Method::PUT, PATH).body("x")).await;
    assert_eq!(put.status, 200);
    let calls = relay.calls();
    assert_eq!(calls.iter().map(|call| call.status).collect::<Vec<_>>(), [Some(200), Some(200)]);
    assert_eq!(relay.writes().len(), 1);
    assert_eq!(calls[1].to_string(), format!("PUT {PATH} 200"));
}

#[tokio::test]
async fn faults_hit_the_calls_they_are_for_and_no_others() {
    let (server, relay, asker) = pair().await;
    relay.add(Rule::when(Fault::retry_after(429, 7), |call| call.name == "b").nth(2));
    relay.add(Rule::when(Fault::AfterCommit(500), |call| call.name == "c"));
    let statuses = async |path: &str| asker.get(path).await.status.as_u16();
    assert_eq!([statuses(PATH).await, statuses(PATH).await, statuses(PATH).await], [200, 429, 200]);
    assert_eq!(server.effects(), 2);
    assert_eq!(statuses("/api/v1/namespaces/a/services/c").await, 500);
    assert_eq!(server.effects(), 3, "carried out, then answered with an error");
    relay.heal();
    assert_eq!(statuses("/api/v1/namespaces/a/services/c").await, 200);
    let faulted: Vec<bool> = relay.calls().iter().map(|call| call.faulted).collect();
    assert_eq!(faulted, [false, true, false, true, false]);
}

#[tokio::test]
async fn connections_are_cut_before_and_after_the_effect() {
    let (server, relay, asker) = pair().await;
    relay.add(Rule::when(Fault::CutBefore, |_| true).nth(1));
    relay.add(Rule::when(Fault::CutAfter, |_| true).nth(1));
    assert!(asker.open(Ask::get(PATH)).await.is_err());
    assert_eq!(server.effects(), 0);
    assert!(asker.open(Ask::get(PATH)).await.is_err());
    assert_eq!(server.effects(), 1);
}

#[tokio::test]
async fn the_port_refuses_until_it_is_healed() {
    let (_server, relay, asker) = pair().await;
    relay.refuse();
    until("a refused connection", || async { asker.open(Ask::get(PATH)).await.is_err().then_some(()) }).await;
    relay.heal();
    until("an answer", || async { asker.open(Ask::get(PATH)).await.ok() }).await;
}

#[tokio::test]
async fn open_watches_flow_fall_silent_and_end() {
    for fault in [WatchFault::Gone, WatchFault::Cut, WatchFault::Silent] {
        let (server, relay, asker) = pair().await;
        let watching = tokio::spawn(async move { asker.get("/api/v1/pods?watch=true").await });
        until("the watch", || async { (relay.open_watches() == 1).then_some(()) }).await;
        until("the server's side", || async { (server.watches.lock().len() == 1).then_some(()) }).await;
        server.say("one\n");
        relay.break_watches(fault);
        if fault == WatchFault::Silent {
            server.say("two\n");
            assert!(tokio::time::timeout(Duration::from_millis(200), watching).await.is_err(), "it stays open");
            continue;
        }
        let answer = within("the end of the watch", watching).await.unwrap();
        match fault {
            WatchFault::Gone => assert!(answer.text().contains(r#""code":410"#), "{}", answer.text()),
            _ => assert!(answer.body.is_err()),
        }
        let text = format!("{:?}", answer.body);
        assert!(!text.contains("two"));
    }
}
