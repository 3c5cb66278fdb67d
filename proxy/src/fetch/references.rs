//! Whether the objects that a manifest names can be used: what `/status` says of each, and when the last good one
//! stands in.

use crds::UpstreamSettings;

use super::credential::CredentialError;
use super::stack::{self, Shared};
use super::trust::{self, TrustError};
use crate::secrets::Secrets;

/// What a reference is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The account at an upstream.
    Auth,
    /// Certificate authorities of an upstream.
    Trust,
    /// Certificate and key of the data port.
    Tls,
}

impl Use {
    /// The word on `/status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Trust => "trust",
            Self::Tls => "tls",
        }
    }
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The word of the condition `CredentialsResolved`.
    pub reason: &'static str,
    /// The key that is missing, empty or unusable.
    pub key: Option<String>,
    /// In words. Never a value.
    pub text: String,
}

/// One object that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `scheme://host:port` of the upstream, of the fallback, or of the data port.
    pub origin: String,
    /// Name of the Secret or `ConfigMap`.
    pub secret: String,
    /// What it is for.
    pub used_for: Use,
    /// What is wrong with it.
    pub defect: Option<Defect>,
}

impl From<CredentialError> for Defect {
    fn from(error: CredentialError) -> Self {
        Self { reason: error.reason(), key: error.key().map(str::to_owned), text: error.to_string() }
    }
}

impl From<TrustError> for Defect {
    fn from(error: TrustError) -> Self {
        let key = match &error {
            TrustError::NotFound { .. } => None,
            TrustError::KeyMissing { key, .. }
            | TrustError::KeyEmpty { key, .. }
            | TrustError::Unusable { key, .. } => Some(key.clone()),
        };
        Self { reason: error.reason(), key, text: error.to_string() }
    }
}

/// Every reference of a manifest's upstream and fallbacks, credentials first; empty where none is named.
pub fn references(settings: &UpstreamSettings, secrets: &Secrets, shared: &Shared) -> Vec<Reference> {
    let fallbacks = settings.fallbacks.iter().map(|fallback| stack::of_fallback(settings, fallback));
    let mut found = Vec::new();
    for one in std::iter::once(settings.clone()).chain(fallbacks) {
        let origin = stack::origin(&one);
        if let Some(auth) = &one.auth {
            let defect = stack::credential(&one, secrets, shared).err().map(Defect::from);
            found.push(Reference { origin: origin.clone(), secret: auth.secret.clone(), used_for: Use::Auth, defect });
        }
        if let Some(named) = &one.trust {
            let defect = trust::bundle(named, secrets).err().map(Defect::from);
            found.push(Reference { origin, secret: named.name.clone(), used_for: Use::Trust, defect });
        }
    }
    found
}

/// What there is now, and in place of what is gone or broken the one that could be used before: a Secret that is deleted
/// by mistake stops nothing. One that says itself that it must not be sent there is obeyed at once.
pub fn with_last_good(settings: &UpstreamSettings, present: &Secrets, before: &Secrets, shared: &Shared) -> Secrets {
    let mut secrets = present.clone();
    let known = references(settings, before, shared);
    for reference in references(settings, present, shared) {
        let Some(defect) = &reference.defect else { continue };
        let forbidden = defect.key.as_deref() == Some(super::credential::HOSTS);
        let healthy = Reference { defect: None, ..reference.clone() };
        if !forbidden && known.contains(&healthy) {
            secrets.adopt(&reference.secret, before);
        }
    }
    secrets
}
