//! Changed files are taken over without a client noticing; broken ones are refused.

use std::fs;

use tests::fixture::{BASE, LARGE, NPM, PYPI, SMALL};
use tests::rig::Setup;
use tests::wait::until;
use tests::{Ask, Fixture, Gate, Manifest, Resource, Rig, Upstream};

async fn start() -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Rig::serve([Manifest::of(&NPM, &upstream)]).await;
    (fixture, upstream, rig)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_come_change_and_go() {
    let (fixture, upstream, rig) = start().await;
    let python = Fixture::new(&PYPI);
    python.install(&upstream);
    rig.get(&python.metadata()).await.expect_status(404);
    rig.write_manifest(&Manifest::of(&PYPI, &upstream));
    until("the new proxy", || async { (rig.get(&python.metadata()).await.status == 200).then_some(()) }).await;

    let other = Upstream::start().await;
    let mut newer = Fixture::new(&NPM);
    newer.publish("2.0.0", 100);
    newer.install(&other);
    rig.get(&fixture.metadata()).await.expect_status(200);
    rig.write_manifest(&Manifest::of(&NPM, &other));
    // Another upstream is another key space: nothing of the old one is served.
    until("the new upstream", || async {
        let answer = rig.get(&fixture.metadata()).await.expect_status(200);
        (NPM.versions(answer.bytes()).len() == 3).then_some(())
    })
    .await;

    fs::remove_file(rig.manifests().join("pypi.yaml")).unwrap();
    until("the proxy to go", || async { (rig.get(&python.metadata()).await.status == 404).then_some(()) }).await;
    rig.get(&fixture.metadata()).await.expect_status(200);
}

use tests::Protocol as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_download_outlives_a_reload() {
    let (fixture, upstream, rig) = start().await;
    let gate = Gate::shut();
    let resource = Resource::file(fixture.bytes(LARGE).clone());
    let body = resource.body();
    let reply = resource.head().bytes(body.slice(..300_000)).hold(&gate).bytes(body.slice(300_000..));
    upstream.then(&fixture.upstream_artifact(LARGE), reply);
    let mut download = rig.client().open(Ask::get(&fixture.artifact(LARGE))).await.unwrap();
    assert!(download.read(100_000).await);
    let other = Upstream::start().await;
    fixture.install(&other);
    rig.write_manifest(&Manifest::of(&NPM, &other));
    until("the new upstream", || async {
        rig.get(&fixture.metadata()).await.expect_status(200);
        (other.total() > 0).then_some(())
    })
    .await;
    gate.open();
    assert!(download.equals(fixture.bytes(LARGE)).await, "a reload dropped a connection");
}

async fn reloads(rig: &Rig) -> u64 {
    rig.metrics().await.sum("packageproxy_reloads_total", &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_fill_is_shared_across_a_reload() {
    let (fixture, upstream, rig) = start().await;
    let gate = Gate::shut();
    let resource = Resource::file(fixture.bytes(LARGE).clone());
    let body = resource.body();
    let reply = resource.head().bytes(body.slice(..300_000)).hold(&gate).bytes(body.slice(300_000..));
    upstream.set(&fixture.upstream_artifact(LARGE), reply);
    let document = fixture.document(&upstream);
    let held = document.head().bytes(document.body().clone()).hold_head(&gate);
    upstream.set(&fixture.upstream_metadata(), held);
    let patient = Manifest::of(&NPM, &upstream).with("upstream.idleTimeout", "60s").with("upstream.readTimeout", "60s");
    let mut before = reloads(&rig).await;
    let (mut downloads, mut documents) = (Vec::new(), Vec::new());
    for lifetime in ["10m", "20m", "30m"] {
        rig.write_manifest(&patient.clone().with("cache.metadataTTL", lifetime));
        until("the reload", || async { (reloads(&rig).await > before).then_some(()) }).await;
        before = reloads(&rig).await;
        let mut download = rig.client().open(Ask::get(&fixture.artifact(LARGE))).await.unwrap();
        assert!(download.read(200_000).await, "{} {:?}", download.status, download.headers);
        downloads.push(download);
        let (client, path) = (rig.client(), fixture.metadata());
        documents.push(tokio::spawn(async move { client.get(&path).await }));
        gate.reached(2).await;
    }
    // So many exchanges later the last request has arrived as well.
    for _ in 0..30 {
        rig.admin().get("/healthz").await.expect_status(200);
    }
    gate.open();
    for download in downloads {
        assert!(download.equals(fixture.bytes(LARGE)).await);
    }
    for document in documents {
        let answer = document.await.unwrap().expect_status(200);
        assert_eq!(NPM.versions(answer.bytes()), ["1.0.0", "1.1.0"]);
    }
    let asked = (upstream.count(&fixture.upstream_artifact(LARGE)), upstream.count(&fixture.upstream_metadata()));
    assert_eq!(asked, (1, 1), "a reload split a cold key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_change_is_refused_aloud() {
    let (fixture, upstream, rig) = start().await;
    let good = Manifest::of(&NPM, &upstream);
    let broken = [
        "apiVersion: [".to_owned(),
        good.clone().with("upstream.url", "not an address").to_string(),
        good.clone().with("upstream.urll", "http://registry.example/").to_string(),
        good.clone().with("ecosystem", "nothing").to_string(),
        good.clone().with("cache.metadataTTL", "soon").to_string(),
    ];
    for text in broken {
        let before = rig.logs().len();
        rig.write_raw_manifest("npm", &text);
        until("a refusal in the log", || async {
            let logs = rig.logs();
            logs[before..].iter().any(|line| line.contains("npm.yaml")).then_some(())
        })
        .await;
        rig.get(&fixture.metadata()).await.expect_status(200);
        until("the refusal on /status", || async { rig.status().await.to_string().contains("npm.yaml").then_some(()) })
            .await;
    }
    rig.admin().get("/readyz").await.expect_status(200);
    rig.write_manifest(&good.with("cache.metadataTTL", "0s"));
    until("the good change", || async {
        rig.get(&fixture.metadata()).await.cache_status().contains("fwd-status=304").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_fail_nobody() {
    let (fixture, upstream, rig) = start().await;
    rig.get(&fixture.artifact(SMALL)).await.expect_status(200);
    let good = Manifest::of(&NPM, &upstream);
    let before = reloads(&rig).await;
    let rounds = std::sync::atomic::AtomicUsize::new(0);
    // Counted, for without reloads there would be nothing to survive.
    until("five reloads under load", || async {
        let round = rounds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        rig.write_manifest(&good.clone().with("cache.metadataTTL", format!("{}s", round + 1)));
        let asks = (0..25).map(|_| Ask::get(&fixture.artifact(SMALL))).collect();
        for answer in rig.client().keep_alive(asks).await {
            let answer = answer.expect("no connection is dropped");
            assert!(answer.status == 200 && answer.bytes() == fixture.bytes(SMALL));
        }
        (reloads(&rig).await >= before + 5).then_some(())
    })
    .await;
    assert_eq!(upstream.count(&fixture.upstream_artifact(SMALL)), 1, "a reload forgot what is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_secret_is_used() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let manifest = Manifest::of(&NPM, &upstream).always_revalidating().bearer("account");
    let rig = Setup::default().manifest(manifest).secret("account", "token", "first").start().await;
    rig.get(&fixture.metadata()).await.expect_status(200);
    let last = || upstream.requests_of(&format!("{BASE}tiny-lab")).pop().unwrap();
    assert_eq!(last().header("authorization"), Some("Bearer first"));
    rig.write_secret("account", "token", "second");
    until("the new token", || async {
        rig.get(&fixture.metadata()).await.expect_status(200);
        (last().header("authorization") == Some("Bearer second")).then_some(())
    })
    .await;
}
