//! The build cache of Gradle: a miss is an ordinary answer, and so is every trouble.

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tests::bytes_of::seeded;
use tests::fixture::BASE;
use tests::rig::Setup;
use tests::{Ask, Manifest, Reply, Resource, Rig, Upstream};

use crate::pins::lose;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn entry() -> Bytes {
    seeded(&[0x1f, 0x8b], 1, 200_000)
}

fn manifest(upstream: &Upstream) -> Manifest {
    let manifest = Manifest::at("gradle", "gradle", &upstream.url(BASE));
    manifest.with("upstream.retry.attempts", 0).with("upstream.readTimeout", "2s")
}

async fn before(upstream: &Upstream) -> Rig {
    Rig::serve([manifest(upstream)]).await
}

/// As Gradle asks.
fn get(key: &str) -> Ask {
    Ask::get(&format!("/gradle/{key}"))
        .header("Accept", "application/vnd.gradle.build-cache-artifact.v2, */*")
        .header("X-Gradle-Version", "9.0")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_upstream_everything_is_a_miss() {
    let manifest = Manifest::at("gradle", "gradle", "http://registry.example/").with("upstream", Value::Null);
    let rig = Rig::serve([manifest]).await;
    for ask in [get(KEY), Ask::head(&format!("/gradle/{KEY}")), get("not-a-key"), get("")] {
        rig.send(ask).await.expect_status(404);
    }
    let status = rig.status().await;
    assert_eq!(status["proxies"][0]["upstream"]["reason"], "Probed", "nothing is out of reach: {status}");
    rig.admin().get("/readyz").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_is_refused_with_the_way_out() {
    let upstream = Upstream::start().await;
    let rig = before(&upstream).await;
    let answer = rig.send(Ask::new(Method::PUT, &format!("/gradle/{KEY}")).body(entry())).await.expect_status(405);
    assert!(answer.text().contains("push = false"), "{}", answer.text());
    assert_eq!(upstream.total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_fetched_once_and_kept() {
    let upstream = Upstream::start().await;
    upstream.set(&format!("{BASE}{KEY}"), Resource::file(entry()));
    let mut rig = before(&upstream).await;
    let first = rig.send(get(KEY)).await.expect_status(200);
    assert!(first.bytes() == &entry());
    assert_eq!(first.header("content-type"), "application/vnd.gradle.build-cache-artifact.v2");
    rig.until_hit(&format!("/gradle/{KEY}")).await;
    // Another writer's outputs of the same inputs are no better.
    upstream.set(&format!("{BASE}{KEY}"), Resource::file("other"));
    rig.until_written().await;
    rig.restart().await;
    let kept = rig.send(get(KEY)).await.expect_status(200);
    assert!(kept.bytes() == &entry() && kept.is_hit(), "{}", kept.cache_status());
    assert_eq!(upstream.count(&format!("{BASE}{KEY}")), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_longer_held_may_come_as_another_writer_made_it() {
    for length in [3_000, 200_000] {
        let upstream = Upstream::start().await;
        let setup = Setup::default().manifest(manifest(&upstream)).argument("--blob-memory").argument("0");
        let (rig, path) = (setup.start().await, format!("/gradle/{KEY}"));
        for seed in 1..4 {
            let made = seeded(&[0x1f, 0x8b], seed, length);
            upstream.set(&format!("{BASE}{KEY}"), Resource::file(made.clone()));
            assert!(rig.send(get(KEY)).await.expect_status(200).bytes() == &made, "{seed}: {length} bytes");
            assert!(rig.until_hit(&path).await.bytes() == &made, "{seed}: {length} bytes");
            rig.until_written().await;
            lose(&rig, &made);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_is_a_miss_and_not_remembered() {
    let upstream = Upstream::start().await;
    let rig = before(&upstream).await;
    let at = format!("{BASE}{KEY}");
    let page = Reply::ok("<html>login</html>").header("Content-Type", "text/html");
    let stalled = Reply::new(200).stall_head();
    for reply in [Reply::new(500), Reply::new(503), Reply::new(401), Reply::new(200).reset_head(), stalled, page] {
        let way = format!("{reply:?}");
        upstream.set(&at, reply);
        let answer = rig.send(get(KEY)).await;
        assert_eq!(answer.status, 404, "{way}");
        assert_eq!(answer.header("retry-after"), "", "{way}");
    }
    upstream.set(&at, Resource::file(entry()));
    assert!(rig.send(get(KEY)).await.expect_status(200).bytes() == &entry());
    upstream.stop().await;
    rig.send(get(&"f".repeat(64))).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_is_remembered_shortly() {
    let upstream = Upstream::start().await;
    let rig = before(&upstream).await;
    for _ in 0..3 {
        rig.send(get(KEY)).await.expect_status(404);
    }
    assert_eq!(upstream.count(&format!("{BASE}{KEY}")), 1);
}
