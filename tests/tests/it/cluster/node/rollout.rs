//! Changes of a running proxy: what is taken over while it runs rolls nothing, what rolls drops no request.

use serde_json::json;
use tests::cluster::{Loop, PodState, Proxy, Row, Scene, report};
use tests::fixture::{LARGE, SMALL};
use tests::wait::until;

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
