//! Calls that go to the upstream each time. Their bodies, in both directions, are collected within a budget, so that
//! neither a slow client nor a slow upstream holds what others need.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body_util::BodyExt as _;

use crate::body::Body;
use crate::cache::Cache;
use crate::error::Error;
use crate::fetch::{Ask, AskBody, Purpose, Reply};
use crate::intent::{Forward, Refusal, Unexpected};
use crate::memory::{Budget, Permit};
use crate::respond;

/// Longest answer that is passed on, in bytes.
const ANSWER_LIMIT: u64 = 16 << 20;
/// Memory for a body that is yet to come, until it turns out to be longer.
const FIRST_SHARE: u64 = 1 << 20;
/// So long a client may take to send a body: others wait for the memory that it holds.
const ARRIVAL: Duration = Duration::from_mins(1);

/// Asks the upstream and passes its answer on.
pub(super) async fn forwarded<B>(
    cache: &Arc<Cache>,
    forward: &Forward,
    headers: &HeaderMap,
    incoming: B,
) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let budget = &cache.engine().memory;
    let (body, sending) = match forward.body_limit {
        0 => (None, None),
        limit => {
            let (content_type, content_encoding) = (content_type(headers)?, content_encoding(headers)?);
            let (bytes, permit) = read_body(incoming, limit, budget).await?;
            (Some(AskBody { content_type, content_encoding, bytes }), Some(permit))
        }
    };
    let mut url = cache.forward_address(forward).await?;
    url.set_query(forward.query.as_deref());
    let ask = Ask {
        method: forward.method.clone(),
        accept: forward.accept.map(HeaderValue::from_static),
        body,
        ..Ask::get(url, Purpose::Forward)
    };
    let reply = cache.ask(ask).await?;
    // What was sent is gone.
    drop(sending);
    if !reply.status.is_success() {
        let error = cache.refused_by(&reply);
        // Where the table lets a status of the upstream pass, its body goes with it: clients print it.
        if !reply.status.is_client_error() || respond::status_of(&error).0 != reply.status {
            return Err(error);
        }
    }
    let Reply { status, headers, url, body, .. } = reply;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = match forward.method {
        Method::HEAD => Body::empty(),
        _ => collect(body, announced, &url.origin(), budget).await?,
    };
    Ok(respond::forwarded(forward, status, &headers, body))
}

/// Reads the body of a request into memory that is set aside for it: for a long one only once much of it has come.
async fn read_body<B>(incoming: B, limit: usize, budget: &Budget) -> Result<(Bytes, Permit), Error>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    match tokio::time::timeout(ARRIVAL, collect_request(incoming, limit, budget)).await {
        Ok(body) => body,
        Err(_) => Err(Refusal::Bad(format!("the body did not arrive within {} s", ARRIVAL.as_secs())).into()),
    }
}

async fn collect_request<B>(mut incoming: B, limit: usize, budget: &Budget) -> Result<(Bytes, Permit), Error>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let most = incoming.size_hint().exact().unwrap_or(limit as u64);
    if most > limit as u64 {
        return Err(longer_than(limit));
    }
    let mut share = most.min(FIRST_SHARE);
    let mut permit = budget.take(share).await?;
    let mut bytes = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| Refusal::Bad("the body was cut".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > limit {
            return Err(longer_than(limit));
        }
        if length as u64 > share {
            (permit, share) = exchange(permit, most, budget).await?;
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.freeze(), permit))
}

/// A larger share of the budget. Whoever waits for memory with memory in hand could wait for others who do the same.
async fn exchange(permit: Permit, share: u64, budget: &Budget) -> Result<(Permit, u64), Error> {
    drop(permit);
    Ok((budget.take(share).await?, share))
}

fn longer_than(limit: usize) -> Error {
    Refusal::Bad(format!("the body has more than {limit} bytes")).into()
}

/// Reads an answer to its end, so that its place among the requests to the upstream is free before a client reads it.
async fn collect(
    mut body: crate::fetch::BodyStream,
    announced: Option<u64>,
    upstream: &str,
    budget: &Budget,
) -> Result<Body, Error> {
    let too_long = || Error::Unexpected {
        upstream: upstream.to_owned(),
        reason: Unexpected(format!("an answer of more than {ANSWER_LIMIT} bytes, which is not passed on")),
    };
    if announced.is_some_and(|announced| announced > ANSWER_LIMIT) {
        return Err(too_long());
    }
    let mut share = announced.unwrap_or(FIRST_SHARE);
    let mut permit = budget.take(share).await?;
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        let length = (bytes.len() + piece.len()) as u64;
        if length > ANSWER_LIMIT {
            return Err(too_long());
        }
        if length > share {
            (permit, share) = exchange(permit, ANSWER_LIMIT, budget).await?;
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Body::held(bytes.freeze(), permit))
}

/// What a client may say of its body's type. Parameters do not go on.
fn content_type(headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(Some(HeaderValue::from_static("application/json")));
    }
    Err(Refusal::Bad("the body of a forwarded call is application/json".to_owned()))
}

/// What a client may say of its body's coding.
fn content_encoding(headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let coding = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(only), None) => only.to_str().unwrap_or_default().trim().to_ascii_lowercase(),
        (Some(_), Some(_)) => String::new(),
    };
    match coding.as_str() {
        "identity" => Ok(None),
        "gzip" | "x-gzip" => Ok(Some(HeaderValue::from_static("gzip"))),
        _ => Err(Refusal::Bad("the body of a forwarded call is coded with gzip or not at all".to_owned())),
    }
}

#[cfg(test)]
mod tests;
