//! What is kept of each kind, and which changes matter.

use serde_json::{Map, Value, json};

use super::Key;
use crate::kinds::{self, ChildKind};

/// A kind that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `PackageProxy`.
    Proxy,
    /// `PackageProxyClass`.
    Class,
    /// What a proxy is made of.
    Child(ChildKind),
    /// What a Deployment runs.
    Pod,
}

/// The label that names the proxy of an object.
const INSTANCE: &str = "app.kubernetes.io/instance";

impl Kind {
    /// How the API addresses it.
    pub fn resource(self) -> kube::core::ApiResource {
        match self {
            Self::Proxy => kinds::package_proxies(),
            Self::Class => kinds::package_proxy_classes(),
            Self::Child(kind) => kind.resource(),
            Self::Pod => kinds::pods(),
        }
    }

    /// Which objects are watched; empty: all.
    pub const fn selector(self) -> &'static str {
        match self {
            Self::Proxy | Self::Class => "",
            Self::Child(_) => "app.kubernetes.io/managed-by=packageproxy-operator",
            Self::Pod => "app.kubernetes.io/name=packageproxy",
        }
    }

    /// The proxy that an object belongs to, whether or not it exists; proxies and classes belong to themselves.
    pub(super) fn proxy_of(self, object: &Value) -> Key {
        let key = Key::of(object);
        match self {
            Self::Proxy | Self::Class => key,
            Self::Child(_) | Self::Pod => {
                let proxy = object["metadata"]["labels"][INSTANCE].as_str().unwrap_or(&key.name).to_owned();
                Key::new(key.namespace, proxy)
            }
        }
    }

    /// Whether a change matters. What the operator itself writes of a proxy does not.
    pub(super) fn differs(self, old: &Value, new: &Value) -> bool {
        match self {
            Self::Proxy | Self::Class => {
                ["metadata", "spec"].iter().any(|member| old[*member] != new[*member])
                    || (old.get("status").is_some() && new.get("status").is_none())
            }
            Self::Child(_) | Self::Pod => old != new,
        }
    }
}

/// An object without what no decision depends on.
pub fn trim(kind: Kind, mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for member in ["managedFields", "resourceVersion", "selfLink"] {
            metadata.remove(member);
        }
    }
    let Some(members) = object.as_object_mut() else { return object };
    match kind {
        Kind::Proxy | Kind::Class | Kind::Child(ChildKind::PersistentVolumeClaim) => {}
        Kind::Child(ChildKind::Deployment) => trim_status(members, &["conditions", "observedGeneration"], "eplicas"),
        Kind::Child(_) => {
            members.remove("status");
        }
        Kind::Pod => {
            members.remove("spec");
            trim_status(members, &["conditions", "phase", "podIP", "containerStatuses", "reason", "message"], "");
            if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
                let kept = ["namespace", "name", "uid", "labels", "deletionTimestamp"];
                metadata.retain(|name, _| kept.contains(&name.as_str()));
            }
        }
    }
    object
}

/// Keeps these members of `status`, and those whose name ends in `suffix` unless it is empty; of conditions what does
/// not change without meaning.
fn trim_status(members: &mut Map<String, Value>, kept: &[&str], suffix: &str) {
    let Some(status) = members.get_mut("status").and_then(Value::as_object_mut) else { return };
    status.retain(|name, _| kept.contains(&name.as_str()) || (!suffix.is_empty() && name.ends_with(suffix)));
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let member = |name: &str| condition[name].clone();
        *condition = json!({"type": member("type"), "status": member("status"), "reason": member("reason"),
                            "message": member("message")});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_without_meaning_is_not_kept() {
        let deployment = |time: &str, ready: i32| {
            json!({"metadata": {"name": "npm", "namespace": "team", "resourceVersion": time},
                   "status": {"readyReplicas": ready, "collisionCount": 1,
                              "conditions": [{"type": "Available", "status": "True", "lastUpdateTime": time}]}})
        };
        let kind = Kind::Child(ChildKind::Deployment);
        assert_eq!(trim(kind, deployment("1", 1)), trim(kind, deployment("2", 1)));
        assert_ne!(trim(kind, deployment("1", 1)), trim(kind, deployment("1", 0)));
        let proxy = |generation: i32, status: &str| json!({"metadata": {"generation": generation}, "status": status});
        assert!(!Kind::Proxy.differs(&proxy(1, "a"), &proxy(1, "b")));
        assert!(Kind::Proxy.differs(&proxy(1, "a"), &proxy(2, "a")));
        assert!(Kind::Proxy.differs(&proxy(1, "a"), &json!({"metadata": {"generation": 1}})), "status wiped out");
    }
}
