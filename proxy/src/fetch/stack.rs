//! Puts the fetchers of one manifest together. Read from the outside in, each layer says why it is there.

use std::sync::Arc;

use crds::{AuthSettings, FallbackSettings, TrustSettings, UpstreamSettings};
use rustls::RootCertStore;

use super::breaker::{CircuitBreaker, Origins};
use super::credential::{Credential, CredentialError};
use super::dns::Resolver;
use super::egress::Egress;
use super::fallback::{Fallback, Fallbacks};
use super::http::{HttpFetcher, HttpSetupError};
use super::redirect::Redirects;
use super::retry::Retry;
use super::{Ask, BoxFuture, Fetch, FetchError, Reply, SafeUrl, tls};
use crate::secrets::Secrets;

/// What all stacks of a process have in common. One for each process, kept over reloads.
pub struct Shared {
    /// What the breakers know.
    pub origins: Arc<Origins>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) roots: RootCertStore,
    pub(super) egress: Egress,
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
        Self { origins: Arc::default(), resolver: Arc::new(resolver), roots: tls::system_roots(), egress }
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
    /// The bundle of `upstream.trust` does not exist.
    #[error("`upstream.trust`: there is no key `{key}` in `{name}`")]
    TrustMissing {
        /// Name of the `ConfigMap` or Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// The HTTP client refuses its settings, the bundle of `upstream.trust` among them.
    #[error("the upstream {origin} cannot be set up: {source}")]
    Setup {
        /// `scheme://host:port`.
        origin: String,
        /// Cause.
        source: HttpSetupError,
    },
}

/// Builds what asks the upstream of `settings`. A credential that is missing or empty is no error here: its upstream
/// answers every request with [`FetchError::Credential`] until a reload brings the Secret.
pub fn build(settings: &UpstreamSettings, secrets: &Secrets, shared: &Shared) -> Result<Arc<dyn Fetch>, BuildError> {
    let first = single(settings, secrets, shared)?;
    if settings.fallbacks.is_empty() {
        return Ok(first);
    }
    let others = settings.fallbacks.iter().map(|fallback| {
        let fetch = single(&of_fallback(settings, fallback), secrets, shared)?;
        Ok(Fallback { base: fallback.url.clone(), on: fallback.on, fetch })
    });
    Ok(Arc::new(Fallbacks::new(settings.url.clone(), first, others.collect::<Result<_, BuildError>>()?)))
}

fn single(settings: &UpstreamSettings, secrets: &Secrets, shared: &Shared) -> Result<Arc<dyn Fetch>, BuildError> {
    let trust = settings.trust.as_ref().map(|trust| bundle(trust, secrets)).transpose()?;
    let credential = match credential(settings, secrets) {
        Ok(credential) => credential,
        Err(error) => return Ok(Arc::new(Unusable(error))),
    };
    let failed = |source| BuildError::Setup { origin: origin(settings), source };
    let http = HttpFetcher::new(settings, credential, trust, shared).map_err(failed)?;
    // Innermost of the decorators: every single request counts, and each hop of a redirect for its own origin.
    let guarded = CircuitBreaker::new(http, Arc::clone(&shared.origins), settings.breaker);
    // Inside the retry: a signed address that a redirect gave may have expired by the next attempt.
    let followed = Redirects::new(guarded);
    Ok(Arc::new(Retry::new(followed, settings.retry)))
}

/// The settings of a fallback: its own place and account, and otherwise those of the first upstream.
fn of_fallback(settings: &UpstreamSettings, fallback: &FallbackSettings) -> UpstreamSettings {
    UpstreamSettings {
        url: fallback.url.clone(),
        auth: fallback.auth.clone(),
        trust: fallback.trust.clone(),
        fallbacks: Vec::new(),
        ..settings.clone()
    }
}

pub(super) fn bundle<'a>(trust: &TrustSettings, secrets: &'a Secrets) -> Result<&'a [u8], BuildError> {
    let missing = || BuildError::TrustMissing { name: trust.name.clone(), key: trust.key.clone() };
    secrets.get(&trust.name, &trust.key).ok_or_else(missing)
}

pub(super) fn credential(
    settings: &UpstreamSettings,
    secrets: &Secrets,
) -> Result<Option<Credential>, CredentialError> {
    let resolve =
        |auth: &AuthSettings| Credential::resolve(auth, &settings.url, settings.allow_plaintext_auth, secrets);
    settings.auth.as_ref().map(resolve).transpose()
}

pub(super) fn origin(settings: &UpstreamSettings) -> String {
    SafeUrl::from(settings.url.clone()).origin()
}

/// Stands in for an upstream whose credential is not usable: nothing is sent, above all nothing anonymous.
struct Unusable(CredentialError);

impl Fetch for Unusable {
    fn fetch(&self, _: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        Box::pin(std::future::ready(Err(self.0.clone().into())))
    }
}

/// Whether a credential that a manifest names can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialReport {
    /// `scheme://host:port` of the upstream or fallback that it is for.
    pub origin: String,
    /// Name of the Secret.
    pub secret: String,
    /// What is wrong with it.
    pub problem: Option<CredentialError>,
}

/// Looks at every credential of a manifest's upstream and fallbacks; empty where none is named.
pub fn credential_status(settings: &UpstreamSettings, secrets: &Secrets) -> Vec<CredentialReport> {
    let fallbacks = settings.fallbacks.iter().map(|fallback| of_fallback(settings, fallback));
    std::iter::once(settings.clone())
        .chain(fallbacks)
        .filter_map(|one| {
            let secret = one.auth.as_ref()?.secret.clone();
            Some(CredentialReport { origin: origin(&one), secret, problem: credential(&one, secrets).err() })
        })
        .collect()
}

#[cfg(test)]
mod tests;
