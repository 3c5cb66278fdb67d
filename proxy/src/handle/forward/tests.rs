//! Forwarded calls: what goes on of a client's words, and what a body may cost.

use futures_util::stream;
use http_body_util::{Full, StreamBody};
use hyper::body::{Body as _, Frame};

use super::*;
use crate::fetch::FetchError;

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
    assert_eq!(began.elapsed(), IDLE);
    assert!(budget.take(1 << 20).await.is_ok(), "everything is free again");
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
