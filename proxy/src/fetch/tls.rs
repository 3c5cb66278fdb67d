//! TLS towards upstreams: the system's authorities, those that a manifest adds, client certificates, and the words for
//! what goes wrong in a handshake.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, ServerConfig};

/// The class of every failure that is not about a certificate: it may pass, so it may be tried again.
pub const HANDSHAKE: &str = "the handshake failed";

/// A certificate, a key or a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text is not PEM, or holds no certificate.
    #[error("no certificate in PEM form found")]
    NoCertificate,
    /// A certificate in the bundle is broken.
    #[error("certificate {position} of the bundle is broken: {source}")]
    BadCertificate {
        /// Counted from 1.
        position: usize,
        /// Cause.
        source: rustls::Error,
    },
    /// The text holds no private key.
    #[error("no private key in PEM form found")]
    NoKey,
    /// Key and certificate do not fit, or the key is of a kind that is not supported.
    #[error("certificate and key cannot be used together: {0}")]
    BadIdentity(rustls::Error),
    /// The TLS library refuses its own configuration.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

impl TlsError {
    /// Whether it is about the key and not about certificates.
    pub const fn is_of_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::BadIdentity(_))
    }
}

/// A client certificate with its chain and key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Identity(..)")
    }
}

impl Identity {
    /// Reads a chain, leaf first, and its key: PKCS#8, PKCS#1 or SEC1.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        let identity = Self { chain, key };
        // Whether both fit shows when they are used, which must not be the first request.
        client_config(&RootCertStore::empty(), None, Some(&identity))?;
        Ok(identity)
    }
}

/// Makes ring the provider of everything in this process that does not name one. Calling it again does nothing.
pub fn install_provider() {
    // The error says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The authorities that this system trusts. None is no error: plain http needs none, and https says what is missing.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read certificate authorities of the system");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

/// The configuration of one upstream's connections: without ALPN, which the caller sets.
pub fn client_config(
    system: &RootCertStore,
    trust: Option<&[u8]>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, TlsError> {
    let mut roots = system.clone();
    if let Some(bundle) = trust {
        for (index, certificate) in certificates(bundle)?.into_iter().enumerate() {
            let bad = |source| TlsError::BadCertificate { position: index + 1, source };
            roots.add(certificate).map_err(bad)?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots);
    match identity {
        Some(Identity { chain, key }) => {
            builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(TlsError::BadIdentity)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// The configuration of a port with a certificate in PEM form, leaf first: without ALPN, which the caller sets.
pub fn server_config(chain: &[u8], key: &[u8]) -> Result<ServerConfig, TlsError> {
    let chain = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::BadIdentity)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or(TlsError::NoCertificate)
}

/// The class of a failed handshake, in words that an operator can act on.
pub(super) fn reason(error: &rustls::Error) -> &'static str {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "its certificate is not valid yet",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "its certificate is for another name",
            Bad::UnknownIssuer => "its certificate is from an unknown authority",
            Bad::Revoked => "its certificate has been revoked",
            _ => "its certificate is not valid",
        },
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => "it wants a client certificate",
        _ => HANDSHAKE,
    }
}

#[cfg(test)]
mod tests;
