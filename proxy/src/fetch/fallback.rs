//! Several addresses of one registry, asked in turn.

use std::sync::Arc;
use std::time::Duration;

use crds::FallbackOn;
use http::header::{ETAG, LAST_MODIFIED};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::credential::Scope;
use super::{Ask, BoxFuture, Fetch, FetchError, Instead, Purpose, Reply, SafeUrl, Validators, Wanted};

/// The most fallbacks that one upstream has.
pub const LIMIT: usize = 4;
/// Addresses that are remembered at most as having nothing: a flood of names must not fill the memory.
const ABSENCES: usize = 8192;

/// The first upstream and those that are asked where it fails.
pub struct Fallbacks {
    sources: Vec<Source>,
    absent: quick_cache::sync::Cache<Question, (StatusCode, Instant)>,
    absent_for: Duration,
}

/// Which address was asked for what, and how: some registries answer a HEAD with 404 because they know no HEAD.
type Question = (usize, Method, Url);

/// One further address of the same registry.
pub struct Fallback {
    /// Its base; ends in `/`.
    pub base: Url,
    /// What makes it be asked.
    pub on: FallbackOn,
    /// Asks it, with its own credential.
    pub fetch: Arc<dyn Fetch>,
}

/// An address of the registry, the first one included.
type Source = Fallback;

impl Fallbacks {
    /// Asks `first`, whose base is `base`, then `others` in their order. A 404 or 410 of one address sends nobody there
    /// again for `absent_for`.
    pub fn new(base: Url, first: Arc<dyn Fetch>, mut others: Vec<Fallback>, absent_for: Duration) -> Self {
        others.truncate(LIMIT);
        let mut sources = vec![Source { base, on: FallbackOn::NotFound, fetch: first }];
        sources.append(&mut others);
        Self { sources, absent: quick_cache::sync::Cache::new(ABSENCES), absent_for }
    }

    /// The addresses in the order in which they are asked.
    fn order(&self, wanted: Option<&Wanted>) -> Vec<usize> {
        let all = 0..self.sources.len();
        // One that is no longer configured cannot answer.
        let position = |wanted: &Wanted| match &wanted.fallback {
            None => Some(0),
            Some(base) => self.sources.iter().skip(1).position(|source| source.base == *base).map(|index| index + 1),
        };
        let Some((index, instead)) = wanted.and_then(|wanted| Some((position(wanted)?, wanted.instead))) else {
            return all.collect();
        };
        let others = all.filter(|other| *other != index && self.may_stand_in(*other, index, instead));
        std::iter::once(index).chain(others).collect()
    }

    /// Whether one address may answer in place of another.
    fn may_stand_in(&self, other: usize, index: usize, instead: Instead) -> bool {
        let is_of_the_first = |index: usize| index == 0 || self.sources[index].on == FallbackOn::Unavailable;
        match instead {
            Instead::Anyone => true,
            Instead::SameRegistry => is_of_the_first(index) && is_of_the_first(other),
            Instead::Nobody => false,
        }
    }

    /// Asks one address, unless it has just said that it has no such thing.
    async fn ask(&self, index: usize, ask: &Ask) -> Result<Reply, FetchError> {
        let source = &self.sources[index];
        let url = match index {
            0 => ask.url.expose().clone(),
            _ => rebase(ask.url.expose(), &self.sources[0].base, &source.base),
        };
        let remembers = ask.purpose != Purpose::Forward && !self.absent_for.is_zero();
        let key = (index, ask.method.clone(), url);
        if remembers
            && let Some((status, until)) = self.absent.get(&key)
            && until > Instant::now()
        {
            return Ok(without_body(status, HeaderMap::new(), SafeUrl::from(key.2)));
        }
        let reply = if index == 0 {
            source.fetch.fetch(ask.clone()).await?
        } else {
            let reply = source.fetch.fetch(elsewhere(ask, SafeUrl::from(key.2.clone()))).await?;
            Reply { fallback: Some(source.base.clone()), ..without_validators(reply) }
        };
        // What it does not hold yet it may have all the same.
        if remembers && !ask.passive && is_absent(reply.status) {
            self.absent.insert(key, (reply.status, Instant::now() + self.absent_for));
        }
        Ok(reply)
    }

    /// Whether an outcome sends the request to this address. One that adds to a registry is asked only for what that one
    /// says it lacks: while it does not answer, a name of it must not be taken from a stranger. The first address is
    /// asked after any other that does not have it.
    fn is_next(&self, index: usize, outcome: &Result<Reply, FetchError>) -> bool {
        match (Failure::of(outcome), self.sources[index].on) {
            (None, _) => false,
            (Some(_), _) if index == 0 => true,
            (Some(failure), FallbackOn::NotFound) => failure == Failure::NotFound,
            (Some(failure), FallbackOn::Unavailable) => failure == Failure::Unavailable,
        }
    }

    async fn ask_in_turn(&self, ask: Ask) -> Result<Reply, FetchError> {
        // A link to another origin has no counterpart below a fallback's base.
        let is_below = Scope::below(&self.sources[0].base).covers(ask.url.expose());
        let mut order = if is_below { self.order(ask.source.as_ref()) } else { vec![0] };
        if ask.passive {
            // That an address does not hold something yet is no reason to take it from another.
            order.truncate(1);
        }
        let mut outcome = self.ask(order[0], &ask).await;
        for &index in &order[1..] {
            if self.is_next(index, &outcome) {
                // The body holds a place among the requests to its upstream.
                let before = outcome.map(|reply| Reply { body: Box::pin(futures_util::stream::empty()), ..reply });
                outcome = self.ask(index, &ask).await;
                if self.is_no_word(index, &outcome) {
                    outcome = before;
                }
            }
        }
        outcome
    }

    /// Whether an outcome says nothing of the registry. What stands in for an address that does not answer may hold
    /// less than that one: only that it lacks something too is no absence.
    fn is_no_word(&self, index: usize, outcome: &Result<Reply, FetchError>) -> bool {
        self.sources[index].on == FallbackOn::Unavailable && Failure::of(outcome) == Some(Failure::NotFound)
    }
}

impl Fetch for Fallbacks {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        Box::pin(self.ask_in_turn(ask))
    }

    fn forget(&self) {
        self.absent.clear();
        for source in &self.sources {
            source.fetch.forget();
        }
    }
}

fn is_absent(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

fn without_body(status: StatusCode, headers: HeaderMap, url: SafeUrl) -> Reply {
    Reply { status, headers, url, framed: true, fallback: None, body: Box::pin(futures_util::stream::empty()) }
}

/// Why an address could not give something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    NotFound,
    Unavailable,
}

impl Failure {
    /// None where there is an answer. What was refused, there or here for want of a credential or by the filter, is an
    /// error to be mended, not to be covered up by another address.
    fn of(outcome: &Result<Reply, FetchError>) -> Option<Self> {
        match outcome {
            Ok(reply) if is_absent(reply.status) => Some(Self::NotFound),
            // A 429 is what the next request would get as a pause.
            Ok(reply) => {
                let is_unavailable = reply.status == StatusCode::TOO_MANY_REQUESTS || reply.status.is_server_error();
                is_unavailable.then_some(Self::Unavailable)
            }
            Err(FetchError::Forbidden { .. } | FetchError::Credential { .. } | FetchError::Trust { .. }) => None,
            Err(_) => Some(Self::Unavailable),
        }
    }
}

/// The same place below another base.
fn rebase(url: &Url, from: &Url, to: &Url) -> Url {
    let below = url.path().strip_prefix(from.path()).unwrap_or_default();
    let mut rebased = to.clone();
    rebased.set_path(&format!("{}{below}", to.path()));
    rebased.set_query(url.query());
    rebased
}

/// The request as a fallback gets it: the validators are another server's, which may use the same ones for other bytes.
fn elsewhere(ask: &Ask, url: SafeUrl) -> Ask {
    let mut ask = Ask { url, validators: Validators::default(), ..ask.clone() };
    if let Some(resume) = &mut ask.resume {
        resume.if_range = None;
    }
    ask
}

/// And the other way round: what a fallback calls a version must never be sent to the first upstream.
fn without_validators(mut reply: Reply) -> Reply {
    reply.headers.remove(ETAG);
    reply.headers.remove(LAST_MODIFIED);
    reply
}

#[cfg(test)]
mod tests;
