//! `spec` of a manifest, as it is written: what may be left out is optional here, and nothing has a default.

mod cache;
mod pod;
mod service;
mod storage;
mod upstream;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cache::CacheSpec;
pub use pod::{PodSpec, ResourcesSpec, TaintEffect, Toleration, TolerationOperator};
pub use service::{
    ClientConfigSpec, ConsumersSpec, IpFamilyPolicy, LabelOperator, LabelRequirement, LabelSelector, NetworkPolicyMode,
    ServiceSpec, ServiceType, TlsSpec, Toggle,
};
pub use storage::{AccessMode, ClaimSpec, EphemeralSpec, RetentionPolicy, StorageSpec, StorageType};
pub use upstream::{
    AuthSpec, AuthType, BreakerSpec, FallbackSpec, FallbackTrigger, KeyReference, Reference, RetrySpec, TrustSpec,
    UpstreamSpec,
};

use crate::Ecosystem;
use crate::schema::plain_enum;
use crate::values::HttpUrl;

/// What a `PackageProxy` does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageProxySpec {
    /// The registry protocol. Cannot be changed.
    pub ecosystem: Ecosystem,
    /// The tenant whose cached files are shared; by default the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub owner: Option<String>,
    /// The `PackageProxyClass`; by default the one that is marked as default, else the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub class_name: Option<String>,
    /// Keeps everything running as it is and changes nothing until this is false again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// The registry behind the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamSpec>,
    /// What is kept and for how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSpec>,
    /// The address of this proxy as its clients reach it, for rewritten links. No trailing slash.
    #[serde(default, rename = "externalURL", skip_serializing_if = "Option::is_none")]
    pub external_url: Option<HttpUrl>,
    /// Pods at one time. The one field with a default in the schema, since `kubectl scale` fails without a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// The Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// TLS on the data port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Who may use the proxy besides the pods of its own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<ConsumersSpec>,
    /// Which traffic is let through; by default `Ingress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicyMode>,
    /// What is published for clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_config: Option<ClientConfigSpec>,
    /// The pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSpec>,
    /// How much is logged; by default `Info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
}

impl PackageProxySpec {
    /// The least that a manifest says: a registry of an ecosystem.
    pub fn at(ecosystem: Ecosystem, url: HttpUrl) -> Self {
        Self {
            ecosystem,
            owner: None,
            class_name: None,
            suspend: None,
            upstream: Some(UpstreamSpec { url: Some(url), ..UpstreamSpec::default() }),
            cache: None,
            external_url: None,
            replicas: None,
            service: None,
            tls: None,
            consumers: None,
            network_policy: None,
            client_config: None,
            pod: None,
            log_level: None,
        }
    }
}

/// How much is logged, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum LogLevel {
    /// What a person must act on.
    Error,
    /// Also what may become an error.
    Warn,
    /// Also one line a request.
    Info,
    /// Also the decisions of the cache.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word that log filters use.
    pub const fn directive(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
