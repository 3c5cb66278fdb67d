//! Changes of a running proxy: what is taken over while it runs rolls nothing, what rolls drops no request.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tests::cluster::{Loop, PodState, Proxy, Row, Scene, TAGS, at, condition_of, report};
use tests::fixture::{LARGE, SMALL};
use tests::wait::{until, until_time};
use tests::{Ask, Client};
use tokio::time::Instant;

use super::Stage;

/// Applies a change under load and returns the pods afterwards.
async fn change(scene: &Scene, load: &Loop, proxy: &Proxy) -> Vec<PodState> {
    load.further(10).await;
    scene.apply(proxy).await;
    let pods = scene.serving(proxy).await;
    load.further(10).await;
    pods
}

async fn changes(stage: &Stage, mut proxy: Proxy, storage: &str) {
    let scene = &stage.scene;
    scene.apply(&proxy).await;
    let mut pods = scene.serving(&proxy).await;
    let paths = vec![stage.metadata(), stage.artifact(SMALL), stage.artifact(LARGE)];
    let load = Loop::start(scene.service("npm").await, paths);
    for (field, value) in
        [("/cache/metadataTTL", json!("7m")), ("/cache/negativeTTL", json!("9s")), ("/logLevel", json!("Debug"))]
    {
        proxy = proxy.spec(field, value);
        let after = change(scene, &load, &proxy).await;
        assert_eq!(after, pods, "{field} is taken over without a restart");
    }
    let mut rolls = vec![("/pod/resources/requests/cpu", json!("60m")), ("/pod/labels", json!({"tier": "cache"}))];
    if storage == "emptyDir" {
        rolls.push(("/replicas", json!(2)));
        rolls.push(("/replicas", json!(1)));
    }
    for (field, value) in rolls {
        proxy = proxy.spec(field, value);
        let after = change(scene, &load, &proxy).await;
        if field != "/replicas" {
            assert!(after.iter().all(|pod| !pods.contains(pod)), "{field} rolls");
        }
        pods = after;
    }
    let requests = load.end().await;
    report(
        "rollouts",
        &[Row::new(format!("requests over all changes with {storage}, none failed"), requests.to_string())],
    );
}

/// The class of a stage, which says this.
async fn class(scene: &Scene, spec: &Value) {
    scene
        .lend(&json!({"apiVersion": crds::API_VERSION, "kind": crds::CLASS_KIND,
            "metadata": {"name": scene.namespace()}, "spec": spec}))
        .await;
}

/// The seconds that each pod keeps documents, as it says itself.
async fn lifetimes(scene: &Scene) -> Vec<Value> {
    let mut found = Vec::new();
    for pod in scene.api.list(&at("Pod", scene.namespace(), ""), "app.kubernetes.io/instance=npm").await {
        let Some(address) = pod["status"]["podIP"].as_str().and_then(|address| address.parse().ok()) else { continue };
        let Ok(open) = Client::new(SocketAddr::new(address, 8081)).open(Ask::get("/status")).await else { continue };
        let status: Value = serde_json::from_slice(open.finish().await.bytes()).unwrap_or_default();
        found.push(status["proxies"][0]["cache"]["metadataTTLSeconds"].clone());
    }
    found
}

/// What administrators and owners change least often: class, image, storage.
async fn deep_changes(stage: &Stage, proxy: Proxy, storage: [Value; 2], name: &str) {
    let scene = &stage.scene;
    let image = format!("docker.io/local/packageproxy:{}", TAGS[1]);
    class(scene, &json!({"defaults": {"cache": {"metadataTTL": "4m"}}})).await;
    let mut proxy = proxy.spec("/className", scene.namespace());
    scene.apply(&proxy).await;
    let mut pods = scene.serving(&proxy).await;
    let paths = vec![stage.metadata(), stage.artifact(SMALL), stage.artifact(LARGE)];
    let load = Loop::start(scene.service("npm").await, paths);
    let begun = Instant::now();

    class(scene, &json!({"defaults": {"cache": {"metadataTTL": "6m"}}})).await;
    // Of the same generation, and on its way all the same.
    scene.until(&proxy, "ConfigurationLoaded", "Unknown", "Propagating").await;
    until("the pods to have what the class says", || async { (lifetimes(scene).await == [360]).then_some(()) }).await;
    assert_eq!(scene.serving(&proxy).await, pods, "a default of the class is taken over without a restart");

    let other = json!({"image": image, "imagePullPolicy": "Never", "defaults": {"cache": {"metadataTTL": "6m"}}});
    class(scene, &other).await;
    pods = replaced(scene, &pods, |pod| pod.image == image).await;
    load.further(10).await;
    scene.serving(&proxy).await;

    for storage in storage {
        proxy = proxy.spec("/cache/storage", storage);
        load.further(10).await;
        scene.apply(&proxy).await;
        pods = replaced(scene, &pods, |_| true).await;
        load.further(10).await;
        scene.until(&proxy, "Ready", "True", "").await;
    }
    let took = format!("{:.1} s", begun.elapsed().as_secs_f64());
    let requests = load.end().await;
    let what = format!("class, image and storage changed, beginning with {name}: requests, none failed");
    report("rollouts", &[Row::new(what, format!("{requests} in {took}"))]);
}

/// Waits until none of these pods is left and one serves in their place that is as it should be.
async fn replaced(scene: &Scene, old: &[PodState], good: impl Fn(&PodState) -> bool) -> Vec<PodState> {
    until_time(Duration::from_mins(2), "another pod in place of the old one", || async {
        let pods = scene.pods("npm").await;
        let new = pods.len() == 1 && pods.iter().all(|pod| pod.ready && good(pod));
        (new && !pods.iter().any(|pod| old.iter().any(|old| old.uid == pod.uid))).then_some(pods)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn class_image_and_storage_change_on_ephemeral_storage_without_a_dropped_request() {
    let stage = Stage::new("deep").await;
    let claim = json!({"size": "1Gi", "storageClassName": stage.volume().await});
    let storage = [
        json!({"type": "Ephemeral", "ephemeral": {"sizeLimit": "3Gi"}}),
        json!({"type": "PersistentVolumeClaim", "persistentVolumeClaim": claim}),
    ];
    deep_changes(&stage, stage.proxy(), storage, "emptyDir").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn class_image_and_storage_change_on_a_claim_without_a_dropped_request() {
    let stage = Stage::new("deepclaim").await;
    let claim = json!({"size": "1Gi", "storageClassName": stage.volume().await, "retentionPolicy": "Delete"});
    let storage = [
        json!({"type": "Ephemeral", "ephemeral": {"sizeLimit": "2Gi"}}),
        json!({"type": "Ephemeral", "ephemeral": {"sizeLimit": "3Gi"}}),
    ];
    deep_changes(&stage, stage.proxy().claim(&claim), storage, "a claim").await;
}

/// An image that no node can get: the condition names it, and what served goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn an_image_that_cannot_be_pulled_is_named_and_the_old_pods_serve() {
    const ABSENT: &str = "127.0.0.1:1/absent:1";
    let stage = Stage::new("badimage").await;
    let scene = &stage.scene;
    class(scene, &json!({"defaults": {"logLevel": "Info"}})).await;
    let proxy = stage.proxy().spec("/className", scene.namespace());
    scene.apply(&proxy).await;
    let pods = scene.serving(&proxy).await;
    let load = Loop::start(scene.service("npm").await, vec![stage.metadata(), stage.artifact(LARGE)]);
    class(scene, &json!({"image": ABSENT, "imagePullPolicy": "IfNotPresent"})).await;
    let object = scene.until(&proxy, "Available", "True", "ImagePullFailed").await;
    let message = condition_of(&object, "Available").message;
    assert!(message.contains(ABSENT) && message.contains("the other pods serve"), "{message}");
    scene.until(&proxy, "Ready", "False", "ImagePullFailed").await;
    // The kubelet goes from the first failure to waiting between tries.
    let waits = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff";
    until("the kubelet to wait between tries", || async {
        let pods = scene.api.list(&at("Pod", scene.namespace(), ""), "app.kubernetes.io/instance=npm").await;
        pods.iter().any(waits).then_some(())
    })
    .await;
    scene.until(&proxy, "Available", "True", "ImagePullFailed").await;
    load.further(50).await;
    let serving: Vec<_> = scene.pods("npm").await.into_iter().filter(|pod| pod.ready).collect();
    assert_eq!(serving, pods, "the old pod serves");
    // Of a new proxy there is none.
    let mut fresh = stage.proxy().spec("/className", scene.namespace());
    fresh.0["metadata"]["name"] = "fresh".into();
    scene.apply(&fresh).await;
    let object = scene.until(&fresh, "Available", "False", "ImagePullFailed").await;
    assert!(condition_of(&object, "Available").message.contains(ABSENT));
    assert!(
        condition_of(&scene.until(&fresh, "Ready", "False", "ImagePullFailed").await, "Ready").message.contains(ABSENT)
    );

    class(scene, &json!({"defaults": {"logLevel": "Info"}})).await;
    assert_eq!(scene.serving(&proxy).await, pods, "back to what it was");
    scene.serving(&fresh).await;
    let requests = load.end().await;
    report("rollouts", &[Row::new("requests over an image that cannot be pulled, none failed", requests.to_string())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn a_proxy_on_ephemeral_storage_changes_without_a_dropped_request() {
    let stage = Stage::new("roll").await;
    let proxy = stage.proxy();
    changes(&stage, proxy, "emptyDir").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn a_proxy_on_a_claim_changes_without_a_dropped_request() {
    let stage = Stage::new("rollclaim").await;
    let class = stage.volume().await;
    let proxy = stage.proxy().claim(&json!({"size": "1Gi", "storageClassName": class}));
    changes(&stage, proxy, "a claim").await;
}

/// A manifest that cannot work leaves the old pods in place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn a_rollout_that_cannot_succeed_leaves_the_old_pods_serving() {
    let stage = Stage::new("badroll").await;
    let scene = &stage.scene;
    let proxy = stage.proxy();
    scene.apply(&proxy).await;
    let pods = scene.serving(&proxy).await;
    let load = Loop::start(scene.service("npm").await, vec![stage.metadata()]);
    let bad = proxy.clone().spec("/pod/nodeSelector", json!({"no": "such-node"}));
    scene.apply(&bad).await;
    until("a pod that finds no node", || async { (scene.pods("npm").await.len() == 2).then_some(()) }).await;
    load.further(50).await;
    assert_eq!(
        scene.pods("npm").await.iter().filter(|pod| pod.ready).collect::<Vec<_>>(),
        pods.iter().collect::<Vec<_>>()
    );
    scene.until(&bad, "Available", "True", "").await;
    scene.apply(&proxy).await;
    until("the old state", || async { (scene.pods("npm").await == pods).then_some(()) }).await;
    load.end().await;
}
