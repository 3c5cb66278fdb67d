//! What the objects of a proxy must be, whatever the code looks like.

mod children;
mod pods;
mod restricted;

use serde_json::{Value, json};

use super::testing::{document, plan, plan_in, site};
use super::*;
use crate::controller::resolve;

/// The object of a kind and name.
fn object(children: &[Child], kind: ChildKind, name: &str) -> Value {
    let found = children.iter().find(|child| child.kind == kind && child.name == name);
    found.map_or(Value::Null, |child| child.object.clone())
}

fn deployment(spec: Value) -> Value {
    object(&build(&plan(spec)), ChildKind::Deployment, "left")
}

/// Specs that between them use every field that concerns a child.
fn specs() -> Vec<Value> {
    let claim =
        |claim: Value| json!({"cache": {"storage": {"type": "PersistentVolumeClaim", "persistentVolumeClaim": claim}}});
    vec![
        json!({}),
        json!({"replicas": 3, "networkPolicy": "Strict", "consumers": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}),
        json!({"replicas": 0, "networkPolicy": "Disabled", "clientConfig": {"configMap": "Disabled"}}),
        claim(json!({"size": "20Gi", "storageClassName": "fast", "retentionPolicy": "Delete"})),
        claim(json!({"size": "20Gi", "accessMode": "ReadWriteOncePod"})),
        claim(json!({"existingClaimName": "warm"})),
        json!({"tls": {"secretRef": {"name": "certificate"}}, "pod": {"serviceAccountName": "someone"}}),
        json!({"upstream": {"auth": {"type": "Bearer", "secretRef": {"name": "account"}},
            "trust": {"configMapRef": {"name": "roots", "key": "ca.pem"}}}}),
    ]
}

#[test]
fn kinds_come_in_the_order_of_application_and_every_object_is_whole() {
    for spec in specs() {
        let plan = plan(spec.clone());
        let children = build(&plan);
        let order: Vec<_> = children.iter().map(|child| child.kind).collect();
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(order.last(), Some(&ChildKind::Deployment));
        for child in &children {
            let object = &child.object;
            assert_eq!(object["kind"], child.kind.kind());
            assert_eq!(object["apiVersion"], child.kind.resource().api_version);
            assert_eq!(object["metadata"]["name"], child.name.as_str());
            assert_eq!(object["metadata"]["namespace"], "team-a");
            let labels = &object["metadata"]["labels"];
            for (key, value) in [
                ("app.kubernetes.io/name", "packageproxy"),
                ("app.kubernetes.io/instance", "left"),
                ("app.kubernetes.io/managed-by", "packageproxy-operator"),
                ("packageproxy.dev/owner", "team-a"),
                ("packageproxy.dev/ecosystem", "npm"),
            ] {
                assert_eq!(labels[key], value, "{} {spec}", child.name);
            }
            let component = if child.name.contains("-client") { "client-configuration" } else { "proxy" };
            assert_eq!(labels["app.kubernetes.io/component"], component);
        }
        assert_eq!(children, build(&plan.clone()), "not deterministic");
    }
}

#[test]
fn every_child_but_a_retained_claim_goes_with_its_owner() {
    let owner = json!([{"apiVersion": "packageproxy.dev/v1alpha1", "kind": "PackageProxy", "name": "left",
        "uid": "uid-1", "controller": true, "blockOwnerDeletion": true}]);
    for spec in specs() {
        for child in build(&plan(spec.clone())) {
            let retained = child.kind == ChildKind::PersistentVolumeClaim && !spec.to_string().contains("Delete");
            let expected = if retained { &Value::Null } else { &owner };
            assert_eq!(&child.object["metadata"]["ownerReferences"], expected, "{}", child.name);
            let annotation = &child.object["metadata"]["annotations"]["argocd.argoproj.io/sync-options"];
            assert_eq!(annotation == "Prune=false", retained);
        }
    }
}

#[test]
fn the_longest_names_fit() {
    let (name, owner) = ("n".repeat(40), "o".repeat(63));
    let mut manifest = document(json!({
        "owner": owner, "replicas": 2, "tls": {"secretRef": {"name": format!("{}.x", "s".repeat(251))}},
    }));
    manifest["metadata"]["name"] = json!(name);
    let class = serde_json::from_value(json!({"limits": {"owners": [{"owner": owner, "namespaces": ["team-a"]}]}}));
    let longest = resolve::plan(&manifest, &class.unwrap(), Some(&owner), &site()).unwrap();
    let is_label = |text: &str| {
        let plain = |letter: char| letter.is_ascii_alphanumeric();
        text.len() <= 63
            && text.starts_with(plain)
            && text.ends_with(plain)
            && text.chars().all(|letter| plain(letter) || "-_.".contains(letter))
    };
    for child in build(&longest) {
        assert!(is_label(&child.name) && !child.name.contains(['.', '_']), "{}", child.name);
        let pod = &child.object["spec"]["template"];
        for labels in [&child.object["metadata"]["labels"], &pod["metadata"]["labels"]] {
            for (key, value) in labels.as_object().into_iter().flatten() {
                assert!(is_label(value.as_str().unwrap()), "{key}={value}");
                assert!(key.split('/').all(|part| part.len() <= 63));
            }
        }
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            assert!(is_label(volume["name"].as_str().unwrap()), "{volume}");
        }
    }
}

#[test]
fn a_class_gives_image_and_pull_secrets() {
    let class = json!({"image": "registry.example/other:2", "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "class-pull"}, {"name": "site-pull"}]});
    let plan =
        plan_in(&serde_json::from_value(class).unwrap(), json!({"pod": {"imagePullSecrets": [{"name": "own"}]}}));
    let pod = &object(&build(&plan), ChildKind::Deployment, "left")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "registry.example/other:2");
    assert_eq!(pod["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "site-pull"}, {"name": "class-pull"}, {"name": "own"}]));
}
