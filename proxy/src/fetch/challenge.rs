//! Token authentication of registries (Distribution, Token Authentication Specification): a 401 names a token server,
//! the realm; what that gives is shown to the registry, for the one repository and for as long as it is valid.
//!
//! The realm is the registry's own word. Our account is shown only to the registry's origin and to the hosts that its Secret
//! names; the address filter and the rules for redirects hold for the realm as for every link.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{FutureExt as _, Shared};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::credential::{Account, Scope};
use super::redirect::Redirects;
use super::retry_after::retry_after;
use super::{Ask, BoxFuture, Fetch, FetchError, Purpose, Reply, SafeUrl};
use denied::Denied;
use header::{INSUFFICIENT_SCOPE, bearer};
pub(crate) use header::{asks_for_token, is_insufficient_scope};

mod denied;
mod header;
#[cfg(test)]
mod tests;

/// How long a token is good for whose server does not say.
const DEFAULT_LIFETIME: u64 = 60;
/// The longest that a token is kept.
const LONGEST_LIFETIME: u64 = 3600;
/// Bytes of the longest answer of a token server that is read.
const ANSWER_LIMIT: usize = 64 << 10;
/// Most tokens that are kept.
const MOST: usize = 1024;

/// Answers the challenges of one registry.
pub struct TokenChallenge<F> {
    inner: Arc<F>,
    base: Url,
    own: Scope,
    account: Account,
    /// How long a refusal is remembered.
    refused_for: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the registry asked for the last time, by repository: saves the 401 in front of every request.
    asked: HashMap<Option<String>, Realm>,
    tokens: HashMap<Realm, Pending>,
    /// Tokens that the registry refused as soon as they were given: that is its answer, and another one would not help
    /// before something changes there.
    refused: HashMap<Realm, Refused>,
    /// The same for HEAD, which some registries refuse whatever the token: it says nothing of that.
    refused_heads: HashMap<Realm, Refused>,
}

impl State {
    fn refused_to(&mut self, method: &Method) -> &mut HashMap<Realm, Refused> {
        if method == Method::HEAD { &mut self.refused_heads } else { &mut self.refused }
    }
}

struct Refused {
    authorization: HeaderValue,
    at: Instant,
}

/// What a challenge asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Realm {
    url: Url,
    service: Option<String>,
    scope: Option<String>,
}

/// A token, asked for once for everyone who needs it.
type Pending = Shared<BoxFuture<'static, Result<Token, Denied>>>;

#[derive(Clone)]
struct Token {
    /// Marked sensitive, so that no `Debug` shows it.
    authorization: HeaderValue,
    given: Instant,
    until: Instant,
}

impl<F: Fetch> TokenChallenge<F> {
    /// Asks `inner` for what is below `base`, with tokens that `account` gets; what is refused is not asked for again
    /// for a while.
    pub fn new(inner: F, base: Url, account: Account, refused_for: Duration) -> Self {
        let own = Scope::below(&base);
        Self { inner: Arc::new(inner), own, base, account, refused_for, state: Mutex::default() }
    }

    async fn challenged(&self, ask: Ask) -> Result<Reply, FetchError> {
        if !self.own.covers(ask.url.expose()) || matches!(self.account, Account::Other) {
            return self.inner.fetch(ask).await;
        }
        let repository = repository(ask.url.expose().path());
        let begun = Instant::now();
        let asked = self.state.lock().asked.get(&repository).cloned();
        let first = match &asked {
            None => None,
            Some(realm) => match self.token(realm, ask.key).await {
                Ok(token) => Some(token),
                Err(denied) if denied.stands(self.refused_for) => return self.denied(denied, &ask),
                // Where the token server was may be somewhere else now: the registry says it anew.
                Err(_) => {
                    self.state.lock().asked.remove(&repository);
                    None
                }
            },
        };
        let reply = self.send(&ask, first.as_ref()).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        let Some(realm) = self.realm(&reply.headers, repository.as_deref())? else { return Ok(reply) };
        if let (Some(token), Some(asked)) = (&first, &asked)
            && *asked == realm
            && self.is_answer(&ask.method, &realm, token, begun)
        {
            return Ok(reply);
        }
        // Its place among the requests to the upstream is free before the next one is sent.
        drop(reply);
        self.forget_token(&realm, first.as_ref());
        let token = match self.token(&realm, ask.key).await {
            Ok(token) => token,
            Err(denied) => {
                if denied.stands(self.refused_for) {
                    self.note_asked(repository, &realm);
                }
                return self.denied(denied, &ask);
            }
        };
        self.note_asked(repository, &realm);
        // A second 401 is the answer: the account, or nobody, may do this.
        let reply = self.send(&ask, Some(&token)).await?;
        if reply.status == StatusCode::UNAUTHORIZED {
            self.note_refused(&ask.method, &realm, &token);
        }
        Ok(reply)
    }

    /// Sends a request, with a token if there is one. Some registries say with 403 what others say with 401: that
    /// everybody's token allows too little.
    async fn send(&self, ask: &Ask, token: Option<&Token>) -> Result<Reply, FetchError> {
        let authorization = token.map(|token| token.authorization.clone());
        let mut reply = self.inner.fetch(Ask { authorization, ..ask.clone() }).await?;
        if reply.status == StatusCode::FORBIDDEN && token.is_some() {
            self.mark_withheld(&mut reply);
        }
        Ok(reply)
    }

    /// What is said where there is no token. A token server that gives everybody none for this says what a registry
    /// says that gives one which allows nothing.
    fn denied(&self, denied: Denied, ask: &Ask) -> Result<Reply, FetchError> {
        let mut reply = denied.into_reply(ask)?;
        if reply.status == StatusCode::UNAUTHORIZED {
            self.mark_withheld(&mut reply);
        }
        Ok(reply)
    }

    fn mark_withheld(&self, reply: &mut Reply) {
        if matches!(self.account, Account::Anonymous) {
            reply.headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(INSUFFICIENT_SCOPE));
        }
    }

    fn note_asked(&self, repository: Option<String>, realm: &Realm) {
        let mut state = self.state.lock();
        if state.asked.len() >= MOST {
            state.asked.clear();
        }
        state.asked.insert(repository, realm.clone());
    }

    fn note_refused(&self, method: &Method, realm: &Realm, token: &Token) {
        let mut state = self.state.lock();
        let all = state.refused_to(method);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(realm.clone(), Refused { authorization: token.authorization.clone(), at: Instant::now() });
    }

    /// Whether a 401 to this token is the registry's answer, which another token would not change: it was given for
    /// this very request, or refused a moment ago when it was new.
    fn is_answer(&self, method: &Method, realm: &Realm, token: &Token, begun: Instant) -> bool {
        if token.given >= begun {
            self.note_refused(method, realm, token);
            return true;
        }
        let mut state = self.state.lock();
        let refused = state.refused_to(method).get(realm);
        refused.is_some_and(|refused| refused.authorization == token.authorization)
    }

    /// What a challenge asks for; `None` where there is none that a token answers.
    fn realm(&self, headers: &HeaderMap, repository: Option<&str>) -> Result<Option<Realm>, FetchError> {
        let Some(challenge) = bearer(headers) else { return Ok(None) };
        let unusable = |reason: &str| FetchError::Protocol {
            origin: SafeUrl::from(self.base.clone()).origin(),
            reason: reason.to_owned(),
        };
        let mut url = Url::parse(&challenge.realm).map_err(|_| unusable("its realm is not an address"))?;
        let refused =
            |reason: &str| FetchError::Forbidden { url: SafeUrl::from(url.clone()), reason: reason.to_owned() };
        match (url.scheme(), self.base.scheme()) {
            ("https", _) => {}
            ("http", "http") if url.host() == self.base.host() => {}
            _ => return Err(refused("a token server must be reached over https")),
        }
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        let built = || repository.map(|name| format!("repository:{name}:pull"));
        Ok(Some(Realm { url, service: challenge.service, scope: challenge.scope.or_else(built) }))
    }

    /// The token for a realm, from memory or from its server.
    async fn token(&self, realm: &Realm, key: u64) -> Result<Token, Denied> {
        let pending = self.pending(realm, key).map_err(Denied::Failed)?;
        pending.await
    }

    /// The token that is at hand or under way; else the request for it begins.
    fn pending(&self, realm: &Realm, key: u64) -> Result<Pending, FetchError> {
        let usable = |pending: &Pending| match pending.peek() {
            None => true,
            Some(Ok(token)) => token.until > Instant::now(),
            Some(Err(denied)) => denied.stands(self.refused_for),
        };
        let mut state = self.state.lock();
        // What a token allows is written in it: after a while another one may allow more.
        if state.refused.get(realm).is_some_and(|refused| refused.at.elapsed() >= self.refused_for)
            && let Some(refused) = state.refused.remove(realm)
        {
            let is_same = |pending: &Pending| matches!(pending.peek(), Some(Ok(token)) if token.authorization == refused.authorization);
            if state.tokens.get(realm).is_some_and(is_same) {
                state.tokens.remove(realm);
            }
        }
        if let Some(pending) = state.tokens.get(realm).filter(|pending| usable(pending)) {
            return Ok(pending.clone());
        }
        // Another repository's token is asked of the same server.
        let pauses = |pending: &Pending| matches!(pending.peek(), Some(Err(denied)) if denied.is_pause());
        let mut others = state.tokens.iter().filter(|(other, _)| other.url == realm.url);
        if let Some((_, pending)) = others.find(|(_, pending)| pauses(pending)) {
            return Ok(pending.clone());
        }
        if state.tokens.len() >= MOST {
            state.tokens.retain(|_, pending| usable(pending));
        }
        if state.tokens.len() >= MOST {
            state.tokens.clear();
        }
        let account = self.account.at(&realm.url, &self.base).map_err(|reason| FetchError::Credential { reason })?;
        let pending = fetch_token(Arc::clone(&self.inner), realm.clone(), account, key).boxed().shared();
        state.tokens.insert(realm.clone(), pending.clone());
        Ok(pending)
    }

    /// Forgets a token that the registry no longer takes, unless there is a newer one by now.
    fn forget_token(&self, realm: &Realm, refused: Option<&Token>) {
        let mut state = self.state.lock();
        let same = |pending: &Pending| match (pending.peek(), refused) {
            (Some(Ok(token)), Some(refused)) => token.authorization == refused.authorization,
            _ => false,
        };
        if state.tokens.get(realm).is_some_and(same) {
            state.tokens.remove(realm);
        }
    }
}

impl<F: Fetch> Fetch for TokenChallenge<F> {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        Box::pin(self.challenged(ask))
    }

    fn forget(&self) {
        let mut state = self.state.lock();
        state.refused_heads.clear();
        for realm in std::mem::take(&mut state.refused).into_keys() {
            state.tokens.remove(&realm);
        }
        state.tokens.retain(|_, pending| !matches!(pending.peek(), Some(Err(_))));
        self.inner.forget();
    }
}

/// The repository that an address of the distribution protocol is about, found from its end: a name may have segments
/// like those that follow it.
fn repository(path: &str) -> Option<String> {
    let (_, below) = path.split_once("/v2/")?;
    let segments: Vec<&str> = below.split('/').collect();
    match segments.as_slice() {
        [name @ .., "manifests" | "blobs" | "tags" | "referrers", _] if !name.is_empty() => Some(name.join("/")),
        _ => None,
    }
}

/// What a token server answers; either name of the token is used.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

async fn fetch_token<F: Fetch>(
    inner: Arc<F>,
    realm: Realm,
    account: Option<(Option<String>, HeaderValue)>,
    key: u64,
) -> Result<Token, Denied> {
    let asked = Instant::now();
    let mut url = realm.url;
    let (user, authorization) = account.map_or((None, None), |(user, value)| (user, Some(value)));
    for (name, value) in [("service", realm.service), ("scope", realm.scope), ("account", user)] {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, &value);
        }
    }
    let accept = Some(HeaderValue::from_static("application/json"));
    let ask = Ask { accept, authorization, key, ..Ask::get(url, Purpose::Forward) };
    let reply = Redirects::new(inner).fetch(ask).await.map_err(Denied::Failed)?;
    let origin = reply.url.origin();
    let unusable =
        |reason: &str| Denied::Failed(FetchError::Protocol { origin: origin.clone(), reason: reason.to_owned() });
    if reply.status != StatusCode::OK {
        let retry_after = retry_after(&reply.headers, Timestamp::now());
        return Err(Denied::Answered { status: reply.status, retry_after, realm: reply.url, at: Instant::now() });
    }
    let mut bytes = Vec::new();
    let mut body = reply.body;
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(Denied::Failed)?);
        if bytes.len() > ANSWER_LIMIT {
            return Err(unusable("its token is longer than any real one"));
        }
    }
    // What it says may be a token: no error repeats it.
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| unusable("it gave no token"))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| unusable("it gave no token"))?;
    let mut authorization =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| unusable("its token cannot be sent"))?;
    authorization.set_sensitive(true);
    let lifetime = answer.expires_in.unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME);
    // Counted from before the request, and given up early: the registry has a clock of its own.
    let until = asked + Duration::from_secs(lifetime) * 4 / 5;
    Ok(Token { authorization, given: Instant::now(), until })
}
