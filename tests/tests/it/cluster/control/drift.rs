//! Hands other than the operator's: what they take is given back, what they add stays, what is theirs is not touched.

use std::time::Duration;

use serde_json::{Value, json};
use tests::cluster::{Row, Scene, at, condition_of, of, report};
use tests::wait::until_time;
use tokio::time::Instant;

/// A child that was changed is as before within this time, however busy the machine is: a watch has told of it, and not
/// the look at everything that comes after minutes.
const RESTORED: Duration = Duration::from_secs(30);

/// One edit of each kind of child, a field that the operator decides, and what it is restored to.
fn edits() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    vec![
        ("ServiceAccount", "npm", json!({"automountServiceAccountToken": true}), "/automountServiceAccountToken"),
        ("ConfigMap", "npm-manifest", json!({"data": {"manifest.json": "{}"}}), "/data/manifest.json"),
        ("ConfigMap", "npm-client", json!({"data": null}), "/data"),
        ("ConfigMap", "npm-client-env", json!({"data": null}), "/data"),
        ("Service", "npm", json!({"spec": {"selector": {"app.kubernetes.io/name": "other"}}}), "/spec/selector"),
        ("NetworkPolicy", "npm", json!({"spec": {"ingress": [{}]}}), "/spec/ingress"),
        ("PodDisruptionBudget", "npm", json!({"spec": {"maxUnavailable": 5}}), "/spec/maxUnavailable"),
        ("Deployment", "npm", json!({"spec": {"replicas": 7}}), "/spec/replicas"),
        (
            "Deployment",
            "npm",
            json!({"spec": {"template": {"spec": {"serviceAccountName": "x"}}}}),
            "/spec/template/spec/serviceAccountName",
        ),
        (
            "Service",
            "npm",
            json!({"metadata": {"labels": {"packageproxy.dev/ecosystem": "gem"}}}),
            "/metadata/labels/packageproxy.dev~1ecosystem",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn each_child_that_is_edited_is_restored_and_keeps_what_others_added() {
    let scene = Scene::new("edit").await;
    let _operator = scene.operator().await;
    // Two replicas, so that there is a PodDisruptionBudget; their pods never come without a node.
    let proxy = scene.proxy("npm").spec("/replicas", 2);
    scene.apply(&proxy).await;
    scene.until(&proxy, "ResourcesApplied", "True", "Applied").await;
    let mut slowest = Duration::ZERO;
    for (kind, name, edit, field) in edits() {
        let path = at(kind, scene.namespace(), name);
        let foreign = json!({"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}});
        let before = scene.api.patch(&path, &foreign).await;
        let edited = scene.api.patch(&path, &edit).await;
        let started = Instant::now();
        assert_ne!(edited.pointer(field), before.pointer(field), "{kind} {name}: the edit changes {field}");
        until_time(RESTORED, &format!("{field} of {kind} {name} to be restored"), || async {
            let now = scene.api.get(&path).await;
            (now.pointer(field) == before.pointer(field)).then_some(())
        })
        .await;
        slowest = slowest.max(started.elapsed());
        let now = scene.api.get(&path).await;
        assert_eq!(now["metadata"]["labels"]["team"], "a", "{kind} {name}: a label of others stays");
        assert_eq!(now["metadata"]["annotations"]["note"], "b", "{kind} {name}: an annotation of others stays");
        assert_eq!(now["metadata"]["uid"], before["metadata"]["uid"], "{kind} {name}: repaired, not replaced");
    }
    report("drift", &[Row::new("slowest repair of an edited child", format!("{:.2} s", slowest.as_secs_f64()))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn each_child_that_is_deleted_comes_back() {
    let scene = Scene::new("delete").await;
    let _operator = scene.operator().await;
    let proxy = scene.proxy("npm").spec("/replicas", 2);
    scene.apply(&proxy).await;
    scene.until(&proxy, "ResourcesApplied", "True", "Applied").await;
    let children = scene.children(&proxy).await;
    assert_eq!(children.len(), 8);
    let mut slowest = Duration::ZERO;
    for child in children {
        let path = of(&child);
        scene.api.delete(&path).await;
        let started = Instant::now();
        until_time(RESTORED, &format!("{path:?} to come back"), || async {
            let now = scene.api.find(&path).await?;
            (now["metadata"]["uid"] != child["metadata"]["uid"]).then_some(())
        })
        .await;
        slowest = slowest.max(started.elapsed());
    }
    report("drift", &[Row::new("slowest return of a deleted child", format!("{:.2} s", slowest.as_secs_f64()))]);
}

/// `kubectl rollout restart` writes an annotation into the pod template, which no repair may take away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_restart_by_kubectl_is_not_undone() {
    let scene = Scene::new("restart").await;
    let _operator = scene.operator().await;
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    scene.cluster().kubectl(&["-n", scene.namespace(), "rollout", "restart", "deployment/npm"]);
    // A change that makes the operator apply the Deployment once more.
    let proxy = proxy.spec("/pod/labels", json!({"tier": "cache"}));
    scene.apply(&proxy).await;
    let path = at("Deployment", scene.namespace(), "npm");
    until_time(RESTORED, "the label in the pod template", || async {
        let template = &scene.api.get(&path).await["spec"]["template"];
        (template["metadata"]["labels"]["tier"] == "cache").then_some(())
    })
    .await;
    let template = &scene.api.get(&path).await["spec"]["template"]["metadata"];
    assert!(template["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string(), "{template}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn objects_of_the_same_name_that_are_not_ours_are_left_alone() {
    let scene = Scene::new("foreign").await;
    let _operator = scene.operator().await;
    let metadata = |name: &str| json!({"name": name, "namespace": scene.namespace()});
    let port = json!([{"name": "x", "port": 5432, "protocol": "TCP"}]);
    let foreign = [
        ("a", json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata("a"), "spec": {"ports": port}})),
        ("b", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("b-manifest"), "data": {"k": "v"}})),
        ("c", json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("c")})),
    ];
    let mut befores = Vec::new();
    for (name, object) in &foreign {
        befores.push(scene.api.apply(object).await);
        scene.apply(&scene.proxy(name)).await;
    }
    for ((name, object), before) in foreign.iter().zip(befores) {
        let proxy = scene.proxy(name);
        let refused = scene.until(&proxy, "Accepted", "False", "NameConflict").await;
        let message = condition_of(&refused, "Accepted").message;
        let (kind, taken) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        assert!(message.contains(kind) && message.contains(taken), "{message}");
        assert_eq!(condition_of(&refused, "Ready").reason, "NameConflict");
        scene.quiet(Duration::from_millis(500)).await;
        assert_eq!(scene.api.get(&of(object)).await, before, "untouched");
        scene.api.delete(&of(object)).await;
    }
    for (name, _) in &foreign {
        scene.converged(&scene.proxy(name)).await;
    }
    // A child whose owner is taken off by hand is still known, and gets its owner back.
    let taken = at("Service", scene.namespace(), "a");
    let before = scene.api.get(&taken).await;
    scene.api.patch(&taken, &json!({"metadata": {"ownerReferences": null}})).await;
    until_time(RESTORED, "the owner to be back", || async {
        let owners = scene.api.get(&taken).await["metadata"]["ownerReferences"].clone();
        (owners == before["metadata"]["ownerReferences"]).then_some(())
    })
    .await;
}

/// The ConfigMap with the certificate authority of clients belongs to somebody else, and no watch sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn another_certificate_authority_reaches_clients_without_a_watch() {
    let scene = Scene::new("authority").await;
    let _operator = scene.operator().await;
    let authority = |text: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": text},
            "metadata": {"name": "authority", "namespace": scene.namespace()}})
    };
    let reference = json!({"secretRef": {"name": "tls"}, "caConfigMapRef": {"name": "authority", "key": "ca.crt"}});
    scene.api.apply(&authority("first")).await;
    let proxy = scene.proxy("npm").spec("/tls", reference);
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    let published =
        || async { scene.api.get(&at("ConfigMap", scene.namespace(), "npm-client")).await["data"]["ca.crt"].clone() };
    assert_eq!(published().await, "first");
    scene.api.apply(&authority("second")).await;
    // It is looked at once a minute, and everything once in ten.
    until_time(Duration::from_mins(2), "the other authority", || async {
        (published().await == "second").then_some(())
    })
    .await;
}

/// What a proxy no longer wants goes; what only looks like a child of it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn children_that_are_no_longer_wanted_go_and_no_others() {
    let scene = Scene::new("prune").await;
    let _operator = scene.operator().await;
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    let labels = scene.api.get(&at("ConfigMap", scene.namespace(), "npm-client")).await["metadata"]["labels"].clone();
    let similar = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"},
        "metadata": {"name": "npm-mine", "namespace": scene.namespace(), "labels": labels}});
    scene.api.apply(&similar).await;
    let less = proxy.clone().spec("/networkPolicy", "Disabled").spec("/clientConfig/configMap", "Disabled");
    scene.apply(&less).await;
    for (kind, name) in [("NetworkPolicy", "npm"), ("ConfigMap", "npm-client"), ("ConfigMap", "npm-client-env")] {
        let path = at(kind, scene.namespace(), name);
        until_time(RESTORED, &format!("{kind} {name} to go"), || async {
            scene.api.find(&path).await.is_none().then_some(())
        })
        .await;
    }
    scene.quiet(Duration::from_secs(1)).await;
    assert!(scene.api.find(&of(&similar)).await.is_some(), "an object with our labels but without us as owner");
    scene.api.delete(&of(&similar)).await;
    scene.converged(&less).await;
    scene.apply(&proxy.spec("/networkPolicy", "Strict").spec("/clientConfig/configMap", "Enabled")).await;
    scene.converged(&less).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_suspended_proxy_keeps_everything_and_gets_nothing() {
    let scene = Scene::new("suspend").await;
    let _operator = scene.operator().await;
    let proxy = scene.proxy("npm");
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    let suspended = proxy.clone().spec("/suspend", true).spec("/service/annotations", json!({"a": "b"}));
    scene.apply(&suspended).await;
    let object = scene.until(&suspended, "ResourcesApplied", "Unknown", "Suspended").await;
    assert_eq!(condition_of(&object, "Ready").status, "True", "Ready keeps its value");
    scene.api.patch(&at("Deployment", scene.namespace(), "npm"), &json!({"spec": {"replicas": 3}})).await;
    scene.quiet(Duration::from_secs(2)).await;
    assert_eq!(scene.api.get(&at("Deployment", scene.namespace(), "npm")).await["spec"]["replicas"], 3);
    assert_eq!(
        scene.api.get(&at("Service", scene.namespace(), "npm")).await["metadata"]["annotations"]["a"],
        Value::Null
    );
    let resumed = suspended.spec("/suspend", false);
    scene.apply(&resumed).await;
    scene.converged(&resumed).await;
    assert_eq!(scene.api.get(&at("Deployment", scene.namespace(), "npm")).await["spec"]["replicas"], 0);
    assert_eq!(scene.api.get(&at("Service", scene.namespace(), "npm")).await["metadata"]["annotations"]["a"], "b");
}
