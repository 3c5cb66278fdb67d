//! Puts the fetchers of one manifest together. Read from the outside in, each layer says why it is there.

use std::sync::Arc;
use std::time::Duration;

use crds::{AuthSettings, FallbackSettings, UpstreamSettings};
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use rustls::RootCertStore;

use super::breaker::{CircuitBreaker, Origins};
use super::challenge::TokenChallenge;
use super::credential::{Account, Credential, CredentialError, Rules, SecretHosts};
use super::dns::Resolver;
use super::egress::Egress;
use super::fallback::{Fallback, Fallbacks};
use super::http::{HttpFetcher, HttpSetupError};
use super::redirect::Redirects;
use super::retry::Retry;
use super::{Ask, BoxFuture, Fetch, FetchError, Reply, SafeUrl, tls, trust};
use crate::secrets::Secrets;

/// What all stacks of a process have in common. One for each process, kept over reloads.
pub struct Shared {
    /// What the breakers know.
    pub origins: Arc<Origins>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) roots: RootCertStore,
    pub(super) egress: Egress,
    pub(super) secret_hosts: SecretHosts,
}

impl Shared {
    /// The system's name service and authorities, and the egress proxy of the environment. Never fails: what is missing
    /// shows when it is needed.
    pub fn new() -> Self {
        Self::with(Resolver::system(), Egress::from_environment())
    }

    /// With another name service and way out.
    pub fn with(resolver: Resolver, egress: Egress) -> Self {
        tls::install_provider();
        Self {
            origins: Arc::default(),
            resolver: Arc::new(resolver),
            roots: tls::system_roots(),
            egress,
            secret_hosts: SecretHosts::Optional,
        }
    }

    /// The same with another rule for the key `hosts` of Secrets.
    #[must_use]
    pub fn with_secret_hosts(self, secret_hosts: SecretHosts) -> Self {
        Self { secret_hosts, ..self }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

/// The stack of one upstream cannot be built: its manifest must be refused.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The HTTP client refuses its settings.
    #[error("the upstream {origin} cannot be set up: {source}")]
    Setup {
        /// `scheme://host:port`.
        origin: String,
        /// Cause.
        source: HttpSetupError,
    },
}

/// Builds what asks the upstream of `settings`. A credential or a bundle that is missing or broken is no error here:
/// every request ends with [`FetchError::Credential`] or [`FetchError::Trust`] until a reload brings the object.
/// `absent_for`: how long one of several addresses is left alone after it said that it has no such thing, and how long
/// a token that was refused is not replaced.
/// `tokens`: whether registries of this kind send clients to a token server.
pub fn build(
    settings: &UpstreamSettings,
    absent_for: Duration,
    secrets: &Secrets,
    shared: &Shared,
    tokens: bool,
) -> Result<Arc<dyn Fetch>, BuildError> {
    if settings.is_none() {
        return Ok(Arc::new(Nowhere));
    }
    let first = single(settings, absent_for, secrets, shared, tokens)?;
    if settings.fallbacks.is_empty() {
        return Ok(first);
    }
    let others = settings.fallbacks.iter().map(|fallback| {
        let fetch = single(&of_fallback(settings, fallback), absent_for, secrets, shared, tokens)?;
        Ok(Fallback { base: fallback.url.clone(), on: fallback.on, fetch })
    });
    let others = others.collect::<Result<_, BuildError>>()?;
    Ok(Arc::new(Fallbacks::new(settings.url.clone(), first, others, absent_for)))
}

fn single(
    settings: &UpstreamSettings,
    absent_for: Duration,
    secrets: &Secrets,
    shared: &Shared,
    tokens: bool,
) -> Result<Arc<dyn Fetch>, BuildError> {
    let credential = match credential(settings, secrets, shared) {
        Ok(credential) => credential,
        Err(error) => return Ok(Arc::new(Unusable(error.into()))),
    };
    let trust = match settings.trust.as_ref().map(|trust| trust::bundle(trust, secrets)).transpose() {
        Ok(trust) => trust,
        Err(error) => return Ok(Arc::new(Unusable(error.into()))),
    };
    let failed = |source| BuildError::Setup { origin: origin(settings), source };
    let account = credential.as_ref().map_or(Account::Anonymous, |credential| credential.account().clone());
    let http = HttpFetcher::new(settings, credential, trust, shared).map_err(failed)?;
    // Innermost of the decorators: every single request counts, and each hop of a redirect for its own origin.
    let guarded = CircuitBreaker::new(http, Arc::clone(&shared.origins), settings.breaker);
    if tokens {
        // Inside the redirects: a token is for the registry and never goes along to where it sends its clients.
        let challenged = TokenChallenge::new(guarded, settings.url.clone(), account, absent_for);
        return Ok(Arc::new(Retry::new(Redirects::new(challenged), settings.retry)));
    }
    // Inside the retry: a signed address that a redirect gave may have expired by the next attempt.
    let followed = Redirects::new(guarded);
    Ok(Arc::new(Retry::new(followed, settings.retry)))
}

/// The settings of a fallback: its own place and account, and otherwise those of the first upstream.
pub(super) fn of_fallback(settings: &UpstreamSettings, fallback: &FallbackSettings) -> UpstreamSettings {
    UpstreamSettings {
        url: fallback.url.clone(),
        auth: fallback.auth.clone(),
        trust: fallback.trust.clone(),
        fallbacks: Vec::new(),
        ..settings.clone()
    }
}

pub(super) fn credential(
    settings: &UpstreamSettings,
    secrets: &Secrets,
    shared: &Shared,
) -> Result<Option<Credential>, CredentialError> {
    let rules = Rules { plaintext: settings.allow_plaintext_auth, hosts: shared.secret_hosts };
    let resolve = |auth: &AuthSettings| Credential::resolve(auth, &settings.url, rules, secrets);
    settings.auth.as_ref().map(resolve).transpose()
}

pub(super) fn origin(settings: &UpstreamSettings) -> String {
    SafeUrl::from(settings.url.clone()).origin()
}

/// Stands in for an upstream whose credential or authorities are not usable: nothing is sent, above all nothing
/// anonymous.
struct Unusable(FetchError);

impl Fetch for Unusable {
    fn fetch(&self, _: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        Box::pin(std::future::ready(Err(self.0.clone())))
    }
}

/// Stands in for an upstream where there is none: it has nothing.
struct Nowhere;

impl Fetch for Nowhere {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        let reply = Reply {
            status: StatusCode::NOT_FOUND,
            headers: HeaderMap::new(),
            url: ask.url,
            framed: true,
            fallback: None,
            body: Box::pin(stream::empty()),
        };
        Box::pin(std::future::ready(Ok(reply)))
    }
}

#[cfg(test)]
mod tests;
