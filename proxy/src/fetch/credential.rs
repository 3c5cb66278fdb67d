//! The account that a proxy uses at its upstream: read from a Secret, bound to one origin and path prefix, and shown
//! to nobody else.

use crds::{AuthKind, AuthSettings};
use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::FetchError;
use super::filter::host_matches;
use super::redact::Secret;
use super::tls::Identity;
use crate::secrets::Secrets;

/// The optional key of a Secret that says where it may be sent.
pub(super) const HOSTS: &str = "hosts";

/// What is asked of a credential besides being there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// It may go over plain http.
    pub plaintext: bool,
    /// Whether its Secret must have the key `hosts`.
    pub hosts: SecretHosts,
}

/// Whether every Secret says itself where it may be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretHosts {
    /// Where it has the key `hosts`, that is obeyed.
    #[default]
    Optional,
    /// A Secret without the key `hosts` is not used.
    Required,
}

/// A credential together with the only place that may see it.
#[derive(Debug)]
pub struct Credential {
    scope: Scope,
    form: Form,
    account: Account,
}

/// What a token server may be shown.
#[derive(Clone, Debug)]
pub enum Account {
    /// Nothing: tokens are for everybody.
    Anonymous,
    /// A name and a password.
    Basic(Basic),
    /// A credential that is not for token servers; in its place no anonymous token is asked for.
    Other,
}

/// A name and a password, and where they may be sent.
#[derive(Clone, Debug)]
pub struct Basic {
    /// For addresses; `None` where there is no password, since the name is the token then.
    user: Option<Secret>,
    /// Marked sensitive.
    authorization: HeaderValue,
    secret: String,
    hosts: Vec<String>,
}

impl Account {
    /// User, where there is one to be named, and `Authorization` for the token server at `realm` of the registry at
    /// `base`; `None`: it is asked anonymously. An error names what to do, without a value.
    pub fn at(&self, realm: &Url, base: &Url) -> Result<Option<(Option<String>, HeaderValue)>, String> {
        let Self::Basic(basic) = self else { return Ok(None) };
        let (host, with_port) = host_of(realm);
        let listed = basic.hosts.iter().any(|pattern| host_matches(pattern, host) || host_matches(pattern, &with_port));
        if Scope::below(base).same_origin(realm) || listed {
            let user = basic.user.as_ref().map(|user| user.expose().to_owned());
            return Ok(Some((user, basic.authorization.clone())));
        }
        Err(format!(
            "the registry sends its clients to the token server {host}; name it in the key `{HOSTS}` of secret `{}` if \
             the account is for it",
            basic.secret
        ))
    }
}

fn host_of(url: &Url) -> (&str, String) {
    let host = url.host_str().unwrap_or_default();
    (host, format!("{host}:{}", url.port_or_known_default().unwrap_or_default()))
}

#[derive(Debug)]
enum Form {
    /// The value is marked sensitive, so that no `Debug` shows it and HTTP/2 never indexes it.
    Header(HeaderName, HeaderValue),
    Certificate(Identity),
}

/// Why there is no usable credential. Names secret and key, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// No Secret of this name.
    #[error("there is no secret `{secret}`")]
    SecretNotFound {
        /// Its name.
        secret: String,
    },
    /// The Secret lacks a key.
    #[error("secret `{secret}` has no key `{key}`")]
    KeyMissing {
        /// Its name.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// The key holds nothing. Going on without credentials would be an anonymous request that nobody asked for.
    #[error("key `{key}` of secret `{secret}` is empty")]
    KeyEmpty {
        /// Its name.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// The value cannot be sent: line breaks in it, not PEM, not text.
    #[error("key `{key}` of secret `{secret}` cannot be used: {reason}")]
    KeyUnusable {
        /// Its name.
        secret: String,
        /// The key.
        key: &'static str,
        /// Why, without the value.
        reason: String,
    },
    /// The Secret's own `hosts` do not name the upstream.
    #[error("secret `{secret}` may not be sent to {host}: its key `hosts` does not name it")]
    HostNotAllowed {
        /// Its name.
        secret: String,
        /// The upstream's host.
        host: String,
    },
    /// Plain http would show it to everyone on the way.
    #[error("secret `{secret}` is not sent over plain http; set `upstream.allowPlaintextAuth` to do so all the same")]
    Plaintext {
        /// Its name.
        secret: String,
    },
    /// A client certificate needs TLS.
    #[error("secret `{secret}` is a client certificate, which needs an https upstream")]
    NoTls {
        /// Its name.
        secret: String,
    },
    /// `auth.header` names a header that this proxy sets itself, or none at all.
    #[error("`{name}` cannot carry a credential")]
    HeaderName {
        /// The header.
        name: String,
    },
}

impl CredentialError {
    /// The word of the condition `CredentialsResolved`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::SecretNotFound { .. } => "SecretNotFound",
            Self::KeyMissing { .. } => "KeyMissing",
            Self::KeyEmpty { .. } => "KeyEmpty",
            Self::KeyUnusable { .. }
            | Self::HostNotAllowed { .. }
            | Self::Plaintext { .. }
            | Self::NoTls { .. }
            | Self::HeaderName { .. } => "SecretUnreadable",
        }
    }

    /// The key that it is about.
    pub const fn key(&self) -> Option<&'static str> {
        match self {
            Self::KeyMissing { key, .. } | Self::KeyEmpty { key, .. } | Self::KeyUnusable { key, .. } => Some(key),
            Self::HostNotAllowed { .. } => Some(HOSTS),
            Self::SecretNotFound { .. } | Self::Plaintext { .. } | Self::NoTls { .. } | Self::HeaderName { .. } => None,
        }
    }
}

impl From<CredentialError> for FetchError {
    fn from(error: CredentialError) -> Self {
        Self::Credential { reason: error.to_string() }
    }
}

impl Credential {
    /// Reads the Secret that `auth` names for the upstream at `base`.
    pub fn resolve(auth: &AuthSettings, base: &Url, rules: Rules, secrets: &Secrets) -> Result<Self, CredentialError> {
        let keys = Keys { secret: &auth.secret, secrets };
        if !secrets.contains(&auth.secret) {
            return Err(CredentialError::SecretNotFound { secret: auth.secret.clone() });
        }
        keys.check_hosts(base, rules.hosts)?;
        let mut account = Account::Other;
        let form = match &auth.kind {
            AuthKind::Basic => {
                // Some registries take a token for a name, and no password.
                let (user, password) = (keys.text("username")?, keys.text_or_nothing("password")?);
                let coded = BASE64.encode(format!("{user}:{password}").as_bytes());
                let value = keys.value("password", &format!("Basic {coded}"))?;
                account = Account::Basic(Basic {
                    user: (!password.is_empty()).then(|| Secret::new(user.to_owned())),
                    authorization: value.clone(),
                    secret: auth.secret.clone(),
                    hosts: keys.hosts().map(str::to_owned).collect(),
                });
                Form::Header(AUTHORIZATION, value)
            }
            AuthKind::Bearer => {
                let token = keys.text("token")?;
                Form::Header(AUTHORIZATION, keys.value("token", &format!("Bearer {token}"))?)
            }
            AuthKind::Header(name) => Form::Header(carrier(name)?, keys.value("token", keys.text("token")?)?),
            AuthKind::ClientCertificate => {
                let (chain, key) = (keys.text("tls.crt")?, keys.text("tls.key")?);
                let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes());
                account = Account::Anonymous;
                Form::Certificate(identity.map_err(|error| keys.unusable("tls.crt", error.to_string()))?)
            }
        };
        if base.scheme() != "https" {
            let secret = auth.secret.clone();
            match form {
                Form::Certificate(_) => return Err(CredentialError::NoTls { secret }),
                Form::Header(..) if !rules.plaintext => return Err(CredentialError::Plaintext { secret }),
                Form::Header(..) => {}
            }
        }
        Ok(Self { scope: Scope::below(base), form, account })
    }

    /// Adds the header to a request for `url`, if it is one and `url` is where it belongs.
    pub fn attach(&self, url: &Url, headers: &mut HeaderMap) {
        if let Form::Header(name, value) = &self.form
            && self.scope.covers(url)
        {
            headers.insert(name, value.clone());
        }
    }

    /// What a token server may be shown.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The client certificate, for connections that are used for nothing but addresses which [`Self::covers`].
    pub fn identity(&self) -> Option<&Identity> {
        match &self.form {
            Form::Certificate(identity) => Some(identity),
            Form::Header(..) => None,
        }
    }

    /// Whether `url` may see this credential.
    pub fn covers(&self, url: &Url) -> bool {
        self.scope.covers(url)
    }
}

/// One origin, and the paths at and below a base.
#[derive(Clone, Debug)]
pub struct Scope(Url);

impl Scope {
    /// The addresses below `base`, which ends in `/`.
    pub fn below(base: &Url) -> Self {
        Self(base.clone())
    }

    /// Same scheme, host and port, and below the base on a segment boundary: `/npm-evil` is not below `/npm/`.
    pub fn covers(&self, url: &Url) -> bool {
        let directory = self.0.path();
        let below = url.path().starts_with(directory) || Some(url.path()) == directory.strip_suffix('/');
        self.same_origin(url) && below
    }

    /// Same scheme, host and port, whatever the path.
    pub fn same_origin(&self, url: &Url) -> bool {
        self.0.scheme() == url.scheme()
            && self.0.host() == url.host()
            && self.0.port_or_known_default() == url.port_or_known_default()
    }
}

/// The header of `AuthKind::Header`: none that frames the message or is set for every request.
fn carrier(name: &str) -> Result<HeaderName, CredentialError> {
    const OURS: [&str; 12] = [
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "if-modified-since",
        "if-none-match",
        "range",
        "te",
        "transfer-encoding",
        "user-agent",
    ];
    let refuse = || CredentialError::HeaderName { name: name.to_owned() };
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse())?;
    if OURS.contains(&parsed.as_str()) { Err(refuse()) } else { Ok(parsed) }
}

/// One Secret.
struct Keys<'a> {
    secret: &'a str,
    secrets: &'a Secrets,
}

impl<'a> Keys<'a> {
    /// The text of a key that must not be empty.
    fn text(&self, key: &'static str) -> Result<&'a str, CredentialError> {
        let empty = || CredentialError::KeyEmpty { secret: self.secret.to_owned(), key };
        self.text_or_nothing(key).and_then(|text| if text.trim().is_empty() { Err(empty()) } else { Ok(text) })
    }

    /// The text of a key, without the line break that most editors and `echo` leave at its end.
    fn text_or_nothing(&self, key: &'static str) -> Result<&'a str, CredentialError> {
        let missing = || CredentialError::KeyMissing { secret: self.secret.to_owned(), key };
        let bytes = self.secrets.get(self.secret, key).ok_or_else(missing)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.unusable(key, "it is not text".to_owned()))?;
        Ok(text.trim_end_matches(['\r', '\n']))
    }

    fn value(&self, key: &'static str, text: &str) -> Result<HeaderValue, CredentialError> {
        let bad = |_| self.unusable(key, "it holds characters that no header may have".to_owned());
        let mut value = HeaderValue::from_str(text.trim()).map_err(bad)?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn check_hosts(&self, base: &Url, demand: SecretHosts) -> Result<(), CredentialError> {
        if demand == SecretHosts::Optional && self.secrets.get(self.secret, HOSTS).is_none() {
            return Ok(());
        }
        let (host, with_port) = host_of(base);
        self.text(HOSTS)?;
        if self.hosts().any(|pattern| host_matches(pattern, host) || host_matches(pattern, &with_port)) {
            return Ok(());
        }
        Err(CredentialError::HostNotAllowed { secret: self.secret.to_owned(), host: host.to_owned() })
    }

    /// The patterns of the key `hosts`.
    fn hosts(&self) -> impl Iterator<Item = &'a str> {
        self.text(HOSTS).unwrap_or_default().split([',', '\n', '\r']).map(str::trim)
    }

    fn unusable(&self, key: &'static str, reason: String) -> CredentialError {
        CredentialError::KeyUnusable { secret: self.secret.to_owned(), key, reason }
    }
}

#[cfg(test)]
mod tests;
