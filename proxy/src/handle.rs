//! The straight line from request to response: request -> ecosystem -> intent -> resolve -> cache -> fetch or store
//! -> respond. Everything that a request can go through is called from this file.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;

use crate::access::Access;
use crate::body::Body;
use crate::cache::{Cache, Client, Form, Served};
use crate::cache_status::CacheStatus;
use crate::error::Error;
use crate::intent::{Artifact, Checked, Checksum, Indexed, Intent, Metadata, Refusal};
use crate::negotiate;
use crate::request::{Call, Spelling, without_dot_segments};
use crate::respond;
use crate::server::Arrival;
use crate::site::{Routed, Site, Sites, Unrouted};

mod forward;

/// Answers one request on the data port.
pub async fn handle(sites: Arc<Sites>, request: Request<Incoming>, arrival: Arrival, access: Access) -> Response<Body> {
    let (mut parts, incoming) = request.into_parts();
    normalize(&mut parts);
    let Routed { site, path, namespace } = match sites.route(parts.uri.path(), parts.uri.query()) {
        Ok(routed) => routed,
        Err(Unrouted { reason, protocol }) => {
            let error = Error::Refused(Refusal::NotFound(reason));
            let response = respond::refused(&error, protocol, "", parts.uri.path());
            return access.of(None, respond::without_body(&parts.method, response));
        }
    };
    let client = Client { address: arrival.peer, connection: arrival.connection };
    let answered = match walk(&site, &parts, &path, incoming, client).await {
        Ok(response) => respond::in_version(parts.version, &parts.method, response).await,
        Err(error) => Err(error),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(error) => {
            let what = format!("{}/{path}", site.settings.name);
            respond::refused(&error, Some(site.protocol), &path, &what)
        }
    };
    respond::label(&mut response, site.protocol.headers(None));
    respond::label(&mut response, namespace.map(|namespace| ("oci-namespace", namespace)));
    let mut response = respond::without_body(&parts.method, response);
    if let Some(lane) = &arrival.lane {
        response = response.map(|body| body.by(lane));
    }
    access.of(Some(&site), response)
}

/// Has the headers say what the request line and the method imply.
fn normalize(parts: &mut http::request::Parts) {
    // `:authority` of HTTP/2 and the absolute form of HTTP/1.1 take the place of Host (RFC 9112 §3.2.2).
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(header::HOST, host);
    }
    // Ranges are for GET (RFC 9110 §14.2).
    if parts.method != Method::GET {
        parts.headers.remove(header::RANGE);
        parts.headers.remove(header::IF_RANGE);
    }
}

async fn walk(
    site: &Arc<Site>,
    parts: &http::request::Parts,
    path: &str,
    incoming: Incoming,
    who: Client,
) -> Result<Response<Body>, Error> {
    // Every request pays for the room of what it may wait for: what is large, or rare, has its own.
    let mut intent = intent(site, parts, path)?;
    match &mut intent {
        Intent::Answer(answer) => Ok(respond::local(answer)),
        Intent::Forward(forward) => Box::pin(forward::forwarded(&site.cache, forward, &parts.headers, incoming)).await,
        Intent::Checksum(checksum) => Box::pin(digest(&site.cache, checksum, &parts.headers)).await,
        Intent::Metadata(metadata) => Box::pin(document(site, metadata, parts, who)).await,
        Intent::Artifact(artifact) => {
            site.cache.learn_from_indexes(artifact).await?;
            let mut response = file(&site.cache, artifact, &parts.method, &parts.headers).await?;
            respond::label(&mut response, site.protocol.headers(Some((&artifact.key, None))));
            Ok(response)
        }
        Intent::Indexed(indexed) => Box::pin(index(&site.cache, indexed, parts, incoming, who)).await,
        Intent::Signature(head) => {
            let (bytes, status) = Box::pin(site.cache.signature(head, who)).await?;
            Ok(respond::signature(&site.cache, bytes, status))
        }
    }
}

/// What a request means.
fn intent(site: &Site, parts: &http::request::Parts, path: &str) -> Result<Intent, Refusal> {
    let protocol = site.protocol;
    let path = if protocol.has_dot_segments() { without_dot_segments(path) } else { path.into() };
    let call = Call::read(&parts.method, &path, parts.uri.query(), &parts.headers, Spelling::of(protocol))?;
    protocol.parse(&call)
}

/// A metadata document in the form that this client gets.
async fn document(
    site: &Site,
    metadata: &Metadata,
    parts: &http::request::Parts,
    client: Client,
) -> Result<Response<Body>, Error> {
    let headers = &parts.headers;
    let cache = &site.cache;
    let base = site.base(headers, client.address);
    let codings = negotiate::codings(headers);
    let (mut document, mut status) = cache.document(metadata).await?;
    if metadata.generation.is_some() {
        Box::pin(cache.given(client, metadata, &document)).await;
    }
    // Twice at most: when the disk has lost what the record promises, the document is fetched again.
    for _ in 0..2 {
        let record = Arc::clone(&document.record);
        let form = Form::new(metadata, &document, &base, &codings);
        let content = if negotiate::is_current(headers, form.etag(), form.last_modified()) {
            cache.used(metadata, &record);
            Some(None)
        } else {
            cache.content(&form).await?.map(Some)
        };
        if let Some(content) = content {
            let mut response = respond::document(cache, metadata, &record, &form, status, content);
            if let Some(stored) = record.document() {
                respond::label(&mut response, site.protocol.headers(Some((&metadata.key, Some(stored.raw)))));
                respond::next_page(&mut response, &stored.served, &parts.uri);
            }
            return Ok(response);
        }
        (document, status) = Box::pin(cache.fetched(metadata, Some(&record))).await?;
    }
    Err(Error::Abandoned)
}

/// An index file of the generation that this client was given.
async fn index(
    cache: &Arc<Cache>,
    indexed: &Indexed,
    parts: &http::request::Parts,
    incoming: Incoming,
    who: Client,
) -> Result<Response<Body>, Error> {
    let found = match (cache.indexed(indexed, who).await, &indexed.headless) {
        (Err(Error::Missing { .. }), Some(forward)) => {
            return forward::forwarded(cache, forward, &parts.headers, incoming).await;
        }
        (found, _) => found?,
    };
    match file(cache, &found.artifact, &parts.method, &parts.headers).await {
        Ok(response) => Ok(response),
        Err(error) => {
            cache.worth_another_try(&found, error).await?;
            file(cache, &found.artifact, &parts.method, &parts.headers).await
        }
    }
}

/// The digest of what would be served.
async fn digest(cache: &Arc<Cache>, checksum: &Checksum, headers: &HeaderMap) -> Result<Response<Body>, Error> {
    match &checksum.of {
        Checked::Artifact(artifact) => {
            let (digest, status) = cache.checksum_of_file(artifact, checksum.algorithm).await?;
            Ok(respond::checksum(cache, &digest, headers, status, None))
        }
        Checked::Metadata(metadata) => {
            let (digest, document, status) = cache.checksum_of_document(metadata, checksum.algorithm).await?;
            let fresh = cache.freshness(&document.record, metadata.lifetime);
            Ok(respond::checksum(cache, &digest, headers, status, Some(fresh)))
        }
    }
}

/// An artifact: from the store with ranges and validators, or as it arrives.
async fn file(
    cache: &Arc<Cache>,
    artifact: &Artifact,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Error> {
    let hit = if artifact.immutable { CacheStatus::IMMUTABLE } else { CacheStatus::Hit { ttl: 0 } };
    if method == Method::HEAD && cache.filling(artifact).is_none() {
        return match cache.stored_artifact(artifact).await? {
            Some(Served::Stored { record, blob }) => Ok(respond::stored(cache, artifact, &record, &blob, headers, hit)),
            _ => Ok(respond::head(cache, artifact, Box::pin(cache.head(artifact)).await?)),
        };
    }
    match cache.artifact(artifact).await? {
        Served::Stored { record, blob } => Ok(respond::stored(cache, artifact, &record, &blob, headers, hit)),
        Served::Filling { fill, body, status } => {
            // Once it is verified it is as good as stored. Before that a range gets the whole: a part of what may
            // turn out wrong must not be kept by anyone.
            match fill.finished_blob() {
                Some((record, blob)) => Ok(respond::stored(cache, artifact, &record, &blob, headers, status)),
                None => Ok(respond::filling(cache, artifact, &fill, body, status)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_the_request_line_implies() {
        for (method, uri, host, range) in [
            (Method::GET, "/npm/a", "sent.example", true),
            (Method::GET, "http://named.example:80/npm/a", "named.example:80", true),
            (Method::HEAD, "/npm/a", "sent.example", false),
        ] {
            let request = Request::builder()
                .method(method.clone())
                .uri(uri)
                .header(header::HOST, "sent.example")
                .header(header::RANGE, "bytes=0-1")
                .header(header::IF_RANGE, "\"a\"");
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            normalize(&mut parts);
            assert_eq!(parts.headers[header::HOST], host, "{uri}");
            assert_eq!(parts.headers.contains_key(header::RANGE), range, "{method}");
            assert_eq!(parts.headers.contains_key(header::IF_RANGE), range, "{method}");
        }
    }
}
