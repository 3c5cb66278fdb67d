//! Requests to the upstream: counted, and their refusals understood.

use std::sync::Arc;
use std::time::Duration;

use crds::AuthSettings;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;
use url::Url;

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
        let (address, account) = self.address_of(&reply);
        if is_at(&reply, address) {
            let refused = reply.status == StatusCode::UNAUTHORIZED && !is_withheld(&self.settings, &reply);
            if refused && account.is_some() {
                self.state.rejected.lock().insert(address.clone());
            } else {
                self.state.rejected.lock().remove(address);
            }
            if let Some(remaining) = remaining(&reply.headers) {
                let origin = OriginLabel { origin: reply.url.origin() };
                metrics.upstream_ratelimit_remaining.get_or_create(&origin).set(remaining);
            }
        }
        Ok(reply)
    }

    /// Whether there are more addresses than one.
    pub fn has_fallbacks(&self) -> bool {
        !self.settings.upstream.fallbacks.is_empty()
    }

    /// The address of the registry that a reply is of, perhaps by way of a redirect, and our account there.
    fn address_of(&self, reply: &Reply) -> (&Url, Option<&AuthSettings>) {
        let upstream = &self.settings.upstream;
        let of_fallback = |base| upstream.addresses().skip(1).find(|(address, _)| *address == base);
        match &reply.fallback {
            None => (&upstream.url, upstream.auth.as_ref()),
            Some(base) => of_fallback(base).unwrap_or((&upstream.url, None)),
        }
    }

    /// Whether an address refused our credential the last time.
    pub fn credential_rejected(&self) -> bool {
        let rejected = self.state.rejected.lock();
        let mut addresses = self.settings.upstream.addresses();
        addresses.any(|(address, account)| account.is_some() && rejected.contains(address))
    }

    /// Notes that another credential is used from now on: what the upstream said of the one before does not count.
    pub fn credential_renewed(&self) {
        self.state.rejected.lock().clear();
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
        let (address, account) = self.address_of(reply);
        match reply.status.as_u16() {
            status @ (404 | 410) => Error::Missing { status, upstream, text: "".into() },
            401 | 403 if is_withheld(&self.settings, reply) => Error::Withheld { upstream },
            401 if account.is_some() && is_at(reply, address) => Error::CredentialRejected { upstream },
            // A registry that knows everybody's token and asks again has nothing for everybody. Whether it has
            // something for others is not ours to say, nor to remember.
            401 if account.is_none() && is_challenge_of_tokens(&self.settings, reply) => Error::Withheld { upstream },
            status => Error::Upstream { status, upstream, retry_after: retry_after(&reply.headers, Timestamp::now()) },
        }
    }

    /// A GET for the cache.
    pub(super) fn get(&self, id: RecordId, url: SafeUrl, purpose: Purpose) -> Ask {
        Ask { key: id.short(), no_cache: self.state.doubted.is_recent(id, DOUBT), ..Ask::get(url, purpose) }
    }

    /// Notes what went wrong with an answer: the next time caches on the way are passed by, as one of them may have
    /// given what the origin does not.
    pub(super) fn doubt(&self, id: RecordId, error: &Error) {
        if matches!(error, Error::Mismatch { .. } | Error::PinChanged { .. } | Error::Unexpected { .. }) {
            self.state.doubted.note(id, DOUBT);
        }
    }

    /// The address of a call that is passed through.
    pub async fn forward_address(self: &Arc<Self>, forward: &Forward) -> Result<Url, Error> {
        let Some(base) = &forward.base else { return Ok(forward.to.below(&self.settings.upstream.url)) };
        let find = base.find;
        match self.with_raw(&base.document, find).await? {
            Some(link) => Ok(forward.to.below(self.parse_link(&link)?.expose())),
            None => Err(Refusal::NotFound("the upstream offers no such service".to_owned()).into()),
        }
    }
}

/// Whether a reply is of the origin of an address, which is where our credential goes.
fn is_at(reply: &Reply, address: &Url) -> bool {
    reply.url.origin() == SafeUrl::from(address.clone()).origin()
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
