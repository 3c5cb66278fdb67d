//! What stands before the pods: `spec.service`, `spec.tls`, `spec.consumers`, `spec.networkPolicy`, `spec.clientConfig`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{KeyReference, Reference};
use crate::schema::plain_enum;
use crate::values::Cidr;

/// The Service of the proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// How it is reached; by default `ClusterIP`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServiceType>,
    /// Its port; by default 80, with `tls` 443.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Annotations of the Service, for load balancers and DNS controllers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::pod::annotations")]
    pub annotations: BTreeMap<String, String>,
    /// Which address families the Service has; by default the cluster's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<IpFamilyPolicy>,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum ServiceType {
    /// Inside the cluster.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Also at a port of every node.
    NodePort,
    /// Also at a load balancer.
    LoadBalancer,
}

impl ServiceType {
    /// The word of the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Which address families a Service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum IpFamilyPolicy {
    /// One.
    SingleStack,
    /// Two where the cluster has them.
    PreferDualStack,
    /// Two.
    RequireDualStack,
}

impl IpFamilyPolicy {
    /// The word of the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SingleStack => "SingleStack",
            Self::PreferDualStack => "PreferDualStack",
            Self::RequireDualStack => "RequireDualStack",
        }
    }
}

/// TLS on the data port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// A Secret of the type `kubernetes.io/tls` in the same namespace; keys `tls.crt` and `tls.key`.
    pub secret_ref: Reference,
    /// The certificate authority that clients must trust, for the client configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<KeyReference>,
}

/// Who may use the proxy besides the pods of its own namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumersSpec {
    /// The namespaces whose pods may; the empty selector selects all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Networks whose addresses may: of nodes, which pull images, and of clients outside of the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub cidrs: Vec<Cidr>,
}

/// A query over labels, as `metav1.LabelSelector`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that all must be there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::pod::labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that all must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions: Vec<LabelRequirement>,
}

impl LabelSelector {
    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

/// One requirement of a selector, as `metav1.LabelSelectorRequirement`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelRequirement {
    /// The label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// With what; empty for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum LabelOperator {
    /// One of the values.
    In,
    /// None of the values.
    NotIn,
    /// Any value.
    Exists,
    /// No such label.
    DoesNotExist,
}

/// Which traffic a NetworkPolicy lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum NetworkPolicyMode {
    /// There is no NetworkPolicy.
    Disabled,
    /// Incoming traffic is limited to the consumers, the operator and monitoring.
    Ingress,
    /// Outgoing traffic too: DNS, and the ports of the upstream and its fallbacks.
    Strict,
}

/// What is published for clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientConfigSpec {
    /// ConfigMaps with files and variables that make clients use the proxy; by default `Enabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<Toggle>,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = plain_enum)]
pub enum Toggle {
    /// It is.
    Enabled,
    /// It is not.
    Disabled,
}
