//! What the operator builds for a proxy: the fields of a manifest that concern the cluster, with every default applied.
//! The counterpart of [`crate::Settings`], which holds what concerns the data plane.

use std::collections::BTreeMap;

use crate::class::{ImagePullPolicy, PackageProxyClassSpec, PodSecurity};
use crate::spec::{
    AccessMode, CacheSpec, ClaimSpec, ConsumersSpec, IpFamilyPolicy, KeyReference, LabelSelector, NetworkPolicyMode,
    PodSpec, ResourcesSpec, RetentionPolicy, ServiceSpec, ServiceType, StorageType, Toggle,
};
use crate::values::{ByteSize, Quantity};
use crate::{PackageProxy, PackageProxySpec};

/// Bytes of an emptyDir where nothing is said.
const EPHEMERAL_SIZE: u64 = 10 << 30;
/// Memory that a proxy may take where nothing is said.
const MEMORY_LIMIT: &str = "1Gi";

/// The cluster's side of one proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Pods at one time.
    pub replicas: i32,
    /// Whether nothing may be changed.
    pub suspend: bool,
    /// The image, if the class names one.
    pub image: Option<String>,
    /// When it is pulled, if the class says so.
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets for its registry: those of the class, then those of the manifest.
    pub image_pull_secrets: Vec<String>,
    /// Who sets user and group.
    pub pod_security: PodSecurity,
    /// Where the cache lies.
    pub storage: Storage,
    /// The Service.
    pub service: Service,
    /// TLS on the data port.
    pub tls: Option<Tls>,
    /// Who may use the proxy, besides the pods of its own namespace.
    pub consumers: ConsumersSpec,
    /// Namespaces whose pods may read its metrics.
    pub monitoring: Option<LabelSelector>,
    /// Which traffic is let through.
    pub network_policy: NetworkPolicyMode,
    /// Whether client configuration is published.
    pub client_config: bool,
    /// Whether Secrets must say where they may be sent.
    pub require_secret_hosts: bool,
    /// The pods, as the manifest has them; `resources` are filled.
    pub pod: PodSpec,
}

/// Where the cache lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// A directory of the node.
    Ephemeral {
        /// Bytes that it may hold.
        size_limit: u64,
    },
    /// A claim that the operator makes.
    Claim {
        /// Bytes that are asked for.
        size: u64,
        /// The storage class; `None`: the cluster's default.
        storage_class: Option<String>,
        /// Who may mount it.
        access_mode: AccessMode,
        /// What becomes of it.
        retention: RetentionPolicy,
    },
    /// A claim that somebody else made.
    ExistingClaim {
        /// Its name.
        name: String,
    },
}

/// The Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// How it is reached.
    pub kind: ServiceType,
    /// Its port.
    pub port: i32,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its address families.
    pub ip_family_policy: Option<IpFamilyPolicy>,
}

/// TLS on the data port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The Secret with the certificate.
    pub secret: String,
    /// Where the certificate authority for clients is.
    pub ca: Option<KeyReference>,
}

impl Workload {
    /// Applies every default. `manifest` has been merged with `class` and checked.
    pub fn from_manifest(manifest: &PackageProxy, class: &PackageProxyClassSpec) -> Self {
        let spec = &manifest.spec;
        let pod = with_resources(pod_of(spec));
        let pull_secrets = class.image_pull_secrets.iter().chain(&pod.image_pull_secrets);
        let mut image_pull_secrets: Vec<String> = Vec::new();
        for secret in pull_secrets {
            if !image_pull_secrets.contains(&secret.name) {
                image_pull_secrets.push(secret.name.clone());
            }
        }
        let tls =
            spec.tls.as_ref().map(|tls| Tls { secret: tls.secret_ref.name.clone(), ca: tls.ca_config_map_ref.clone() });
        Self {
            replicas: spec.replicas.unwrap_or(1),
            suspend: spec.suspend.unwrap_or(false),
            image: class.image.clone(),
            image_pull_policy: class.image_pull_policy,
            image_pull_secrets,
            pod_security: class.pod_security.unwrap_or_default(),
            storage: storage(spec.cache.as_ref()),
            service: service(spec.service.clone().unwrap_or_default(), tls.is_some()),
            tls,
            consumers: spec.consumers.clone().unwrap_or_default(),
            monitoring: class.monitoring_namespace_selector.clone(),
            network_policy: spec.network_policy.unwrap_or(NetworkPolicyMode::Ingress),
            client_config: spec.client_config.as_ref().and_then(|config| config.config_map) != Some(Toggle::Disabled),
            require_secret_hosts: class
                .limits
                .as_ref()
                .and_then(|limits| limits.require_secret_hosts)
                .unwrap_or_default(),
            pod,
        }
    }

    /// The scheme of the data port.
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

fn pod_of(spec: &PackageProxySpec) -> PodSpec {
    spec.pod.clone().unwrap_or_default()
}

fn storage(cache: Option<&CacheSpec>) -> Storage {
    let spec = cache.and_then(|cache| cache.storage.as_ref());
    let ephemeral = spec.and_then(|spec| spec.ephemeral.as_ref()).and_then(|ephemeral| ephemeral.size_limit);
    // What is to be kept fits with a quarter to spare, for what is under way.
    let kept = cache.and_then(|cache| cache.max_size).map_or(0, |ByteSize(bytes)| bytes.saturating_add(bytes / 4));
    let default = EPHEMERAL_SIZE.max(kept);
    let ephemeral = Storage::Ephemeral { size_limit: ephemeral.map_or(default, |ByteSize(bytes)| bytes) };
    let Some(spec) = spec.filter(|spec| spec.kind == StorageType::PersistentVolumeClaim) else { return ephemeral };
    let ClaimSpec { size, existing_claim_name, storage_class_name, access_mode, retention_policy } =
        spec.persistent_volume_claim.clone().unwrap_or_default();
    if let Some(name) = existing_claim_name {
        return Storage::ExistingClaim { name };
    }
    Storage::Claim {
        size: size.map_or(EPHEMERAL_SIZE, |ByteSize(bytes)| bytes),
        storage_class: storage_class_name,
        access_mode: access_mode.unwrap_or(AccessMode::ReadWriteOnce),
        retention: retention_policy.unwrap_or(RetentionPolicy::Retain),
    }
}

fn service(spec: ServiceSpec, tls: bool) -> Service {
    Service {
        kind: spec.kind.unwrap_or(ServiceType::ClusterIp),
        port: spec.port.unwrap_or(if tls { 443 } else { 80 }),
        annotations: spec.annotations,
        ip_family_policy: spec.ip_family_policy,
    }
}

/// Requests of 50m and 128Mi and a memory limit of 1Gi, each unless the manifest says otherwise; a default gives way to
/// what the manifest says on the other side. No limit of the processor: it would only make clients wait while the node
/// is idle.
fn with_resources(mut pod: PodSpec) -> PodSpec {
    let ResourcesSpec { requests, limits } = pod.resources.get_or_insert_default();
    for (name, amount) in [("cpu", "50m"), ("memory", "128Mi")] {
        let amount = limits.get(name).filter(|limit| quantity(limit) < quantity(amount)).map_or(amount, String::as_str);
        requests.entry(name.to_owned()).or_insert_with(|| amount.to_owned());
    }
    let asked = requests.get("memory").filter(|asked| quantity(asked) > quantity(MEMORY_LIMIT));
    let limit = asked.map_or(MEMORY_LIMIT, String::as_str);
    limits.entry("memory".to_owned()).or_insert_with(|| limit.to_owned());
    pod
}

fn quantity(text: &str) -> Option<Quantity> {
    text.parse().ok()
}

#[cfg(test)]
mod tests;
