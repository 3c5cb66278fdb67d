//! What becomes of the children when a proxy or its namespace is deleted.

use std::time::Duration;

use serde_json::json;
use tests::cluster::{Proxy, Scene, at, condition, condition_of, of};
use tests::wait::{until, until_time};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_deleted_proxy_takes_its_children_with_it() {
    let scene = Scene::new("gone").await;
    let _operator = scene.operator().await;
    let claim = json!({"size": "1Gi", "storageClassName": "none", "retentionPolicy": "Delete"});
    let proxy = scene.proxy("npm").claim(&claim);
    scene.apply(&proxy).await;
    scene.until(&proxy, "ResourcesApplied", "True", "").await;
    assert!(scene.children(&proxy).await.len() >= 8);
    let finalizers = &scene.api.get(&of(&proxy.0)).await["metadata"]["finalizers"];
    assert!(finalizers.is_null(), "no finalizer: {finalizers}");
    scene.api.delete(&of(&proxy.0)).await;
    until("the children to go", || async { scene.children(&proxy).await.is_empty().then_some(()) }).await;
}

/// A retained claim outlives its proxy, and the next proxy of that name takes it as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_retained_claim_stays_and_is_adopted_again() {
    let scene = Scene::new("retain").await;
    let _operator = scene.operator().await;
    // A volume of that class, which the controller of volumes binds without a node.
    let class = format!("{}-class", scene.namespace());
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": class}, "spec": {
        "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/var/empty"}}});
    scene.lend(&volume).await;
    let proxy = scene.proxy("npm").claim(&json!({"size": "1Gi", "storageClassName": class}));
    scene.apply(&proxy).await;
    scene.converged(&proxy).await;
    let path = at("PersistentVolumeClaim", scene.namespace(), "npm");
    let claim = scene.api.get(&path).await;
    scene.api.delete(&of(&proxy.0)).await;
    until("the other children to go", || async { (scene.children(&proxy).await.len() == 1).then_some(()) }).await;
    assert_eq!(scene.api.get(&path).await["metadata"]["uid"], claim["metadata"]["uid"]);

    // A smaller size is not asked of a claim that is there.
    let again = scene.proxy("npm").claim(&json!({"size": "512Mi", "storageClassName": class}));
    scene.apply(&again).await;
    let object = scene.until(&again, "StorageReady", "True", "").await;
    assert_eq!(condition_of(&object, "Accepted").status, "True");
    let adopted = scene.api.get(&path).await;
    assert_eq!(adopted["metadata"]["uid"], claim["metadata"]["uid"]);
    assert_eq!(adopted["spec"]["resources"]["requests"]["storage"], "1Gi");
    scene.converged(&again).await;
    scene.api.delete(&of(&again.0)).await;
    scene.api.delete(&path).await;
}

/// A claim that the operator made, and that the manifest then names as one that exists, is not the proxy's any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_claim_that_is_named_as_an_existing_one_is_let_go_of() {
    let scene = Scene::new("letgo").await;
    let _operator = scene.operator().await;
    let own = json!({"size": "1Gi", "storageClassName": "none", "retentionPolicy": "Delete"});
    let proxy = scene.proxy("npm").claim(&own);
    scene.apply(&proxy).await;
    scene.until(&proxy, "ResourcesApplied", "True", "").await;
    let path = at("PersistentVolumeClaim", scene.namespace(), "npm");
    let before = scene.api.get(&path).await;
    assert_eq!(before["metadata"]["ownerReferences"].as_array().map(Vec::len), Some(1));
    scene.apply(&scene.proxy("npm").claim(&json!({"existingClaimName": "npm"}))).await;
    until("the claim to be let go of", || async {
        scene.api.get(&path).await["metadata"]["ownerReferences"].is_null().then_some(())
    })
    .await;
    scene.api.delete(&of(&proxy.0)).await;
    until("the other children to go", || async { (scene.children(&proxy).await.len() == 1).then_some(()) }).await;
    scene.quiet(Duration::from_secs(1)).await;
    assert_eq!(scene.api.get(&path).await["metadata"]["uid"], before["metadata"]["uid"]);
}

/// The operator is at work in a namespace while that goes: nothing hangs, and refusals are no reason to insist.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_namespace_that_is_deleted_goes() {
    let scene = Scene::plan("nsgone").namespaces(2).start().await;
    let _operator = scene.operator().await;
    let doomed = &scene.namespaces()[1];
    for number in 0..10 {
        scene.apply(&Proxy::new(doomed, &format!("p{number}"))).await;
    }
    until("the work to begin", || async { (scene.relay.writes().len() > 20).then_some(()) }).await;
    scene.api.delete(&at("Namespace", "", doomed)).await;
    until("the namespace to go", || async {
        scene.api.find(&at("Namespace", "", doomed)).await.is_none().then_some(())
    })
    .await;
    // Of what was under way, each of the seven children of each proxy may be tried twice, and then no more.
    scene.quiet(Duration::from_secs(3)).await;
    let refused = scene.relay.writes().iter().filter(|call| matches!(call.status, Some(403 | 404))).count();
    assert!(refused <= 10 * 7 * 2, "{refused} writes into a namespace that goes");
    let other = scene.proxy("npm");
    scene.apply(&other).await;
    scene.converged(&other).await;
}

/// Deleted while its first reconcile is under way: nothing of it is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_proxy_deleted_while_it_is_created_leaves_nothing() {
    let scene = Scene::new("midway").await;
    let _operator = scene.operator().await;
    let proxies: Vec<_> = (0..10).map(|number| scene.proxy(&format!("p{number}"))).collect();
    for (number, proxy) in proxies.iter().enumerate() {
        scene.apply(proxy).await;
        let name = format!("p{number}");
        until("some of its writes", || async {
            (scene.relay.writes().iter().filter(|call| call.is_about(&name)).count() >= number).then_some(())
        })
        .await;
        scene.api.delete(&of(&proxy.0)).await;
    }
    scene.quiet(Duration::from_secs(1)).await;
    for proxy in &proxies {
        until("its children to go", || async { scene.children(proxy).await.is_empty().then_some(()) }).await;
    }
    scene.quiet(Duration::from_secs(1)).await;
    for proxy in &proxies {
        assert!(scene.children(proxy).await.is_empty(), "children without their proxy");
    }
}

/// The same name again while the children of the old one are being collected: the new one gets its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: tests/cluster/run"]
async fn a_proxy_created_again_at_once_gets_children_of_its_own() {
    let scene = Scene::new("again").await;
    let _operator = scene.operator().await;
    let proxy = scene.proxy("npm");
    for _ in 0..3 {
        let object = scene.apply(&proxy).await;
        until_time(Duration::from_mins(1), "a proxy with its own children", || async {
            let now = scene.api.get(&of(&proxy.0)).await;
            assert_eq!(now["metadata"]["uid"], object["metadata"]["uid"]);
            condition(&now, "Ready").filter(|ready| ready.status == "True")
        })
        .await;
        scene.quiet(Duration::from_millis(500)).await;
        scene.converged(&proxy).await;
        scene.api.delete(&of(&proxy.0)).await;
    }
}
