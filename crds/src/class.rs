//! `PackageProxyClass`: what the administrators of a cluster choose once for many proxies, and what they allow.

mod limits;
mod merge;
mod read;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use limits::check as check_limits;
pub use merge::merge;
pub use read::{ClassReading, read, read_proxy};

use crate::Ecosystem;
use crate::manifest::{Ignored, Metadata};
use crate::schema::plain_enum;
use crate::spec::{
    CacheSpec, ClientConfigSpec, ConsumersSpec, LabelSelector, LogLevel, NetworkPolicyMode, PodSpec, Reference,
    ServiceSpec, ServiceType, UpstreamSpec,
};
use crate::values::{ByteSize, HttpUrl};

/// `kind` of a class.
pub const CLASS_KIND: &str = "PackageProxyClass";
/// The annotation of the class that proxies take which name none.
pub const DEFAULT_CLASS_ANNOTATION: &str = "packageproxy.dev/is-default-class";

/// Defaults and limits for the proxies that name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageProxyClass {
    /// `packageproxy.dev/v1alpha1`.
    pub api_version: String,
    /// `PackageProxyClass`.
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// What it says.
    pub spec: PackageProxyClassSpec,
    /// Written by the operator, not read here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Ignored>,
}

impl PackageProxyClass {
    /// Whether proxies take it that name no class.
    pub fn is_default(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(DEFAULT_CLASS_ANNOTATION)).is_some_and(|value| value == "true")
    }
}

/// What a class says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageProxyClassSpec {
    /// The image of the proxy; by default the one that the operator is installed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$"))]
    pub image: Option<String>,
    /// When a node pulls the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets for the registry of the image, in the namespace of each proxy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<Reference>,
    /// What proxies get that do not say otherwise. Objects merge field by field; `storage`, `auth`, `trust`,
    /// selectors and lists are taken whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults: Option<ClassDefaults>,
    /// The registry of each ecosystem for proxies that name none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "upstreams")]
    pub upstreams: BTreeMap<Ecosystem, HttpUrl>,
    /// What proxies of this class may not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<ClassLimits>,
    /// Whether the operator sets user and group of the pods; by default `Fixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_security: Option<PodSecurity>,
    /// Namespaces whose pods may read the metrics of the proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring_namespace_selector: Option<LabelSelector>,
}

/// The fields of a proxy that a class may fill.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClassDefaults {
    /// How registries are asked. Their addresses belong into `upstreams`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamSpec>,
    /// What is kept and for how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSpec>,
    /// The Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// Who may use the proxies besides the pods of their own namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<ConsumersSpec>,
    /// Which traffic is let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicyMode>,
    /// What is published for clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_config: Option<ClientConfigSpec>,
    /// The pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSpec>,
    /// How much is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
}

/// What proxies of a class may not exceed. What is absent is not limited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClassLimits {
    /// The ecosystems.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub ecosystems: Option<Vec<Ecosystem>>,
    /// Hosts of upstreams and fallbacks; `*.` covers all names below.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9.:]*[a-z0-9])?$"))
    )]
    pub upstream_hosts: Option<Vec<String>>,
    /// The most replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_replicas: Option<i32>,
    /// The largest volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_storage: Option<ByteSize>,
    /// The storage classes of claims; a claim must then name one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    pub storage_class_names: Option<Vec<String>>,
    /// Whether `upstream.allowPlaintextAuth` may be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_plaintext_auth: Option<bool>,
    /// Whether `upstream.allowedCIDRs` may be set.
    #[serde(rename = "allowCIDRs", skip_serializing_if = "Option::is_none")]
    pub allow_cidrs: Option<bool>,
    /// The types of Services.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3))]
    pub service_types: Option<Vec<ServiceType>>,
    /// Which `consumers` may be named; by default `Selector`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<ConsumersLimit>,
    /// Owners that the proxies of namespaces may name, besides the namespace's own name and its label
    /// `packageproxy.dev/owner`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub owners: Vec<OwnerGrant>,
    /// Whether Secrets must have the key `hosts`, which says where a credential may be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_secret_hosts: Option<bool>,
}

/// The schema of `upstreams`. Its keys are checked by a rule, whose message can name them.
fn upstreams(generator: &mut SchemaGenerator) -> Schema {
    let address = HttpUrl::json_schema(generator);
    json_schema!({"type": "object", "maxProperties": 64, "additionalProperties": address})
}

/// An owner and the namespaces that belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnerGrant {
    /// The owner.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub owner: String,
    /// The namespaces.
    #[schemars(
        length(min = 1, max = 256),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub namespaces: Vec<String>,
}

/// Which `consumers` may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum ConsumersLimit {
    /// None: only the namespace itself.
    Same,
    /// A selector that is not empty, and networks.
    Selector,
    /// Also the empty selector, which selects every namespace, and the network of every address.
    All,
}

/// When a node pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum ImagePullPolicy {
    /// For each pod.
    Always,
    /// If it lacks it.
    IfNotPresent,
    /// Never.
    Never,
}

impl ImagePullPolicy {
    /// The word of the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Whether the operator sets user and group of the pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum PodSecurity {
    /// User and group 65532.
    #[default]
    Fixed,
    /// The platform assigns them, as OpenShift does.
    Platform,
}
