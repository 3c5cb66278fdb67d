//! The kinds of objects that a proxy is made of.

use kube::core::{ApiResource, GroupVersionKind};

/// A kind of child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    /// Whom the pods run as.
    ServiceAccount,
    /// The manifest of the data plane, and what clients take.
    ConfigMap,
    /// The address of the proxy.
    Service,
    /// The volume of the cache.
    PersistentVolumeClaim,
    /// Who may reach the pods.
    NetworkPolicy,
    /// How many pods a drain may take at once.
    PodDisruptionBudget,
    /// The pods.
    Deployment,
}

impl ChildKind {
    /// Every kind in the order of application: what a pod mounts comes before the pod.
    pub const ALL: [Self; 7] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Service,
        Self::PersistentVolumeClaim,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::Deployment,
    ];

    /// Group, version, kind and plural of the API.
    const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::PersistentVolumeClaim => ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
        }
    }

    /// The word of the API.
    pub const fn kind(self) -> &'static str {
        self.names().2
    }

    /// How the API addresses it.
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

/// How the API addresses proxies.
pub fn package_proxies() -> ApiResource {
    ours(crds::KIND, "packageproxies")
}

/// How the API addresses classes.
pub fn package_proxy_classes() -> ApiResource {
    ours(crds::CLASS_KIND, "packageproxyclasses")
}

/// How the API addresses pods.
pub fn pods() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods")
}

fn ours(kind: &str, plural: &str) -> ApiResource {
    let (group, version) = crds::API_VERSION.split_once('/').unwrap_or_default();
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}
