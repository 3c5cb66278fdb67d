//! Goes on with a body that broke, from the byte where it broke, so that whoever reads it notices only a pause.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{Ask, BodyStream, Fetch, FetchError, Phase, Reply, Resume, Validators};

/// How often one body is resumed.
const ATTEMPTS: u32 = 3;
/// The longest wait before the rest is asked for once more, after the server could not be asked; doubles each time.
const WAIT: Duration = Duration::from_secs(1);

/// Gives `reply` a body that is continued when it breaks or stalls. `ask` is the request that `reply` answers, and
/// `fetch` repeats it. `verified`: whoever reads the body checks its digest; then the pieces need not be known to be of
/// one representation. Without that, only a strong validator (RFC 9110 §8.8.1) makes a body resumable, and a reply that
/// cannot be resumed comes back as it is.
pub fn resuming(fetch: Arc<dyn Fetch>, ask: Ask, reply: Reply, verified: bool) -> Reply {
    let strong = strong_validator(&reply.headers);
    let whole = reply.status == StatusCode::OK && ask.method == Method::GET;
    let coded = reply.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if !whole || coded || (strong.is_none() && !verified) {
        return reply;
    }
    let total = content_length(&reply.headers);
    let body = Some(reply.body);
    let state = Resuming { fetch, ask, strong, verified, total, delivered: 0, left: ATTEMPTS, resumed: false, body };
    Reply { body: Box::pin(unfold(state, Resuming::next)), ..reply }
}

struct Resuming {
    fetch: Arc<dyn Fetch>,
    ask: Ask,
    strong: Option<HeaderValue>,
    verified: bool,
    /// Length of the whole, as soon as anything tells it.
    total: Option<u64>,
    delivered: u64,
    left: u32,
    resumed: bool,
    /// `None` once it is over.
    body: Option<BodyStream>,
}

impl Resuming {
    async fn next(mut self) -> Option<(Result<Bytes, FetchError>, Self)> {
        loop {
            let error = match self.body.as_mut()?.next().await {
                Some(Ok(piece)) => {
                    self.delivered += piece.len() as u64;
                    return Some((Ok(piece), self));
                }
                Some(Err(error)) => error,
                None => self.cut_short()?,
            };
            // The broken connection gives its place back before another is asked for.
            self.body = None;
            if !resumable(&error) {
                return Some((Err(error), self));
            }
            tracing::debug!(url = %self.ask.url, bytes = self.delivered, %error, "resuming a body");
            self.body = self.resume().await;
            if self.body.is_none() {
                return Some((Err(error), self));
            }
        }
    }

    /// What is wrong with the end of a body that was put together: nobody else compares its length with the whole's.
    fn cut_short(&self) -> Option<FetchError> {
        let is_whole = !self.resumed || self.total.is_none_or(|total| total == self.delivered);
        let broken = || FetchError::Broken {
            origin: self.ask.url.origin(),
            source: Arc::new(io::Error::from(io::ErrorKind::UnexpectedEof)),
        };
        (!is_whole).then(broken)
    }

    /// The rest of the body, as long as there are attempts left. `None`: it cannot be had, and the first error stands.
    async fn resume(&mut self) -> Option<BodyStream> {
        while self.left > 0 {
            self.left -= 1;
            match self.rest().await {
                Rest::Body(body) => return Some(body),
                Rest::Other => return None,
                Rest::Unavailable => {
                    let ceiling = WAIT * 2_u32.pow(ATTEMPTS - 1 - self.left);
                    tokio::time::sleep(ceiling.mul_f64(fastrand::f64())).await;
                }
            }
        }
        None
    }

    async fn rest(&mut self) -> Rest {
        let resume = Resume { from: self.delivered, if_range: self.strong.clone() };
        let ask = Ask { resume: Some(resume), validators: Validators::default(), ..self.ask.clone() };
        match self.fetch.fetch(ask).await {
            Ok(reply) if reply.status.is_server_error() => Rest::Unavailable,
            Ok(reply) => self.continuation(reply).map_or(Rest::Other, Rest::Body),
            Err(FetchError::Forbidden { .. } | FetchError::Credential { .. } | FetchError::Trust { .. }) => Rest::Other,
            Err(_) => Rest::Unavailable,
        }
    }

    /// The body of an answer, if it is the rest of the one that broke.
    fn continuation(&mut self, reply: Reply) -> Option<BodyStream> {
        // Another address of the registry gives no validator (it would be another server's), so it cannot go on with
        // what nobody verifies.
        let same = self.strong.is_some() && strong_validator(&reply.headers) == self.strong;
        self.resumed = true;
        match reply.status {
            StatusCode::PARTIAL_CONTENT => {
                let range = content_range(&reply.headers)?;
                let total = range.complete.or(self.total);
                let is_rest = range.first == self.delivered
                    && (self.total.is_none() || total == self.total)
                    // A part that stops short of the end would pass for the whole.
                    && total.is_none_or(|total| range.last.checked_add(1) == Some(total));
                let fits = is_rest && (self.verified || (same && total.is_some()));
                self.total = total;
                fits.then_some(reply.body)
            }
            // The whole of it: the server knows no ranges, or has another version now.
            StatusCode::OK if self.verified => {
                let length = content_length(&reply.headers);
                let fits = length.is_none() || self.total.is_none() || length == self.total;
                fits.then(|| skip(reply.body, self.delivered))
            }
            _ => None,
        }
    }
}

/// What came of asking for the rest.
enum Rest {
    Body(BodyStream),
    /// The server cannot be asked now.
    Unavailable,
    /// It has answered with something else.
    Other,
}

/// The break of a connection, or a stall; nothing that was decided here.
fn resumable(error: &FetchError) -> bool {
    matches!(error, FetchError::Broken { .. } | FetchError::Timeout { phase: Phase::Idle | Phase::Rate, .. })
}

fn strong_validator(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\"")).cloned()
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `bytes first-last/complete` (RFC 9110 §14.4); the complete length may be `*`.
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    complete: Option<u64>,
}

fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, complete) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let complete = if complete == "*" { None } else { Some(complete.parse().ok()?) };
    (first <= last).then_some(ContentRange { first, last, complete })
}

/// A body without its first `count` bytes.
fn skip(body: BodyStream, count: u64) -> BodyStream {
    let rest = body.scan(count, |left, piece| {
        let piece = piece.map(|mut piece| {
            let now = (*left).min(piece.len() as u64);
            *left -= now;
            piece.split_off(now as usize)
        });
        std::future::ready(Some(piece))
    });
    Box::pin(rest.filter(|piece| std::future::ready(!piece.as_ref().is_ok_and(Bytes::is_empty))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::testing::{Fake, ask, body, broken, collect, reply_with};

    const TRUE: &str = "0123456789";

    /// A server that cuts every body after `cut` bytes, the first `breaks` times, and then answers as `how` says.
    fn server(cut: usize, breaks: usize, etag: &'static str, how: &'static str) -> Arc<Fake> {
        Fake::numbered(move |ask, number| {
            let from = ask.resume.as_ref().map_or(0, |resume| resume.from as usize);
            let left = &TRUE[from..];
            let range = format!("bytes {from}-9/10");
            let (status, range, text) = match (&ask.resume, how) {
                (None, _) => (200, None, left),
                (Some(_), "ranges") => (206, Some(range.as_str()), left),
                (Some(_), "whole") => (200, None, TRUE),
                (Some(_), "other start") => (206, Some("bytes 0-9/10"), TRUE),
                (Some(_), "other length") => (206, Some("bytes 4-10/11"), "456789x"),
                (Some(_), "part") => (206, Some("bytes 4-7/10"), "4567"),
                (Some(_), "part of unknown") => (206, Some("bytes 4-7/*"), "4567"),
                (Some(_), "less than it says") => (206, Some("bytes 4-9/10"), "4567"),
                (Some(_), "no range") => (206, None, left),
                (Some(_), "down for a moment") if number >= 3 => (206, Some(range.as_str()), left),
                (Some(_), "gone") => (404, None, "error"),
                (Some(_), _) => (503, None, "error"),
            };
            let length = text.len().to_string();
            let mut headers = vec![("content-length", length.as_str())];
            headers.extend(range.map(|range| ("content-range", range)));
            if !etag.is_empty() {
                headers.push(("etag", etag));
            }
            let mut found = reply_with(ask, status, &headers, text);
            if number < breaks {
                let sent = text.len().min(cut);
                found.body = body(vec![Ok(Bytes::from(text[..sent].to_owned())), Err(broken(ask))]);
            }
            Ok(found)
        })
    }

    async fn read(fake: &Arc<Fake>, verified: bool) -> (String, bool) {
        let request = ask("https://registry.example/a.tgz");
        let first = fake.fetch(request.clone()).await.unwrap();
        let reply = resuming(Arc::clone(fake) as Arc<dyn Fetch>, request, first, verified);
        let (bytes, error) = collect(reply.body).await;
        (String::from_utf8(bytes).unwrap(), error.is_none())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_resumed() {
        for (cut, breaks, etag, how, verified, read_to, complete) in [
            (4, 1, "\"s\"", "ranges", false, 10, true),
            (0, 1, "\"s\"", "ranges", false, 10, true),
            (9, 1, "\"s\"", "ranges", false, 10, true),
            (2, 3, "\"s\"", "ranges", false, 10, true),
            (2, 4, "\"s\"", "ranges", false, 8, false),
            (4, 1, "", "ranges", true, 10, true),
            (4, 1, "W/\"w\"", "ranges", true, 10, true),
            (4, 1, "", "ranges", false, 4, false),
            (4, 1, "W/\"w\"", "ranges", false, 4, false),
            (4, 1, "\"s\"", "whole", true, 10, true),
            (4, 1, "\"s\"", "whole", false, 4, false),
            (4, 1, "\"s\"", "other start", true, 4, false),
            (4, 1, "\"s\"", "other length", true, 4, false),
            (4, 1, "\"s\"", "no range", true, 4, false),
            (4, 1, "\"s\"", "part", false, 4, false),
            (4, 1, "\"s\"", "part", true, 4, false),
            (4, 1, "\"s\"", "part of unknown", false, 4, false),
            (4, 1, "\"s\"", "less than it says", false, 8, false),
            (4, 1, "\"s\"", "gone", true, 4, false),
            (4, 1, "\"s\"", "down", true, 4, false),
            (4, 1, "\"s\"", "down for a moment", false, 10, true),
        ] {
            let fake = server(cut, breaks, etag, how);
            let found = read(&fake, verified).await;
            assert_eq!(found, (TRUE[..read_to].to_owned(), complete), "{cut} {breaks} {etag} {how} {verified}");
            let sent = fake.asked().into_iter().find_map(|ask| ask.resume?.if_range);
            let strong = etag.starts_with('"') && fake.asked().len() > 1;
            assert_eq!(sent, strong.then(|| etag.parse().unwrap()));
        }
    }

    /// A body that began without a length, which nobody verifies: (status, headers, body) of what goes on with it.
    #[tokio::test(start_paused = true)]
    async fn a_body_of_unknown_length_ends_where_the_rest_says() {
        const STRONG: (&str, &str) = ("etag", "\"s\"");
        for (headers, rest, read_to, complete) in [
            (vec![STRONG, ("content-range", "bytes 4-9/10")], "456789", 10, true),
            (vec![STRONG, ("content-range", "bytes 4-9/10")], "4567", 8, false),
            (vec![STRONG, ("content-range", "bytes 4-7/*")], "4567", 4, false),
            // A mirror, whose validators are left out, or another version.
            (vec![("content-range", "bytes 4-9/10")], "xxxxxx", 4, false),
            (vec![("etag", "\"t\""), ("content-range", "bytes 4-9/10")], "xxxxxx", 4, false),
        ] {
            let sent = headers.clone();
            let fake = Fake::numbered(move |ask, number| match number {
                0 => Ok(reply_with(ask, 206, &sent, rest)),
                _ => Err(broken(ask)),
            });
            let request = ask("https://registry.example/a.tgz");
            let first = body(vec![Ok(Bytes::from_static(b"0123")), Err(broken(&request))]);
            let first = Reply { body: first, ..reply_with(&request, 200, &[STRONG], "") };
            let reply = resuming(fake as Arc<dyn Fetch>, request, first, false);
            let (bytes, error) = collect(reply.body).await;
            assert_eq!(
                (bytes.as_slice(), error.is_none()),
                (&TRUE.as_bytes()[..read_to], complete),
                "{headers:?} {rest}"
            );
        }
    }

    #[tokio::test]
    async fn only_breaks_are_resumed() {
        for (error, asked) in [
            (FetchError::Timeout { origin: String::new(), phase: Phase::Idle }, 1),
            (FetchError::Timeout { origin: String::new(), phase: Phase::Rate }, 1),
            (FetchError::Protocol { origin: String::new(), reason: String::new() }, 0),
        ] {
            let fake = server(0, 0, "\"s\"", "ranges");
            let request = ask("https://registry.example/a.tgz");
            let headers = [("etag", "\"s\""), ("content-length", "10")];
            let first = Reply { body: body(vec![Err(error)]), ..reply_with(&request, 200, &headers, "") };
            collect(resuming(Arc::clone(&fake) as Arc<dyn Fetch>, request, first, false).body).await;
            assert_eq!(fake.asked().len(), asked);
        }
    }

    #[test]
    fn content_ranges() {
        for (text, expected) in [
            ("bytes 4-9/10", Some((4, 9, Some(10)))),
            ("bytes 4-9/*", Some((4, 9, None))),
            ("bytes 0-18446744073709551615/1", Some((0, u64::MAX, Some(1)))),
            ("bytes 9-4/10", None),
            ("bytes */10", None),
            ("items 4-9/10", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_RANGE, text.parse().unwrap())]);
            let expected = expected.map(|(first, last, complete)| ContentRange { first, last, complete });
            assert_eq!(content_range(&headers), expected, "{text}");
        }
    }
}
