//! Requests to the upstream: counted, and their refusals understood.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Cache, words};
use crate::ecosystem;
use crate::error::Error;
use crate::fetch::challenge::is_insufficient_scope;
use crate::fetch::retry_after::retry_after;
use crate::fetch::{Ask, Purpose, Reply, SafeUrl};
use crate::intent::{Forward, Refusal};
use crate::metrics::{OriginLabel, UpstreamLabels, status_class};
use crate::store::RecordId;

/// How long caches on the way to the upstream are passed by, unless a right answer comes first.
pub(super) const DOUBT: Duration = Duration::from_mins(10);

impl Cache {
    /// Sends one request and counts it.
    pub async fn ask(&self, ask: Ask) -> Result<Reply, Error> {
        let started = Instant::now();
        let result = self.fetch.fetch(ask).await;
        let metrics = &self.engine.metrics;
        metrics.upstream_latency.get_or_create(&self.label()).observe(started.elapsed().as_secs_f64());
        let outcome = result.as_ref().map_or("error", |reply| status_class(reply.status));
        let labels = UpstreamLabels { ecosystem: self.settings.ecosystem.name(), outcome };
        metrics.upstream_requests.get_or_create(&labels).inc();
        let reply = result?;
        if self.is_ours(&reply) {
            let refused = reply.status == StatusCode::UNAUTHORIZED && !is_withheld(&self.settings, &reply);
            let rejected = refused && self.settings.upstream.auth.is_some();
            self.state.rejected.store(rejected, Ordering::Relaxed);
            if let Some(remaining) = remaining(&reply.headers) {
                let origin = OriginLabel { origin: self.upstream() };
                metrics.upstream_ratelimit_remaining.get_or_create(&origin).set(remaining);
            }
        }
        Ok(reply)
    }

    /// Whether a reply is of the origin that our credential is for.
    fn is_ours(&self, reply: &Reply) -> bool {
        reply.url.origin() == self.upstream()
    }

    /// Whether the upstream refused our credential the last time.
    pub fn credential_rejected(&self) -> bool {
        self.state.rejected.load(Ordering::Relaxed)
    }

    /// Notes that another credential is used from now on: what the upstream said of the one before does not count.
    pub fn credential_renewed(&self) {
        self.state.rejected.store(false, Ordering::Relaxed);
        // It may be shown more.
        self.state.absent.clear();
    }

    /// Turns a reply that is no success into the error that it means, with what the upstream says of it.
    pub(super) async fn refused(&self, reply: Reply) -> Error {
        let mut error = self.refused_by(&reply);
        if let Error::Missing { text, .. } = &mut error {
            *text = words::of(reply).await.into();
        }
        error
    }

    /// Turns a status that is no success into the error that it means.
    pub fn refused_by(&self, reply: &Reply) -> Error {
        let upstream = reply.url.origin();
        match reply.status.as_u16() {
            status @ (404 | 410) => Error::Missing { status, upstream, text: "".into() },
            401 | 403 if is_withheld(&self.settings, reply) => Error::Withheld { upstream },
            401 if self.settings.upstream.auth.is_some() && self.is_ours(reply) => {
                Error::CredentialRejected { upstream }
            }
            // A registry that knows everybody's token and asks again has nothing for everybody. Whether it has
            // something for others is not ours to say, nor to remember.
            401 if self.settings.upstream.auth.is_none() && is_challenge_of_tokens(&self.settings, reply) => {
                Error::Withheld { upstream }
            }
            status => Error::Upstream { status, upstream, retry_after: retry_after(&reply.headers, Timestamp::now()) },
        }
    }

    /// A GET for the cache.
    pub(super) fn get(&self, id: RecordId, url: SafeUrl, purpose: Purpose) -> Ask {
        Ask { key: id.short(), past_caches: self.state.doubted.is_recent(id, DOUBT), ..Ask::get(url, purpose) }
    }

    /// Notes what went wrong with an answer: the next time caches on the way are passed by, as one of them may have
    /// given what the origin does not.
    pub(super) fn doubt(&self, id: RecordId, error: &Error) {
        if matches!(error, Error::Mismatch { .. } | Error::PinChanged { .. } | Error::Unexpected { .. }) {
            self.state.doubted.note(id, DOUBT);
        }
    }

    /// The address of a call that is passed through.
    pub async fn forward_address(self: &Arc<Self>, forward: &Forward) -> Result<url::Url, Error> {
        let Some(base) = &forward.base else { return Ok(forward.to.below(&self.settings.upstream.url)) };
        let find = base.find;
        match self.with_raw(&base.document, find).await? {
            Some(link) => Ok(forward.to.below(self.parse_link(&link)?.expose())),
            None => Err(Refusal::NotFound("the upstream offers no such service".to_owned()).into()),
        }
    }
}

/// How many requests are left of a registry's limit, where it says so: `76;w=21600`, or the number alone.
fn remaining(headers: &HeaderMap) -> Option<i64> {
    let said = ["ratelimit-remaining", "x-ratelimit-remaining"].iter().find_map(|name| headers.get(*name))?;
    said.to_str().ok()?.split(';').next()?.trim().parse().ok()
}

/// Whether a registry took the token and says that it allows too little, as for a repository that it does not have.
fn is_withheld(settings: &crds::Settings, reply: &Reply) -> bool {
    ecosystem::of(settings.ecosystem).uses_tokens() && is_insufficient_scope(&reply.headers)
}

/// Whether a 401 asks for a token, which it has had if a token could be had.
fn is_challenge_of_tokens(settings: &crds::Settings, reply: &Reply) -> bool {
    ecosystem::of(settings.ecosystem).uses_tokens() && reply.headers.contains_key(http::header::WWW_AUTHENTICATE)
}
