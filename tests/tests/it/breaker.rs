//! The breaker of the built program: what opens it, what it says, and what never opens it.

use serde_json::Value;
use tests::fixture::NPM;
use tests::wait::until;
use tests::{Ask, Fixture, Manifest, Reply, Rig, Upstream};

/// A proxy whose breaker opens after so many failures, for so long.
async fn start(failures: u32, seconds: u32) -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let manifest = Manifest::of(&NPM, &upstream)
        .always_revalidating()
        .with("cache.negativeTTL", "0s")
        .with("upstream.retry.attempts", 0)
        .with("upstream.breaker.failures", failures)
        .with("upstream.breaker.openDuration", format!("{seconds}s"))
        .with("upstream.breaker.maxOpenDuration", format!("{}s", 2 * seconds));
    (fixture, upstream, Rig::serve([manifest]).await)
}

async fn state(rig: &Rig) -> String {
    let status = rig.status().await;
    let proxy = status["proxies"].as_array().and_then(|proxies| proxies.first().cloned()).unwrap_or_default();
    proxy["upstream"]["state"].as_str().unwrap_or_default().to_lowercase()
}

async fn open(rig: &Rig) {
    for number in 0..10 {
        if rig.get(&format!("/npm/failing-{number}")).await.status == 503 {
            return;
        }
    }
    panic!("the breaker never opens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opens_after_five_failures_and_recovers_by_one_probe() {
    let (fixture, upstream, rig) = start(5, 5).await;
    assert_eq!(state(&rig).await, "closed");
    let stale = rig.get(&fixture.metadata()).await.expect_status(200);
    upstream.fail_with(Reply::new(500));
    open(&rig).await;
    assert_eq!(state(&rig).await, "open");
    let origin = format!("http://{}", upstream.address());
    let metrics = rig.metrics().await;
    assert!(metrics.has("packageproxy_breaker_state"), "{}", metrics.text());
    assert!(metrics.text().contains(&origin), "the metric names the origin");
    // Metadata is guarded as well: stale, without a request.
    let asked = upstream.total();
    let guarded = rig.get(&fixture.metadata()).await.expect_status(200);
    assert!(guarded.bytes() == stale.bytes() && guarded.cache_status().contains("fwd=stale"));
    let refused = rig.get("/npm/another").await.expect_status(503);
    let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!(seconds <= 11, "{seconds}");
    assert_eq!(upstream.total(), asked);
    upstream.recover();
    until("recovery", || async { (rig.get(&fixture.metadata()).await.cache_status().contains("304")).then_some(()) })
        .await;
    assert_eq!(state(&rig).await, "closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_probes_come_one_at_a_time() {
    let (_fixture, upstream, rig) = start(2, 1).await;
    upstream.fail_with(Reply::new(500));
    open(&rig).await;
    let asked = upstream.total();
    // Many clients for several open periods: each period lets one request through.
    let until_probes = async {
        until("two probes", || async {
            let batch = (0..10).map(|number| async move { format!("/npm/probe-{number}") });
            for path in futures_util::future::join_all(batch).await {
                let status = rig.get(&path).await.status;
                assert!(status == 502 || status == 503, "{status}");
            }
            (upstream.total() >= asked + 2).then_some(())
        })
        .await;
    };
    let before = tokio::time::Instant::now();
    until_probes.await;
    assert!(before.elapsed() >= std::time::Duration::from_millis(500), "probes without a pause between them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_mean_alive_never_open_it() {
    let (fixture, upstream, rig) = start(3, 1).await;
    for number in 0..20 {
        rig.get(&format!("/npm/absent-{number}")).await.expect_status(404);
    }
    for number in 0..10 {
        let path = format!("{}forbidden-{number}", tests::fixture::BASE);
        upstream.set(&path, Reply::new(403));
        rig.get(&format!("/npm/forbidden-{number}")).await.expect_status(403);
    }
    assert_eq!(state(&rig).await, "closed");
    rig.get(&fixture.metadata()).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_never_open_it() {
    let (fixture, upstream, rig) = start(3, 1).await;
    for number in 0..10 {
        let gate = tests::Gate::shut();
        let path = format!("{}slow-{number}", tests::fixture::BASE);
        upstream.set(&path, Reply::new(404).hold_head(&gate));
        let client = rig.client();
        let left = tokio::spawn(async move { client.open(Ask::get(&format!("/npm/slow-{number}"))).await.map(drop) });
        gate.reached(1).await;
        left.abort();
        let _ = left.await;
        gate.open();
    }
    assert_eq!(state(&rig).await, "closed");
    rig.get(&fixture.metadata()).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_key_and_calls_that_pass_through_do_not_count() {
    let (fixture, upstream, rig) = start(3, 1).await;
    upstream.set(&format!("{}bad", tests::fixture::BASE), Reply::new(500));
    let search = format!("{}-/v1/search", tests::fixture::BASE);
    upstream.set(&search, Reply::new(500));
    for _ in 0..6 {
        rig.get("/npm/bad").await.expect_status(502);
        let forwarded = rig.get("/npm/-/v1/search?text=x").await;
        assert!(forwarded.status.is_server_error());
    }
    assert_eq!(upstream.count(&search), 6);
    assert_eq!(state(&rig).await, "closed");
    rig.get(&fixture.metadata()).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_origin_has_its_own() {
    let (good, bad) = (Upstream::start().await, Upstream::start().await);
    let fixture = Fixture::new(&NPM);
    fixture.install(&good);
    bad.fail_with(Reply::new(500));
    let tune = |manifest: Manifest| {
        let manifest = manifest.with("upstream.retry.attempts", 0).with("upstream.breaker.failures", 2);
        manifest.with("upstream.breaker.openDuration", "60s").with("upstream.breaker.maxOpenDuration", "60s")
    };
    let manifest = |name: &str, upstream: &Upstream| Manifest::at(name, "npm", &upstream.url(tests::fixture::BASE));
    let rig = Rig::serve([tune(manifest("good", &good)), tune(manifest("bad", &bad))]).await;
    let mut last = 0;
    for number in 0..6 {
        last = rig.get(&format!("/bad/absent-{number}")).await.status.as_u16();
    }
    assert_eq!(last, 503);
    rig.get("/good/tiny-lab").await.expect_status(200);
    let status = rig.status().await;
    let named = |name: &str| -> Value {
        let proxies = status["proxies"].as_array().cloned().unwrap_or_default();
        proxies.into_iter().find(|proxy| proxy["name"] == name).unwrap_or_default()
    };
    assert_ne!(named("good")["upstream"]["state"], named("bad")["upstream"]["state"]);
}
