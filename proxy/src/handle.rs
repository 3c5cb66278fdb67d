//! The straight line from request to response: request -> ecosystem -> intent -> resolve -> cache -> fetch or store
//! -> respond. Everything that a request can go through is called from this file.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::access::Access;
use crate::body::Body;
use crate::cache::{Cache, Form, Served};
use crate::cache_status::CacheStatus;
use crate::error::Error;
use crate::fetch::{Ask, AskBody, Purpose, SafeUrl, Validators};
use crate::intent::{Artifact, Forward, Intent, Metadata, Refusal};
use crate::negotiate;
use crate::request::Call;
use crate::respond;
use crate::site::{Site, Sites};

/// Answers one request on the data port.
pub async fn handle(sites: Arc<Sites>, request: Request<Incoming>, access: Access) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let Some((site, path)) = sites.route(parts.uri.path(), &parts.headers) else {
        let names = sites.names();
        let hint = format!("no proxy is served here; there are: {names}");
        let error = Error::Refused(Refusal::NotFound(hint));
        return access.of(None, respond::refused(&error, None, parts.uri.path()));
    };
    let response = match walk(&site, &parts, &path, incoming).await {
        Ok(response) => response,
        Err(error) => {
            let what = format!("{} {}/{path}", site.settings.ecosystem, site.settings.name);
            respond::refused(&error, Some(site.protocol), &what)
        }
    };
    access.of(Some(&site), respond::without_body(&parts.method, response))
}

async fn walk(
    site: &Arc<Site>,
    parts: &http::request::Parts,
    path: &str,
    incoming: Incoming,
) -> Result<Response<Body>, Error> {
    let call = Call::read(&parts.method, path, parts.uri.query(), &parts.headers, site.protocol.encoded_scope_slash())?;
    if call.is_read() && !hyper::body::Body::is_end_stream(&incoming) {
        return Err(Refusal::Bad("a GET or HEAD request has no body here".to_owned()).into());
    }
    match site.protocol.parse(&call)? {
        Intent::Answer(answer) => Ok(respond::local(answer)),
        Intent::Forward(forward) => forwarded(&site.cache, forward, &parts.headers, incoming).await,
        Intent::Metadata(metadata) => document(site, &metadata, &parts.headers).await,
        Intent::Artifact(artifact) => file(&site.cache, &artifact, &parts.method, &parts.headers).await,
    }
}

/// A metadata document in the form that this client gets.
async fn document(site: &Site, metadata: &Metadata, headers: &HeaderMap) -> Result<Response<Body>, Error> {
    let cache = &site.cache;
    let base = site.base(headers);
    let codings = negotiate::codings(headers);
    let (mut document, mut status) = cache.document(metadata).await?;
    // Twice at most: when the disk has lost what the record promises, the document is fetched again.
    for _ in 0..2 {
        let record = Arc::clone(&document.record);
        let form = Form::new(metadata, &document, &base, &codings);
        let last_modified = record.document().map(|document| respond::http_date(document.changed));
        if negotiate::is_current(headers, &form.etag(), last_modified.as_deref()) {
            return Ok(respond::document(cache, metadata, &record, &form, status, None));
        }
        if let Some(content) = cache.content(&form).await? {
            return Ok(respond::document(cache, metadata, &record, &form, status, Some(content)));
        }
        (document, status) = cache.fetched(metadata, Some(&record)).await?;
    }
    Err(Error::Abandoned)
}

/// An artifact: from the store with ranges and validators, or as it arrives.
async fn file(
    cache: &Arc<Cache>,
    artifact: &Artifact,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Error> {
    if method == Method::HEAD && cache.filling(artifact).is_none() {
        let id = cache.space().record_id(&artifact.key);
        return match cache.stored_artifact(id).await? {
            Some(Served::Stored { record, blob }) => {
                Ok(respond::stored(cache, artifact, &record, &blob, headers, CacheStatus::IMMUTABLE))
            }
            _ => Ok(respond::head(cache, artifact, cache.head(artifact).await?)),
        };
    }
    match cache.artifact(artifact).await? {
        Served::Stored { record, blob } => {
            Ok(respond::stored(cache, artifact, &record, &blob, headers, CacheStatus::IMMUTABLE))
        }
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

/// A call that goes to the upstream each time.
async fn forwarded(
    cache: &Arc<Cache>,
    forward: Forward,
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<Response<Body>, Error> {
    let body = match forward.body_limit {
        0 => None,
        limit => Some(AskBody {
            content_type: headers.get(header::CONTENT_TYPE).cloned(),
            content_encoding: headers.get(header::CONTENT_ENCODING).cloned(),
            bytes: read_body(incoming, limit).await?,
        }),
    };
    let mut url = cache.forward_address(&forward).await?;
    url.set_query(forward.query.as_deref());
    let ask = Ask {
        method: forward.method.clone(),
        url: SafeUrl::from(url),
        accept: forward.accept.map(HeaderValue::from_static),
        purpose: Purpose::Forward,
        validators: Validators::default(),
        resume: None,
        body,
        key: 0,
    };
    Ok(respond::forwarded(&forward, cache.ask(ask).await?))
}

async fn read_body(incoming: Incoming, limit: usize) -> Result<Bytes, Error> {
    match Limited::new(incoming, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(_) => Err(Refusal::Bad(format!("the body could not be read whole, or has more than {limit} bytes")).into()),
    }
}
