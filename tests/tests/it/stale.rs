//! Old metadata: when it is served, while what happens, and when no longer.

use futures_util::future::join_all;
use tests::fixture::{LARGE, NPM, SMALL};
use tests::wait::until;
use tests::{Fixture, Gate, Manifest, Reply, Rig, Upstream};

async fn start(tune: impl FnOnce(Manifest) -> Manifest) -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Rig::serve([tune(Manifest::of(&NPM, &upstream).with("upstream.retry.attempts", 0))]).await;
    until("a stored document", || async {
        let answer = rig.get(&fixture.metadata()).await.expect_status(200);
        (answer.is_hit() || answer.cache_status().contains("fwd=stale")).then_some(())
    })
    .await;
    (fixture, upstream, rig)
}

/// An honest answer that waits before its head.
fn held(fixture: &Fixture, upstream: &Upstream, gate: &Gate) -> Reply {
    let document = fixture.document(upstream);
    document.head().bytes(document.body().clone()).hold_head(gate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_known_is_served_without_an_upstream() {
    let (fixture, upstream, rig) =
        start(|manifest| manifest.with("cache.metadataTTL", "1s").with("cache.staleWhileRevalidate", "0s")).await;
    for release in [SMALL, LARGE] {
        rig.get(&fixture.artifact(release)).await.expect_status(200);
        rig.until_hit(&fixture.artifact(release)).await;
    }
    upstream.stop().await;
    until("stale service", || async {
        let answer = rig.get(&fixture.metadata()).await.expect_status(200);
        answer.cache_status().contains("stale-if-error").then_some(())
    })
    .await;
    for release in [SMALL, LARGE] {
        let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
        assert!(answer.is_hit() && answer.bytes() == fixture.bytes(release));
    }
    rig.admin().get("/readyz").await.expect_status(200);
    let missing = rig.get("/npm/never-seen").await;
    assert!(missing.status == 502 || missing.status == 503, "{}", missing.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_metadata_is_served_while_it_is_revalidated() {
    let (fixture, upstream, rig) = start(|manifest| {
        let manifest = manifest.with("cache.metadataTTL", "1s").with("cache.staleWhileRevalidate", "5m");
        manifest.with("upstream.readTimeout", "60s")
    })
    .await;
    let gate = Gate::shut();
    upstream.set(&fixture.upstream_metadata(), held(&fixture, &upstream, &gate));
    // The revalidation hangs at the gate, and nobody waits for it.
    let stale = until("a stale hit", || async {
        let answer = rig.get(&fixture.metadata()).await.expect_status(200);
        answer.cache_status().contains("ttl=-").then_some(answer)
    })
    .await;
    assert!(stale.is_hit(), "{}", stale.cache_status());
    assert!(stale.header("cache-control").contains("max-age=0"), "{:?}", stale.headers);
    gate.reached(1).await;
    for _ in 0..5 {
        rig.get(&fixture.metadata()).await.expect_status(200);
    }
    assert_eq!(gate.arrived(), 1, "one revalidation at a time");
    gate.open();
    until("a fresh hit", || async {
        let answer = rig.get(&fixture.metadata()).await.expect_status(200);
        (answer.is_hit() && !answer.cache_status().contains("ttl=-")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zero_lifetime_never_serves_without_asking() {
    let (mut fixture, upstream, rig) = start(Manifest::always_revalidating).await;
    fixture.publish("2.0.0", 100);
    fixture.install(&upstream);
    let answer = rig.get(&fixture.metadata()).await.expect_status(200);
    assert_eq!(fixture.protocol.versions(answer.bytes()), ["1.0.0", "1.1.0", "2.0.0"]);
    assert!(answer.cache_status().contains("fwd=stale"), "{}", answer.cache_status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_revalidation_ends_in_stale() {
    let (fixture, upstream, rig) = start(|manifest| {
        manifest.always_revalidating().with("cache.revalidationWait", "300ms").with("upstream.readTimeout", "60s")
    })
    .await;
    let asked = upstream.count(&fixture.upstream_metadata());
    let gate = Gate::shut();
    upstream.set(&fixture.upstream_metadata(), held(&fixture, &upstream, &gate));
    let answers = join_all((0..20).map(|_| async { rig.get(&fixture.metadata()).await })).await;
    for answer in answers {
        assert!(answer.expect_status(200).cache_status().contains("stale"));
    }
    assert_eq!(upstream.count(&fixture.upstream_metadata()), asked + 1, "twenty clients, one revalidation");
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_service_ends() {
    let (fixture, upstream, rig) = start(|manifest| {
        manifest.always_revalidating().with("cache.staleIfError", "5s").with("cache.staleWhileRevalidate", "0s")
    })
    .await;
    upstream.fail_with(Reply::new(500));
    rig.get(&fixture.metadata()).await.expect_status(200);
    until("the end of stale service", || async { (rig.get(&fixture.metadata()).await.status == 502).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_package_goes_but_its_files_stay() {
    let (fixture, upstream, rig) = start(Manifest::always_revalidating).await;
    rig.get(&fixture.artifact(SMALL)).await.expect_status(200);
    rig.until_hit(&fixture.artifact(SMALL)).await;
    upstream.set(&fixture.upstream_metadata(), Reply::new(404));
    rig.get(&fixture.metadata()).await.expect_status(404);
    let asked = upstream.count(&fixture.upstream_metadata());
    rig.get(&fixture.metadata()).await.expect_status(404);
    assert_eq!(upstream.count(&fixture.upstream_metadata()), asked, "the absence is remembered");
    let file = rig.get(&fixture.artifact(SMALL)).await.expect_status(200);
    assert!(file.bytes() == fixture.bytes(SMALL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_refresh_leaves_the_good_document() {
    let (fixture, upstream, rig) = start(Manifest::always_revalidating).await;
    let good = rig.get(&fixture.metadata()).await.expect_status(200);
    let document = fixture.document(&upstream).etag("\"new\"");
    let half = document.body().len() / 2;
    let part = document.body().slice(..half);
    for (way, reply) in [
        ("cut", document.cut_after(half)),
        ("no last chunk", Reply::ok(part.clone()).header("Content-Type", "application/json").unfinished_chunks()),
        ("close-delimited", Reply::ok(part).header("Content-Type", "application/json").until_close()),
        ("portal", Reply::ok("<html>sign in</html>").header("Content-Type", "text/html")),
    ] {
        upstream.set(&fixture.upstream_metadata(), reply);
        let answer = rig.get(&fixture.metadata()).await.expect_status(200);
        assert!(answer.bytes() == good.bytes(), "{way}: {}", answer.cache_status());
    }
    fixture.install(&upstream);
    rig.get(&fixture.metadata()).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_304_for_another_tag_brings_the_new_document() {
    const DATE: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    let of_this_second = |fixture: &Fixture, etag: &str| {
        let document = fixture.document(&upstream).etag(etag).last_modified(DATE).comparing_dates_only();
        upstream.set(&fixture.upstream_metadata(), document);
    };
    of_this_second(&fixture, "\"first\"");
    let rig = Rig::serve([Manifest::of(&NPM, &upstream).always_revalidating()]).await;
    until("a confirmed document", || async {
        let answer = rig.get(&fixture.metadata()).await.expect_status(200);
        answer.cache_status().contains("fwd-status=304").then_some(())
    })
    .await;
    // Changed within the same second: the date is the old one, the tag is not.
    fixture.publish("2.0.0", 100);
    of_this_second(&fixture, "\"second\"");
    let answer = rig.get(&fixture.metadata()).await.expect_status(200);
    assert_eq!(fixture.protocol.versions(answer.bytes()), ["1.0.0", "1.1.0", "2.0.0"], "{}", answer.cache_status());
    // And it is what is confirmed from now on.
    let confirmed = until("a confirmed document", || async {
        let answer = rig.get(&fixture.metadata()).await.expect_status(200);
        answer.cache_status().contains("fwd-status=304").then_some(answer)
    })
    .await;
    assert!(confirmed.bytes() == answer.bytes());
    let requests = upstream.requests_of(&fixture.upstream_metadata());
    assert_eq!(requests.last().unwrap().header("if-none-match"), Some("\"second\""));
    // A cache on the way that is ahead of the document: its 304 speaks of a version that is not here.
    let odd = [("ETag", "W/\"third\""), ("Last-Modified", "Thu, 22 Oct 2015 07:28:00 GMT")];
    for (release, (name, value)) in ["3.0.0", "4.0.0"].into_iter().zip(odd) {
        fixture.publish(release, 100);
        of_this_second(&fixture, &format!("\"{release}\""));
        upstream.then(&fixture.upstream_metadata(), Reply::new(304).header(name, value));
        let answer = rig.get(&fixture.metadata()).await.expect_status(200);
        assert!(
            fixture.protocol.versions(answer.bytes()).contains(&release.to_owned()),
            "{name}: {}",
            answer.cache_status()
        );
    }
}
