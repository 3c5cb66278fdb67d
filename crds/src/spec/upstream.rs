//! `spec.upstream`: the registry behind the proxy and how it is asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::plain_enum;
use crate::values::{ByteSize, Cidr, GoDuration, HttpUrl};

/// The registry behind the proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamSpec {
    /// Base address of the registry: `npm config get registry`; for pypi the index without its final `simple/`; for
    /// cargo the address of `config.json` without the file and without `sparse+`; for go an address of
    /// `go env GOPROXY`; for container the address above `v2/`; for maven the folder that holds the groups; for debian
    /// the folder that holds `dists/`; for gradle a build cache, which may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<HttpUrl>,
    /// The host in the names of images, where it is not that of `url`: container clients send it as `ns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?$"))]
    pub namespace: Option<String>,
    /// The account that is used there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// Allows credentials over plain http.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_plaintext_auth: Option<bool>,
    /// Certificate authorities that are trusted besides the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustSpec>,
    /// For go: the name of the checksum database that the registry mirrors below `sumdb/`, as in `go env GOSUMDB` up to
    /// the first `+`. With it, modules are verified against that database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub checksum_database: Option<String>,
    /// Other addresses of the same registry, tried in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub fallbacks: Vec<FallbackSpec>,
    /// An HTTP proxy on the way out, instead of `HTTPS_PROXY` of the environment.
    #[serde(rename = "proxyURL", skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<HttpUrl>,
    /// Hosts that links in documents may name when requests leave through an HTTP proxy; `*.` covers all names below.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    pub link_hosts: Vec<String>,
    /// Networks that links in documents may lead to although they are not public.
    #[serde(rename = "allowedCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub allowed_cidrs: Vec<Cidr>,
    /// From the dial to an established connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<GoDuration>,
    /// From the request to the head of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_timeout: Option<GoDuration>,
    /// Between two pieces of a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<GoDuration>,
    /// Bytes a second below which a transfer is given up; `'0'` never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_rate: Option<ByteSize>,
    /// Requests at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub max_concurrent_requests: Option<i32>,
    /// How long a request waits for its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<GoDuration>,
    /// When and how often a request is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// When the registry is taken to be down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerSpec>,
}

/// The account that is used at an upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// The form of the credential, and with it the keys of the Secret.
    #[serde(rename = "type")]
    pub kind: AuthType,
    /// The Secret, in the same namespace.
    pub secret_ref: Reference,
    /// The header that carries the key `token` where `type` is `Header`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub header_name: Option<String>,
}

/// The form of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum AuthType {
    /// `Authorization: Basic`; keys `username` and `password`.
    Basic,
    /// `Authorization: Bearer`; key `token`.
    Bearer,
    /// The key `token` as it is, in the header `headerName`.
    Header,
    /// A TLS client certificate; keys `tls.crt` and `tls.key`.
    ClientCertificate,
}

/// The name of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// A key of a Secret or `ConfigMap` in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyReference {
    /// The name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A bundle of certificate authorities in PEM form; exactly one of the members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrustSpec {
    /// A key of a `ConfigMap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<KeyReference>,
    /// A key of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyReference>,
}

/// Another address of the same registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FallbackSpec {
    /// Base address, as `upstream.url`.
    pub url: HttpUrl,
    /// The account there; that of the upstream is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// Certificate authorities there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustSpec>,
    /// What sends a request there; by default `Unavailable`. An address that is to be asked in both cases is listed twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<FallbackTrigger>,
}

/// The answer that makes the next address be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum FallbackTrigger {
    /// No answer, a 429 or a 5xx.
    Unavailable,
    /// A 404 or 410, and nothing else: what a registry that does not answer holds must not be taken from a stranger.
    NotFound,
}

/// When and how often a request is repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RetrySpec {
    /// Requests after the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub attempts: Option<i32>,
    /// The longest first wait; doubles with each attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_delay: Option<GoDuration>,
    /// The longest wait of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<GoDuration>,
}

/// When the registry is taken to be down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BreakerSpec {
    /// Consecutive failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub failures: Option<i32>,
    /// How long it is left alone the first time; doubles with each failed probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_duration: Option<GoDuration>,
    /// The longest that it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_open_duration: Option<GoDuration>,
}
