//! Forwarded calls: what goes on of a client's words, and what a body may cost.

use crds::{AuthKind, AuthSettings, CacheSettings, Ecosystem, Settings, UpstreamSettings};
use futures_util::stream;
use http::{Method, StatusCode};
use http_body_util::{Full, StreamBody};
use hyper::body::{Body as _, Frame};
use parking_lot::Mutex;
use url::Url;

use super::*;
use crate::cache::Engine;
use crate::clock::Clock;
use crate::fetch::{BoxFuture, Fetch, FetchError};
use crate::metrics::Metrics;
use crate::store::{self, Store};
use crate::upstream_path::UpstreamPath;
use crate::workshop::Workshop;

fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
}

#[test]
fn a_closed_list_of_types_and_codings() {
    for (value, expected) in [
        ("application/json", Some("application/json")),
        ("Application/JSON; charset=utf-8; x=y", Some("application/json")),
        ("text/html", None),
        ("application/json-patch+json", None),
        ("", None),
    ] {
        let found = content_type(&headers(header::CONTENT_TYPE, value)).ok().flatten();
        assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected, "{value}");
    }
    assert_eq!(content_type(&HeaderMap::new()), Ok(None));
    for (value, expected) in [
        ("gzip", Ok(Some("gzip"))),
        ("GZIP", Ok(Some("gzip"))),
        ("identity", Ok(None)),
        ("br", Err(())),
        ("gzip, gzip", Err(())),
        ("", Err(())),
    ] {
        let found = content_encoding(&headers(header::CONTENT_ENCODING, value));
        let found = found.as_ref().map(|value| value.as_ref().map(|value| value.to_str().unwrap())).map_err(|_| ());
        assert_eq!(found, expected, "{value}");
    }
    let mut twice = headers(header::CONTENT_ENCODING, "gzip");
    twice.append(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert!(content_encoding(&twice).is_err());
}

/// A request body of unknown length.
fn streamed(pieces: Vec<&'static [u8]>) -> impl http_body::Body<Data = Bytes> + Unpin {
    let frames = pieces.into_iter().map(|piece| Ok::<_, FetchError>(Frame::data(Bytes::from_static(piece))));
    StreamBody::new(stream::iter(frames))
}

#[tokio::test(start_paused = true)]
async fn a_request_s_body_takes_memory_and_keeps_moving() {
    let budget = Budget::new(1 << 20);
    let (bytes, permit) = read_body(streamed(vec![b"ab", b"c"]), 1 << 20, &budget).await.unwrap();
    assert_eq!(bytes, "abc");
    // All of the budget is taken, since any length was possible.
    assert!(matches!(read_body(streamed(vec![]), 1, &budget).await, Err(Error::Busy { .. })));
    drop(permit);
    let (_, small) = read_body(Full::from("abc"), 1 << 20, &budget).await.unwrap();
    assert!(budget.take(1 << 19).await.is_ok(), "an announced length takes no more than that");
    drop(small);

    for body in [vec![&b"abc"[..], b"d"], vec![b"abcd"]] {
        assert!(matches!(read_body(streamed(body), 3, &budget).await, Err(Error::Refused(Refusal::Bad(_)))));
    }
    assert!(matches!(read_body(Full::from("abcd"), 3, &budget).await, Err(Error::Refused(Refusal::Bad(_)))));

    let began = tokio::time::Instant::now();
    let stuck = StreamBody::new(Box::pin(stream::pending::<Result<Frame<Bytes>, FetchError>>()));
    assert!(matches!(read_body(stuck, 3, &budget).await, Err(Error::Refused(Refusal::Bad(_)))));
    assert_eq!(began.elapsed(), ARRIVAL);
    assert!(budget.take(1 << 20).await.is_ok(), "everything is free again");
}

const LONG: usize = 16 << 20;

/// Never comes, and has the length that a client announces.
struct Announced;
impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = FetchError;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        std::task::Poll::Pending
    }
    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(LONG as u64)
    }
}

/// Bodies that are announced and do not come leave room for one that does.
#[tokio::test(start_paused = true)]
async fn what_is_announced_takes_memory_once_it_comes() {
    let budget = Budget::new(64 << 20);
    let slow = futures_util::future::join_all((0..40).map(|_| read_body(Announced, LONG, &budget)));
    let began = tokio::time::Instant::now();
    let prompt = async {
        let (bytes, _) = read_body(Full::from(vec![b'a'; LONG]), LONG, &budget).await.unwrap();
        assert_eq!((bytes.len(), began.elapsed()), (LONG, Duration::ZERO));
    };
    let (slow, ()) = tokio::join!(slow, prompt);
    assert!(slow.iter().all(|body| matches!(body, Err(Error::Refused(Refusal::Bad(_))))));
}

fn pieces(length: usize, count: usize) -> crate::fetch::BodyStream {
    Box::pin(stream::iter((0..count).map(move |_| Ok(Bytes::from(vec![0; length])))))
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_collected_within_a_limit() {
    let budget = Budget::new(ANSWER_LIMIT);
    let origin = "https://registry.example:443";
    for (length, count, announced, fits) in [
        (1000, 3, None, true),
        (1000, 3, Some(3000), true),
        (1 << 20, 16, None, true),
        (1 << 20, 17, None, false),
        // More than it said: that is the upstream's mistake, and still bounded.
        (1 << 20, 17, Some(10), false),
        (0, 0, Some(ANSWER_LIMIT + 1), false),
    ] {
        let collected = collect(pieces(length, count), announced, origin, &budget).await;
        match collected {
            Ok(body) => {
                assert!(fits, "{length} {count} {announced:?}");
                assert_eq!(body.size_hint().exact(), Some((length * count) as u64));
            }
            Err(error) => {
                assert!(!fits, "{length} {count} {announced:?}: {error}");
                assert_eq!(respond::status_of(&error).0, http::StatusCode::BAD_GATEWAY);
                assert!(error.to_string().contains(&ANSWER_LIMIT.to_string()), "{error}");
            }
        }
        assert!(budget.take(ANSWER_LIMIT).await.is_ok(), "everything is free again");
    }
    let body = collect(pieces(1 << 20, 2), None, origin, &budget).await.unwrap();
    assert!(matches!(budget.take(1).await, Err(Error::Busy { .. })), "what is held counts until it is sent");
    drop(body);
}

/// Answers with one status and remembers what it was asked. To HEAD it announces more than would be passed on.
struct Upstream {
    status: StatusCode,
    asked: Mutex<Vec<Ask>>,
}

const VERY_LONG: &str = "99999999";

impl Fetch for Upstream {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        let mut headers = HeaderMap::from_iter([(header::SET_COOKIE, HeaderValue::from_static("a=b"))]);
        let is_head = ask.method == Method::HEAD;
        if is_head {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static(VERY_LONG));
        }
        let reply = Reply {
            status: self.status,
            headers,
            url: ask.url.clone(),
            framed: true,
            fallback: None,
            body: pieces(3, if is_head { 0 } else { 2 }),
        };
        self.asked.lock().push(ask);
        Box::pin(async move { Ok(reply) })
    }
}

fn cache(upstream: Arc<Upstream>, with_account: bool, root: &std::path::Path) -> Arc<Cache> {
    let options = store::Options { root: root.to_owned(), durable: false, max_size: 1 << 20, memory: 1 << 20 };
    let engine = Engine {
        store: Arc::new(Store::open(options)),
        clock: Clock::start(),
        metrics: Metrics::new(),
        memory: Budget::new(64 << 20),
        workshop: Workshop::default(),
    };
    let mut settings = UpstreamSettings::at(Url::parse("https://registry.example/").unwrap());
    if with_account {
        settings.auth = Some(AuthSettings { kind: AuthKind::Bearer, secret: "account".into() });
    }
    let settings = Settings {
        name: "npm".into(),
        namespace: None,
        generation: None,
        ecosystem: Ecosystem::Npm,
        owner: "default".into(),
        external_url: None,
        upstream: settings,
        cache: CacheSettings::default(),
    };
    Arc::new(Cache::new(Arc::new(engine), Arc::new(settings), upstream))
}

fn audit() -> Forward {
    Forward {
        base: None,
        method: Method::POST,
        to: UpstreamPath::from_segments(["-", "audit"]),
        query: None,
        accept: None,
        body_limit: 100,
        content_type: "application/json",
    }
}

#[tokio::test]
async fn statuses_that_concern_us_go_by_the_table_and_others_pass_with_their_body() {
    let directory = tempfile::tempdir().unwrap();
    for (status, with_account, expected) in [
        (200, true, Ok(200)),
        (201, false, Ok(201)),
        (400, false, Ok(400)),
        (404, true, Ok(404)),
        (401, false, Ok(401)),
        (403, true, Ok(403)),
        (401, true, Err(502)),
        (407, false, Err(502)),
        (408, false, Err(502)),
        (429, false, Err(503)),
        (304, false, Err(502)),
        (500, false, Err(502)),
    ] {
        let upstream = Arc::new(Upstream { status: StatusCode::from_u16(status).unwrap(), asked: Mutex::default() });
        let cache = cache(Arc::clone(&upstream), with_account, directory.path());
        let outcome = forwarded(&cache, &audit(), &HeaderMap::new(), Full::from("{}")).await;
        let status_now = outcome
            .as_ref()
            .map_or_else(|error| Err(respond::status_of(error).0.as_u16()), |response| Ok(response.status().as_u16()));
        assert_eq!(status_now, expected, "{status}");
        assert_eq!(cache.credential_rejected(), status == 401 && with_account);
        if let Ok(response) = outcome {
            assert_eq!(response.headers()[header::CONTENT_LENGTH], "6");
            assert!(!response.headers().contains_key(header::SET_COOKIE));
        }
    }
}

#[tokio::test]
async fn an_answer_to_head_has_the_length_that_a_get_would_have() {
    let directory = tempfile::tempdir().unwrap();
    for status in [200, 404] {
        let upstream = Arc::new(Upstream { status: StatusCode::from_u16(status).unwrap(), asked: Mutex::default() });
        let cache = cache(upstream, false, directory.path());
        let head = Forward { method: Method::HEAD, body_limit: 0, ..audit() };
        let response = forwarded(&cache, &head, &HeaderMap::new(), Full::from("")).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()[header::CONTENT_LENGTH].to_str().unwrap()),
            (status, VERY_LONG)
        );
        assert!(response.into_body().is_end_stream());
    }
}

#[tokio::test]
async fn only_listed_words_of_a_client_reach_the_upstream() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = Arc::new(Upstream { status: StatusCode::OK, asked: Mutex::default() });
    let cache = cache(Arc::clone(&upstream), false, directory.path());
    let mut sent = headers(header::CONTENT_TYPE, "application/json; boundary=\"x\"");
    sent.append(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    sent.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer of-the-client"));
    forwarded(&cache, &audit(), &sent, Full::from("{}")).await.unwrap();
    let odd = headers(header::CONTENT_ENCODING, "br");
    assert!(forwarded(&cache, &audit(), &odd, Full::from("{}")).await.is_err());
    let asked = upstream.asked.lock();
    assert_eq!(asked.len(), 1, "what is not on the list is refused, not dropped");
    let body = asked[0].body.as_ref().unwrap();
    assert_eq!(body.bytes, "{}");
    assert_eq!(body.content_type, Some(HeaderValue::from_static("application/json")));
    assert_eq!(body.content_encoding, Some(HeaderValue::from_static("gzip")));
}
