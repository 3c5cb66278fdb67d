//! What outlives what: caches their proxies, proxies their operator.

use serde_json::json;
use tests::Client;
use tests::cluster::{Loop, Row, TAGS, at, of, report};
use tests::fixture::LARGE;
use tests::wait::until;
use tokio::time::Instant;

use super::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn a_retained_claim_is_adopted_again_with_its_warm_cache() {
    let stage = Stage::new("warm").await;
    let (scene, path) = (&stage.scene, stage.artifact(LARGE));
    let class = stage.volume().await;
    let proxy = stage.proxy().claim(&json!({"size": "1Gi", "storageClassName": class}));
    scene.apply(&proxy).await;
    scene.serving(&proxy).await;
    let client = Client::new(scene.service("npm").await);
    until("the file to be kept", || async { client.get(&path).await.expect_status(200).is_hit().then_some(()) }).await;
    scene.api.delete(&of(&proxy.0)).await;
    until("the pods to go", || async { scene.pods("npm").await.is_empty().then_some(()) }).await;
    until("the Service to go", || async {
        scene.api.find(&at("Service", scene.namespace(), "npm")).await.is_none().then_some(())
    })
    .await;
    stage.upstream.stop().await;
    scene.apply(&proxy).await;
    scene.serving(&proxy).await;
    let client = Client::new(scene.service("npm").await);
    let answer = client.get(&path).await.expect_status(200);
    assert!(answer.is_hit() && answer.bytes() == stage.fixture.bytes(LARGE), "{}", answer.cache_status());
}

/// A claim that is deleted while its pod uses it goes only with the pod; the condition says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn a_claim_deleted_in_use_is_reported_as_lost() {
    let stage = Stage::new("claimlost").await;
    let scene = &stage.scene;
    let class = stage.volume().await;
    let proxy = stage.proxy().claim(&json!({"size": "1Gi", "storageClassName": class}));
    scene.apply(&proxy).await;
    scene.serving(&proxy).await;
    scene.api.delete(&at("PersistentVolumeClaim", scene.namespace(), "npm")).await;
    scene.until(&proxy, "StorageReady", "False", "ClaimLost").await;
    let client = Client::new(scene.service("npm").await);
    client.get(&stage.metadata()).await.expect_status(200);
}

/// The chart goes and comes back: proxies serve throughout and are not restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn proxies_outlive_the_chart_and_are_adopted_again() {
    let stage = Stage::new("reinstall").await;
    let scene = &stage.scene;
    let proxy = stage.proxy();
    scene.apply(&proxy).await;
    let pods = scene.serving(&proxy).await;
    let load = Loop::start(scene.service("npm").await, vec![stage.metadata(), stage.artifact(LARGE)]);
    let system = scene.system();
    scene.cluster().helm(&["uninstall", scene.release(), "--namespace", &system, "--wait"]);
    load.further(30).await;
    assert_eq!(scene.pods("npm").await, pods);
    scene.install_again(TAGS[0]);
    let changed = proxy.spec("/cache/metadataTTL", "3m");
    scene.apply(&changed).await;
    assert_eq!(scene.serving(&changed).await, pods, "adopted without a restart");
    let requests = load.end().await;
    report("chart", &[Row::new("requests over uninstall and reinstall, none failed", requests.to_string())]);
}

/// Another image rolls one proxy after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a node: tests/cluster/run"]
async fn an_upgrade_of_the_chart_rolls_one_proxy_at_a_time() {
    let stage = Stage::new("upgrade").await;
    let scene = &stage.scene;
    let names = ["a", "b", "c"];
    let proxy = |name: &str| {
        let mut proxy = stage.proxy();
        proxy.0["metadata"]["name"] = name.into();
        proxy
    };
    for name in names {
        scene.apply(&proxy(name)).await;
    }
    for name in names {
        scene.serving(&proxy(name)).await;
    }
    let load = Loop::start(scene.service("a").await, vec![stage.metadata()]);
    let started = Instant::now();
    scene.install_again(TAGS[1]);
    let image = format!("docker.io/local/packageproxy:{}", TAGS[1]);
    until("every proxy to have the other image", || async {
        let mut rolled = 0;
        let mut rolling = 0;
        // All of one moment: between two looks one may end and the next begin.
        let all = scene.pods_by(scene.namespace(), "app.kubernetes.io/name=packageproxy").await;
        for name in names {
            let prefix = format!("{name}-");
            let pods: Vec<_> = all.iter().filter(|pod| pod.name.starts_with(&prefix)).collect();
            let new = pods.iter().filter(|pod| pod.image == image).count();
            rolled += usize::from(new == 1 && pods.len() == 1 && pods[0].ready);
            rolling += usize::from(new > 0 && (pods.len() > 1 || !pods[0].ready));
        }
        assert!(rolling <= 1, "{rolling} proxies roll at once");
        (rolled == names.len()).then_some(())
    })
    .await;
    for name in names {
        scene.serving(&proxy(name)).await;
    }
    let took = format!("{:.1} s", started.elapsed().as_secs_f64());
    let requests = load.end().await;
    let rows = [
        Row::new("3 proxies to another image, one at a time", took),
        Row::new("requests meanwhile, none failed", requests.to_string()),
    ];
    report("chart", &rows);
}
