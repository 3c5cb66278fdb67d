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
            holds(&object, kind, status, reason).then_some(object)
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

    /// Waits until a proxy is ready and whole, with nothing twice and nothing left over.
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
    ///
    /// A proxy may have been ready all along while the operator still puts a child back or takes one away.
    pub async fn whole(&self, proxy: &Proxy) -> Value {
        self.until(proxy, "Ready", "True", "").await;
        let last = Mutex::new(String::new());
        let found = try_until(LIMIT, || async {
            let object = self.api.get(&of(&proxy.0)).await;
            let flaw = flaw(&object, &self.children(proxy).await);
            *last.lock() = flaw.clone().unwrap_or_default();
            flaw.is_none().then_some(object)
        })
        .await;
        found.unwrap_or_else(|| panic!("{} never became whole: {}", label(&proxy.0), last.lock()))
    }
}

/// What keeps a proxy from being ready with exactly the children that its spec asks for, each of them its own.
fn flaw(object: &Value, children: &[Value]) -> Option<String> {
    if !holds(object, "Ready", "True", "") {
        return Some(format!("not ready: {}", object["status"]));
    }
    if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
        return Some(format!("not of this generation: {}", object["status"]));
    }
    let names: Vec<String> = children.iter().map(label).collect();
    let (found, expected) = (names.iter().cloned().collect::<BTreeSet<_>>(), expected(object));
    if found != expected || names.len() != expected.len() {
        return Some(format!("children {names:?} instead of {expected:?}"));
    }
    children.iter().find_map(|child| {
        let owners = child["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let uids: Vec<&Value> = owners.iter().map(|owner| &owner["uid"]).collect();
        if retained(object) && child["kind"] == "PersistentVolumeClaim" {
            return (!uids.is_empty()).then(|| format!("a retained claim has no owner: {child}"));
        }
        (uids != [&object["metadata"]["uid"]]).then(|| format!("owners {uids:?} of {}", label(child)))
    })
}

/// Whether a condition of the present generation has this status and reason; an empty reason is any.
fn holds(object: &Value, kind: &str, status: &str, reason: &str) -> bool {
    condition(object, kind).is_some_and(|found| {
        let current = Some(found.generation) == object["metadata"]["generation"].as_i64();
        current && found.status == status && (reason.is_empty() || found.reason == reason)
    })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ready() -> Value {
        json!({
            "kind": "PackageProxy", "spec": {"clientConfig": {"configMap": "Disabled"}},
            "metadata": {"name": "a", "uid": "1", "generation": 2},
            "status": {"observedGeneration": 2, "conditions": [
                {"type": "Ready", "status": "True", "reason": "Available", "observedGeneration": 2},
            ]},
        })
    }

    fn children() -> Vec<Value> {
        let names = ["ServiceAccount/a", "Service/a", "Deployment/a", "NetworkPolicy/a", "ConfigMap/a-manifest"];
        let parts = names.iter().filter_map(|name| name.split_once('/'));
        parts
            .map(|(kind, name)| json!({"kind": kind, "metadata": {"name": name, "ownerReferences": [{"uid": "1"}]}}))
            .collect()
    }

    #[test]
    fn what_is_missing_left_over_doubled_or_of_another_is_a_flaw() {
        assert_eq!(flaw(&ready(), &children()), None);
        assert!(flaw(&ready(), &children()[1..]).is_some(), "one is missing");
        let with = |child: Value| [children(), vec![child]].concat();
        let left = json!({"kind": "Service", "metadata": {"name": "b", "ownerReferences": [{"uid": "1"}]}});
        assert!(flaw(&ready(), &with(left)).is_some(), "one is left over");
        assert!(flaw(&ready(), &with(children()[0].clone())).is_some(), "one is there twice");
        for owners in [json!([]), json!([{"uid": "2"}]), json!([{"uid": "1"}, {"uid": "2"}])] {
            let mut children = children();
            children[3]["metadata"]["ownerReferences"] = owners.clone();
            assert!(flaw(&ready(), &children).is_some(), "owners {owners}");
        }
    }

    #[test]
    fn what_was_said_of_an_earlier_generation_is_a_flaw() {
        for pointer in ["/status/observedGeneration", "/status/conditions/0/observedGeneration"] {
            let mut object = ready();
            *object.pointer_mut(pointer).expect("a field") = json!(1);
            assert!(flaw(&object, &children()).is_some(), "{pointer}");
        }
    }
}
