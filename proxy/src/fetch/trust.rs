//! The bundle of `upstream.trust`: found, looked at, and if need be named by what is wrong with it.

use crds::TrustSettings;
use rustls::RootCertStore;

use super::{FetchError, tls};
use crate::secrets::Secrets;

/// Why there is no usable bundle. Names object and key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No `ConfigMap` and no Secret of this name.
    #[error("`{name}` of `upstream.trust` does not exist")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// The object lacks the key.
    #[error("`{name}` of `upstream.trust` has no key `{key}`")]
    KeyMissing {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// The key holds nothing.
    #[error("key `{key}` of `{name}` of `upstream.trust` is empty")]
    KeyEmpty {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// The key holds no certificates.
    #[error("key `{key}` of `{name}` of `upstream.trust` cannot be used: {reason}")]
    Unusable {
        /// Its name.
        name: String,
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
}

impl TrustError {
    /// The word of the condition `CredentialsResolved`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "SecretNotFound",
            Self::KeyMissing { .. } => "KeyMissing",
            Self::KeyEmpty { .. } => "KeyEmpty",
            Self::Unusable { .. } => "SecretUnreadable",
        }
    }
}

impl From<TrustError> for FetchError {
    fn from(error: TrustError) -> Self {
        Self::Trust { reason: error.to_string() }
    }
}

/// The bundle that `trust` names, once every certificate in it has been read.
pub(super) fn bundle<'a>(trust: &TrustSettings, secrets: &'a Secrets) -> Result<&'a [u8], TrustError> {
    let TrustSettings { name, key } = trust;
    let Some(bytes) = secrets.get(name, key) else {
        return Err(if secrets.contains(name) {
            TrustError::KeyMissing { name: name.clone(), key: key.clone() }
        } else {
            TrustError::NotFound { name: name.clone() }
        });
    };
    if bytes.trim_ascii().is_empty() {
        return Err(TrustError::KeyEmpty { name: name.clone(), key: key.clone() });
    }
    let unusable =
        |error: tls::TlsError| TrustError::Unusable { name: name.clone(), key: key.clone(), reason: error.to_string() };
    tls::client_config(&RootCertStore::empty(), Some(bytes), None).map(|_| bytes).map_err(unusable)
}
