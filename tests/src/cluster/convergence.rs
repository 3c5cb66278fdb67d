//! What a proxy must look like once the operator is done with it, whatever happened before.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use serde_json::Value;

use super::{Proxy, Scene, at, of};
use crate::wait::{LIMIT, try_until};

/// One condition of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// The generation that it is about.
    pub generation: i64,
}

/// Reads a condition of an object.
pub fn condition(object: &Value, kind: &str) -> Option<Condition> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let word = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    Some(Condition {
        status: word("status"),
        reason: word("reason"),
        message: word("message"),
        generation: found["observedGeneration"].as_i64().unwrap_or_default(),
    })
}

/// The same of an object that has it.
///
/// # Panics
/// If it does not.
pub fn condition_of(object: &Value, kind: &str) -> Condition {
    condition(object, kind).unwrap_or_else(|| panic!("no condition {kind}: {}", object["status"]))
}

/// The kinds of children.
const CHILDREN: [&str; 7] = [
    "ServiceAccount",
    "ConfigMap",
    "Service",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Deployment",
];

impl Scene {
    /// Waits until a condition of the present generation has this status and reason; an empty reason is any.
    pub async fn until(&self, proxy: &Proxy, kind: &str, status: &str, reason: &str) -> Value {
        let last = Mutex::new(Value::Null);
        let found = try_until(LIMIT, || async {
            let object = self.api.get(&of(&proxy.0)).await;
            *last.lock() = object["status"]["conditions"].clone();
            let found = condition(&object, kind)?;
            let current = Some(found.generation) == object["metadata"]["generation"].as_i64();
            (current && found.status == status && (reason.is_empty() || found.reason == reason)).then_some(object)
        })
        .await;
        found.unwrap_or_else(|| {
            let name = &proxy.0["metadata"]["name"];
            panic!("waited in vain for {kind}={status} {reason} of {name}: {:#}", last.lock())
        })
    }

    /// Every child of a proxy by its labels, as `Kind/name`.
    pub async fn children(&self, proxy: &Proxy) -> Vec<Value> {
        let metadata = &proxy.0["metadata"];
        let namespace = metadata["namespace"].as_str().expect("a namespace");
        let selector = format!(
            "app.kubernetes.io/name=packageproxy,app.kubernetes.io/instance={}",
            metadata["name"].as_str().expect("a name")
        );
        let mut children = Vec::new();
        for kind in CHILDREN {
            for mut child in self.api.list(&at(kind, namespace, ""), &selector).await {
                child["kind"] = kind.into();
                children.push(child);
            }
        }
        children
    }

    /// Waits until a proxy is ready, and checks that it is whole, with nothing twice and nothing left over.
    pub async fn converged(&self, proxy: &Proxy) -> Value {
        let object = self.whole(proxy).await;
        let name = object["metadata"]["name"].as_str().expect("a name");
        let namespace = object["metadata"]["namespace"].as_str().expect("a namespace");
        let selector = format!("app.kubernetes.io/instance={name}");
        let sets = self.api.list(&at("ReplicaSet", namespace, ""), &selector).await;
        assert!(sets.len() <= 1, "{} rollouts of {name}", sets.len());
        object
    }

    /// The same where its pods may have been rolled.
    pub async fn whole(&self, proxy: &Proxy) -> Value {
        let object = self.until(proxy, "Ready", "True", "").await;
        assert_eq!(object["status"]["observedGeneration"], object["metadata"]["generation"]);
        let name = object["metadata"]["name"].as_str().expect("a name");
        let children = self.children(proxy).await;
        let names: BTreeSet<String> = children.iter().map(label).collect();
        assert_eq!(names, expected(&object), "the children of {name}");
        for child in &children {
            let owners = child["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            if retained(&object) && child["kind"] == "PersistentVolumeClaim" {
                assert!(owners.is_empty(), "a retained claim has no owner: {child}");
                continue;
            }
            let uids: Vec<&Value> = owners.iter().map(|owner| &owner["uid"]).collect();
            assert_eq!(uids, [&object["metadata"]["uid"]], "one owner: {}", label(child));
        }
        object
    }
}

fn label(child: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", word(&child["kind"]), word(&child["metadata"]["name"]))
}

fn claim(object: &Value) -> Option<&Value> {
    object["spec"]["cache"]["storage"].get("persistentVolumeClaim")
}

fn retained(object: &Value) -> bool {
    claim(object).is_some_and(|claim| claim["retentionPolicy"] != "Delete")
}

fn expected(object: &Value) -> BTreeSet<String> {
    let name = object["metadata"]["name"].as_str().expect("a name");
    let mut kinds = vec!["ServiceAccount", "Service", "Deployment"];
    if object["spec"]["networkPolicy"] != "Disabled" {
        kinds.push("NetworkPolicy");
    }
    if object["spec"]["replicas"].as_i64() > Some(1) {
        kinds.push("PodDisruptionBudget");
    }
    if claim(object).is_some_and(|claim| claim.get("existingClaimName").is_none()) {
        kinds.push("PersistentVolumeClaim");
    }
    let mut names: BTreeSet<String> = kinds.iter().map(|kind| format!("{kind}/{name}")).collect();
    let disabled = object["spec"]["clientConfig"]["configMap"] == "Disabled";
    let maps: &[&str] = if disabled { &["manifest"] } else { &["manifest", "client", "client-env"] };
    names.extend(maps.iter().map(|suffix| format!("ConfigMap/{name}-{suffix}")));
    names
}
