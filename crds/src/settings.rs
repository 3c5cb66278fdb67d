//! A manifest with every default applied: what the rest of the program reads instead of options.

use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::Ecosystem;

/// The registry whose images are named by a host that serves none of them.
pub const HUB: &str = "docker.io";
/// What its hosts have before that, the one that serves images first. All mean the same in the name of an image.
pub const HUB_HOSTS: [&str; 2] = ["registry-1.", "index."];

/// The registry that a host means in the name of an image.
fn named(host: &str) -> &str {
    let before = host.strip_suffix(HUB);
    if before.is_some_and(|before| HUB_HOSTS.contains(&before)) { HUB } else { host }
}

/// One `PackageProxy`, complete: every field that a manifest may leave out has its value here.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `metadata.name`: the first path segment of this proxy, unless it is served at the root.
    pub name: String,
    /// `metadata.namespace`, if any: names the owner where `spec.owner` is absent.
    pub namespace: Option<String>,
    /// `metadata.generation`: reported on `/status` once these settings are in force.
    pub generation: Option<i64>,
    /// `spec.ecosystem`.
    pub ecosystem: Ecosystem,
    /// The tenant whose blobs are shared: `spec.owner`, else the namespace, else `default`. An RFC 1123 label.
    pub owner: String,
    /// `spec.externalURL`: the first base of rewritten links. No trailing slash.
    pub external_url: Option<Url>,
    /// `spec.upstream`.
    pub upstream: UpstreamSettings,
    /// `spec.cache`.
    pub cache: CacheSettings,
}

/// The registry behind the proxy and how it is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// Base of every address below the registry. Ends in `/`; no user info, query or fragment.
    pub url: Url,
    /// The host in the names of images, where it is not that of [`Self::url`].
    pub namespace: Option<String>,
    /// The account that this proxy uses, if any.
    pub auth: Option<AuthSettings>,
    /// Credentials over plain http are refused unless this is set.
    pub allow_plaintext_auth: bool,
    /// Additional certificate authorities.
    pub trust: Option<TrustSettings>,
    /// The checksum database that the registry mirrors, if modules are verified against one.
    pub checksum_database: Option<String>,
    /// Other places that hold the same registry, tried in order.
    pub fallbacks: Vec<FallbackSettings>,
    /// An HTTP proxy on the way out; without it `HTTPS_PROXY` and `NO_PROXY` of the environment apply.
    pub proxy_url: Option<Url>,
    /// Host names that links in documents may name while requests leave through an HTTP proxy. `*.` at the start
    /// covers every name below.
    pub link_hosts: Vec<String>,
    /// Addresses that the address filter lets pass besides the public ones.
    pub allowed_cidrs: Vec<IpNet>,
    /// From the dial to an established (TLS) connection.
    pub connect_timeout: Duration,
    /// From the request to the head of the response.
    pub read_timeout: Duration,
    /// Between two pieces of a body.
    pub idle_timeout: Duration,
    /// Bytes a second that a body must reach over any [`Self::MINIMUM_RATE_WINDOW`].
    pub minimum_rate: u64,
    /// Requests to this upstream at one time; more wait up to [`Self::queue_timeout`].
    pub max_concurrent_requests: usize,
    /// How long a request waits for its turn before the client is told to come back.
    pub queue_timeout: Duration,
    /// When and how often a request is repeated.
    pub retry: RetrySettings,
    /// When an origin is left alone.
    pub breaker: BreakerSettings,
}

impl UpstreamSettings {
    /// The span over which [`Self::minimum_rate`] is measured.
    pub const MINIMUM_RATE_WINDOW: Duration = Duration::from_mins(1);

    /// What clients put before the name of an image of this registry: `HOST[:PORT]`, the port where it is not the
    /// scheme's.
    pub fn namespace(&self) -> String {
        let port = self.url.port().map_or(String::new(), |port| format!(":{port}"));
        let host = self.url.host_str().unwrap_or_default();
        self.namespace.clone().unwrap_or_else(|| named(&format!("{host}{port}")).to_owned())
    }

    /// Whether a client that names this registry means this upstream.
    pub fn is_named(&self, namespace: &str) -> bool {
        named(&self.namespace()) == named(namespace)
    }

    /// The addresses of the registry, the first one first, each with the account there.
    pub fn addresses(&self) -> impl Iterator<Item = (&Url, Option<&AuthSettings>)> {
        let fallbacks = self.fallbacks.iter().map(|fallback| (&fallback.url, fallback.auth.as_ref()));
        std::iter::once((&self.url, self.auth.as_ref())).chain(fallbacks)
    }
}

/// A Secret that authenticates to an upstream, and the form it takes on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthSettings {
    /// The form.
    pub kind: AuthKind,
    /// `secretRef.name`: a directory below `--secrets`, or a `Secret` document beside the manifest.
    pub secret: String,
}

/// The form that a credential takes, and with it the keys that its Secret must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthKind {
    /// `Authorization: Basic`, from the keys `username` and `password`.
    Basic,
    /// `Authorization: Bearer`, from the key `token`.
    Bearer,
    /// The key `token`, verbatim, in the header of this name (lower case).
    Header(String),
    /// A TLS client certificate, from the keys `tls.crt` and `tls.key`.
    ClientCertificate,
}

/// A PEM bundle of certificate authorities that are trusted besides the system's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustSettings {
    /// Name of the `ConfigMap` or Secret: a directory below `--secrets`.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// Another address of the same registry.
#[derive(Clone, Debug, PartialEq)]
pub struct FallbackSettings {
    /// Base, as [`UpstreamSettings::url`].
    pub url: Url,
    /// The account there, if any; the first upstream's is never used.
    pub auth: Option<AuthSettings>,
    /// Additional certificate authorities there.
    pub trust: Option<TrustSettings>,
    /// What sends a request there.
    pub on: FallbackOn,
}

/// The answer of one upstream that makes the next one be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackOn {
    /// No answer, a 429 or a 5xx.
    Unavailable,
    /// A 404 or 410, and nothing else.
    NotFound,
}

/// Exponential backoff with full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Requests after the first one.
    pub attempts: u32,
    /// Upper bound of the first wait; doubles with each attempt.
    pub base: Duration,
    /// Upper bound of any wait, a `Retry-After` of the upstream included: a longer one is passed on.
    pub cap: Duration,
}

/// When an origin is taken to be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Consecutive failures that open it.
    pub failures: u32,
    /// How long it stays open the first time; doubles with each failed probe.
    pub open: Duration,
    /// The longest that it stays open.
    pub cap: Duration,
}

/// What is kept and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheSettings {
    /// How long metadata is fresh; zero revalidates every request.
    pub metadata_ttl: Duration,
    /// How long a 404 or 410 is remembered.
    pub negative_ttl: Duration,
    /// How long after expiry metadata is served while a revalidation runs in the background.
    pub stale_while_revalidate: Duration,
    /// How long after expiry metadata is served while the upstream fails.
    pub stale_if_error: Duration,
    /// How long a client waits for a revalidation before stale metadata is served.
    pub revalidation_wait: Duration,
    /// Bytes on disk at which eviction starts; `None`: the program's own default.
    pub max_size: Option<u64>,
    /// Bytes of the largest metadata document that is taken from the upstream.
    pub max_metadata_size: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            metadata_ttl: Duration::from_mins(5),
            negative_ttl: Duration::from_secs(30),
            stale_while_revalidate: Duration::from_mins(1),
            stale_if_error: Duration::from_hours(24),
            revalidation_wait: Duration::from_secs(10),
            max_size: None,
            max_metadata_size: 256 << 20,
        }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { attempts: 2, base: Duration::from_millis(200), cap: Duration::from_secs(30) }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, open: Duration::from_secs(5), cap: Duration::from_mins(1) }
    }
}

/// The scheme of the address that stands for no upstream.
const NOWHERE: &str = "none";

impl UpstreamSettings {
    /// No registry: whatever is not here is nowhere.
    ///
    /// # Panics
    /// Never: the address is a constant.
    pub fn none() -> Self {
        // Parses as any address does: a scheme and a path.
        #[expect(clippy::expect_used, reason = "a constant")]
        Self::at(Url::parse("none:/").expect("an address"))
    }

    /// Whether there is no registry.
    pub fn is_none(&self) -> bool {
        self.url.scheme() == NOWHERE
    }

    /// The defaults of every field but the address, which must end in `/`.
    pub fn at(url: Url) -> Self {
        Self {
            url,
            namespace: None,
            auth: None,
            allow_plaintext_auth: false,
            trust: None,
            checksum_database: None,
            fallbacks: Vec::new(),
            proxy_url: None,
            link_hosts: Vec::new(),
            allowed_cidrs: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_secs(30),
            minimum_rate: 1024,
            max_concurrent_requests: 64,
            queue_timeout: Duration::from_secs(10),
            retry: RetrySettings::default(),
            breaker: BreakerSettings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_registries() {
        let upstream = |url: &str| UpstreamSettings::at(url.parse().unwrap());
        assert_eq!(upstream("https://registry.example/a/").namespace(), "registry.example");
        assert_eq!(upstream("https://registry.example:5000/").namespace(), "registry.example:5000");
        for before in HUB_HOSTS.iter().chain(&[""]) {
            let hub = upstream(&format!("https://{before}{HUB}/"));
            assert_eq!(hub.namespace(), HUB);
            for host in HUB_HOSTS.iter().chain(&[""]) {
                assert!(hub.is_named(&format!("{host}{HUB}")), "{before} {host}");
            }
        }
        let told = UpstreamSettings { namespace: Some("a.example".to_owned()), ..upstream("https://api.a.example/") };
        for (namespace, named) in [("a.example", true), ("api.a.example", false), ("a.example:443", false), ("", false)]
        {
            assert_eq!(told.is_named(namespace), named, "{namespace}");
        }
        for other in ["evil-", "index.index.", "."] {
            assert!(!upstream(&format!("https://index.{HUB}/")).is_named(&format!("{other}{HUB}")), "{other}");
        }
    }
}
