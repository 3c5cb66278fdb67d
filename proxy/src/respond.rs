//! Builds every response.

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode, Uri, Version};
use tokio::sync::watch;

use crate::body::Body;
use crate::cache::{Cache, Content, Fill, Form};
use crate::cache_status::CacheStatus;
use crate::checksum_sibling;
use crate::clock::http_date;
use crate::digest::Digest;
use crate::ecosystem::Ecosystem;
use crate::error::Error;
use crate::intent::{Answer, Artifact, Forward, Lifetime, Metadata, Refusal, ServedAs};
use crate::negotiate::{self, Wanted};
use crate::store::spool::Progress;
use crate::store::{Blob, ByteStream, Record};

pub use errors::status_of;

use errors::PAUSE;

mod errors;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Nothing that an upstream sends runs in a browser under our name.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
/// A year, the longest that RFC 9111 gives meaning to.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const IMMUTABLE_FOR_ONE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// What [`CacheStatus::IMMUTABLE`] says, ready to send.
const IMMUTABLE_HIT: HeaderValue = HeaderValue::from_static("packageproxy; hit; ttl=31536000");
/// How long a client of HTTP/1.0 waits for a fill that does not move.
const STANDSTILL: Duration = Duration::from_mins(1);

/// What every response begins with.
fn start(status: StatusCode, content_type: &'static str, cache: CacheStatus) -> Response<Body> {
    let mut response = Response::new(Body::empty().served(cache));
    *response.status_mut() = status;
    // Room for all that most answers say.
    *response.headers_mut() = HeaderMap::with_capacity(14);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    if cache == CacheStatus::IMMUTABLE {
        headers.insert(CACHE_STATUS, IMMUTABLE_HIT);
    } else if let Ok(value) = HeaderValue::from_str(&cache.to_string()) {
        headers.insert(CACHE_STATUS, value);
    }
    response
}

/// Gives a response its bytes.
fn put(response: &mut Response<Body>, body: Body) {
    let cache = response.body().cache();
    *response.body_mut() = body.served(cache);
}

fn set(response: &mut Response<Body>, name: HeaderName, value: impl Into<String>) {
    // Values come from our own tables and from parsed text; one that is none is left out rather than split.
    if let Ok(value) = HeaderValue::try_from(value.into()) {
        response.headers_mut().insert(name, value);
    }
}

/// Adds headers that a protocol has besides those of HTTP.
pub fn label<'a>(response: &mut Response<Body>, headers: impl IntoIterator<Item = (&'a str, String)>) {
    for (name, value) in headers {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            set(response, name, value);
        }
    }
}

/// Says where the next page of a list is (RFC 8288): at the client's own address of this one.
pub fn next_page(response: &mut Response<Body>, served: &ServedAs, asked: &Uri) {
    if let Some(next) = &served.next {
        let kept = asked.query().into_iter().flat_map(|query| query.split('&')).filter(|part| part.starts_with("ns="));
        let query = std::iter::once(next.as_str()).chain(kept).collect::<Vec<_>>().join("&");
        // An address cannot end early: a parsed path has no `>` unless it is encoded.
        let path = asked.path().replace('>', "%3E");
        set(response, header::LINK, format!("<{path}?{}>; rel=\"next\"", query.replace('>', "%3E")));
    }
}

fn length(response: &mut Response<Body>, length: u64) {
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
}

/// What needed a credential of ours is not for shared caches between us and the client.
fn is_private(cache: &Cache) -> bool {
    cache.settings().upstream.addresses().any(|(_, account)| account.is_some())
}

/// `Cache-Control` of what may change after so many seconds.
fn fresh_for(response: &mut Response<Body>, cache: &Cache, seconds: u64) {
    let visibility = if is_private(cache) { "private" } else { "public" };
    set(response, header::CACHE_CONTROL, format!("{visibility}, max-age={seconds}"));
}

/// `Cache-Control` of an artifact.
fn keep(response: &mut Response<Body>, cache: &Cache, artifact: &Artifact) {
    if artifact.immutable { immutable(response, cache) } else { fresh_for(response, cache, 0) }
}

/// `Cache-Control` of what never changes.
fn immutable(response: &mut Response<Body>, cache: &Cache) {
    let value = if is_private(cache) { IMMUTABLE_FOR_ONE } else { IMMUTABLE };
    response.headers_mut().insert(header::CACHE_CONTROL, value);
}

/// A metadata document, before its bytes are at hand: with `None` the client has them already.
pub fn document(
    cache: &Cache,
    metadata: &Metadata,
    record: &Record,
    form: &Form<'_>,
    status: CacheStatus,
    content: Option<Content>,
) -> Response<Body> {
    let code = if content.is_some() { StatusCode::OK } else { StatusCode::NOT_MODIFIED };
    let mut response = start(code, metadata.content_type, status);
    set(&mut response, header::ETAG, form.etag());
    if let Some(last_modified) = form.last_modified() {
        set(&mut response, header::LAST_MODIFIED, last_modified);
    }
    if let Some(document) = record.document() {
        if let Some(kind) = &document.served.content_type {
            set(&mut response, header::CONTENT_TYPE, kind.as_str());
        }
        label(&mut response, document.served.headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
    }
    checksums(&mut response, record);
    let fresh = match status {
        CacheStatus::Stale { .. } => 0,
        _ => cache.freshness(record, metadata.lifetime),
    };
    if metadata.lifetime == Lifetime::Forever {
        immutable(&mut response, cache);
    } else {
        fresh_for(&mut response, cache, fresh);
    }
    let vary = if metadata.varies_by_accept { "Accept, Accept-Encoding" } else { "Accept-Encoding" };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static(vary));
    if let Some(content) = content {
        if let Some(coding) = form.coding().name() {
            set(&mut response, header::CONTENT_ENCODING, coding);
        }
        length(&mut response, content.length);
        put(&mut response, content.body);
    }
    response
}

/// A stored artifact: whole, a part of it, or the word that the client has it.
pub fn stored(
    cache: &Cache,
    artifact: &Artifact,
    record: &Record,
    blob: &Blob,
    headers: &HeaderMap,
    status: CacheStatus,
) -> Response<Body> {
    let etag = match &artifact.expect {
        Some(digest) => ["\"", &digest.text(), "\""].concat(),
        None => ["\"", &blob.id().hex(), "\""].concat(),
    };
    // A date means nothing where the next generation's bytes may have the same one.
    let last_modified = artifact.immutable.then(|| {
        let known = record.artifact().and_then(|artifact| artifact.last_modified.clone());
        known.unwrap_or_else(|| http_date(record.validated))
    });
    let current = negotiate::is_current(headers, &etag, last_modified.as_deref());
    let wanted = if negotiate::allows_range(headers, &etag, last_modified.as_deref()) {
        negotiate::wanted(headers, blob.length())
    } else {
        Wanted::Whole
    };
    let (code, range) = match wanted {
        _ if current => (StatusCode::NOT_MODIFIED, None),
        Wanted::Whole => (StatusCode::OK, Some(0..blob.length())),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        Wanted::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, None),
    };
    let mut response = start(code, artifact.content_type, status);
    set(&mut response, header::ETAG, etag);
    if let Some(last_modified) = last_modified {
        set(&mut response, header::LAST_MODIFIED, last_modified);
    }
    response.headers_mut().insert(header::ACCEPT_RANGES, BYTES);
    checksums(&mut response, record);
    keep(&mut response, cache, artifact);
    match range {
        None if code == StatusCode::RANGE_NOT_SATISFIABLE => {
            // The file never changes; the answer to a mistake is nothing to keep.
            response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
            set(&mut response, header::CONTENT_RANGE, format!("bytes */{}", blob.length()));
            length(&mut response, 0);
        }
        None => {}
        Some(range) => {
            if code == StatusCode::PARTIAL_CONTENT {
                let text = format!("bytes {}-{}/{}", range.start, range.end - 1, blob.length());
                set(&mut response, header::CONTENT_RANGE, text);
            }
            length(&mut response, range.end - range.start);
            put(&mut response, Body::blob(blob, range));
        }
    }
    response
}

/// A digest as a small text, with so many seconds of freshness; `None`: for good.
pub fn checksum(
    cache: &Cache,
    digest: &Digest,
    headers: &HeaderMap,
    status: CacheStatus,
    fresh: Option<u64>,
) -> Response<Body> {
    let text = digest.hex();
    let etag = format!("\"{text}\"");
    let current = negotiate::is_current(headers, &etag, None);
    let code = if current { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut response = start(code, "text/plain; charset=utf-8", status);
    set(&mut response, header::ETAG, etag);
    match fresh {
        Some(seconds) => fresh_for(&mut response, cache, seconds),
        None => immutable(&mut response, cache),
    }
    if !current {
        length(&mut response, text.len() as u64);
        put(&mut response, Body::full(text.into()));
    }
    response
}

/// The digests of a whole body in headers, which spare clients a request for each.
fn checksums(response: &mut Response<Body>, record: &Record) {
    for digest in record.digests() {
        if let Some(name) = checksum_sibling::header_of(digest.algorithm()) {
            set(response, name, digest.hex());
        }
    }
}

/// An artifact on its way. As long as it is not verified it has no validators and no ranges, so that no client
/// resumes from a bad half.
pub fn filling(
    cache: &Cache,
    artifact: &Artifact,
    fill: &Fill,
    body: ByteStream,
    status: CacheStatus,
) -> Response<Body> {
    let mut response = start(StatusCode::OK, artifact.content_type, status);
    response.extensions_mut().insert(Unfinished(fill.spool.progress()));
    keep(&mut response, cache, artifact);
    let announced = fill.spool.progress().borrow().length;
    if let Some(announced) = announced {
        length(&mut response, announced);
    }
    put(&mut response, Body::stream(body));
    response
}

/// The detached signature of a document that was served before.
pub fn signature(cache: &Cache, bytes: bytes::Bytes, status: CacheStatus) -> Response<Body> {
    let mut response = start(StatusCode::OK, "application/pgp-signature", status);
    fresh_for(&mut response, cache, 0);
    length(&mut response, bytes.len() as u64);
    put(&mut response, Body::full(bytes));
    response
}

/// The state of a fill that a response is made from.
#[derive(Clone)]
struct Unfinished(watch::Receiver<Progress>);

/// Holds a body of unknown length back from a client of HTTP/1.0 until it is complete: its end would be the end of the
/// connection, and so would a failure's.
pub async fn in_version(
    version: Version,
    method: &Method,
    mut response: Response<Body>,
) -> Result<Response<Body>, Error> {
    let closes = version < Version::HTTP_11 && !response.headers().contains_key(header::CONTENT_LENGTH);
    if closes
        && method != Method::HEAD
        && let Some(Unfinished(progress)) = response.extensions_mut().remove::<Unfinished>()
    {
        length(&mut response, Box::pin(whole_length(progress)).await?);
    }
    Ok(response)
}

/// Waits until all of a fill is verified.
async fn whole_length(mut progress: watch::Receiver<Progress>) -> Result<u64, Error> {
    loop {
        let now = progress.borrow_and_update().clone();
        match (now.end, now.length) {
            (Some(Ok(())), Some(whole)) => return Ok(whole),
            (Some(_), _) => return Err(Error::Abandoned),
            (None, _) => {}
        }
        // A fill that the disk does not take waits for its readers, and this one does not read yet.
        if !matches!(tokio::time::timeout(STANDSTILL, progress.changed()).await, Ok(Ok(()))) {
            return Err(Error::Busy { retry_after: PAUSE });
        }
    }
}

/// The answer to HEAD for an artifact that is not stored: what the upstream says of it.
pub fn head(cache: &Cache, artifact: &Artifact, announced: Option<u64>) -> Response<Body> {
    let mut response = start(StatusCode::OK, artifact.content_type, CacheStatus::Bypass);
    fresh_for(&mut response, cache, 0);
    if let Some(announced) = announced {
        length(&mut response, announced);
    }
    response
}

/// An answer that needed neither upstream nor store; its body is taken.
pub fn local(answer: &mut Answer) -> Response<Body> {
    let mut response = start(answer.status, answer.content_type, CacheStatus::Local);
    if let Some(location) = &answer.location {
        set(&mut response, header::LOCATION, location.as_str());
    }
    length(&mut response, answer.body.len() as u64);
    put(&mut response, Body::full(std::mem::take(&mut answer.body).into()));
    response
}

/// What the upstream answered to a call that is passed through, collected. Of its headers only the coding of its body
/// and `Retry-After` go on; the type is ours.
pub fn forwarded(forward: &Forward, status: StatusCode, headers: &HeaderMap, body: Body) -> Response<Body> {
    let mut response = start(status, forward.content_type, CacheStatus::Bypass);
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    // In answer to HEAD the length is that of the answer to GET (RFC 9110 §9.3.2).
    let is_head = forward.method == Method::HEAD;
    let passed = [header::CONTENT_ENCODING, header::RETRY_AFTER].into_iter();
    for name in passed.chain(is_head.then_some(header::CONTENT_LENGTH)) {
        if let Some(value) = headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    if let Some(exact) = http_body::Body::size_hint(&body).exact().filter(|_| !is_head) {
        length(&mut response, exact);
    }
    put(&mut response, body);
    response
}

/// An error, in the words that the ecosystem's client prints.
/// `path` is below the proxy.
pub fn refused(error: &Error, protocol: Option<&dyn Ecosystem>, path: &str, what: &str) -> Response<Body> {
    let (status, retry_after) = status_of(error);
    let status = protocol.map_or(status, |protocol| protocol.status(status));
    let retry_after = retry_after.filter(|_| status == StatusCode::SERVICE_UNAVAILABLE);
    let mut message = format!("{what}: {error}");
    if let Error::Missing { text, .. } = error
        && !text.is_empty()
    {
        message = format!("{message}\n{text}");
    }
    let (content_type, text) = match protocol {
        Some(protocol) => protocol.error_at(path, status, &message),
        None => ("text/plain; charset=utf-8", format!("{message}\n").into_bytes()),
    };
    let mut response = start(status, content_type, CacheStatus::Bypass);
    if let Some(wait) = retry_after {
        set(&mut response, header::RETRY_AFTER, wait.as_secs().max(1).to_string());
    }
    if let Error::Refused(Refusal::Method(_)) = error {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    length(&mut response, text.len() as u64);
    put(&mut response, Body::full(text.into()));
    response
}

/// A response to HEAD has the headers of the one to GET and no body.
pub fn without_body(method: &Method, mut response: Response<Body>) -> Response<Body> {
    if method == Method::HEAD {
        put(&mut response, Body::empty());
    }
    response
}

#[cfg(test)]
mod tests;
