//! An upstream in trouble: what is answered instead, what is repeated, and that no trouble is kept.

use tests::fixture::{LARGE, SMALL};
use tests::wait::until;
use tests::{Protocol, Reply, Resource};

use super::Case;

/// Ways to fail before a body: a name, the reply, and the status that a client gets where nothing is cached.
fn ways_to_fail() -> Vec<(&'static str, Reply, u16)> {
    vec![
        ("500", Reply::new(500).text("internal canary"), 502),
        ("502", Reply::new(502), 502),
        ("503", Reply::new(503), 502),
        ("504", Reply::new(504), 502),
        ("reset", Reply::new(200).reset_head(), 502),
        ("stall", Reply::new(200).stall_head(), 504),
    ]
}

fn hurried(manifest: tests::Manifest) -> tests::Manifest {
    manifest.with("upstream.readTimeout", "2s").with("upstream.retry.attempts", 0)
}

pub(super) async fn upstream_fails_and_nothing_is_cached(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, hurried).await;
    for (way, reply, status) in ways_to_fail() {
        case.upstream.set(&case.fixture.upstream_artifact(LARGE), reply.clone());
        let answer = case.artifact(LARGE).await;
        assert_eq!(answer.status, status, "{way}");
        assert!(!answer.text().contains("canary"), "an upstream's error page was passed on");
        assert!(answer.header("cache-control") != "immutable" && answer.header("etag").is_empty(), "{way}");
    }
    case.fixture.install(&case.upstream);
    case.assert_true_bytes(&case.artifact(LARGE).await, LARGE);

    let (path, upstream_path) = case.absent("other-lab");
    for (way, reply, status) in ways_to_fail() {
        case.upstream.set(&upstream_path, reply);
        assert_eq!(case.rig.get(&path).await.status, status, "{way}");
    }
    case.upstream.unset(&upstream_path);
    case.rig.get(&path).await.expect_status(404);
}

pub(super) async fn upstream_fails_and_stale_is_served(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, |manifest| hurried(manifest).always_revalidating()).await;
    let good = case.settled_metadata().await;
    case.artifact(SMALL).await.expect_status(200);
    case.rig.until_hit(&case.fixture.artifact(SMALL)).await;
    for (way, reply, _) in ways_to_fail() {
        case.upstream.fail_with(reply);
        let stale = case.metadata().await.expect_status(200);
        assert!(stale.bytes() == good.bytes(), "{way}");
        let status = stale.cache_status();
        assert!(status.contains("fwd=stale") && status.contains("detail=stale-if-error"), "{way}: {status}");
        case.assert_true_bytes(&case.artifact(SMALL).await, SMALL);
    }
    // Gone altogether, and back again.
    case.upstream.stop().await;
    assert!(case.metadata().await.expect_status(200).cache_status().contains("stale-if-error"));
    case.upstream.resume().await;
    case.upstream.recover();
    until("a revalidation", || async { case.metadata().await.cache_status().contains("fwd-status=304").then_some(()) })
        .await;
}

pub(super) async fn a_failure_is_retried(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, |manifest| manifest.with("upstream.retry.attempts", 2)).await;
    let path = case.fixture.upstream_artifact(LARGE);
    case.upstream.then(&path, Reply::new(503)).then(&path, Reply::new(200).reset_head());
    case.assert_true_bytes(&case.artifact(LARGE).await, LARGE);
    assert_eq!(case.asked_for(LARGE), 3);
}

pub(super) async fn too_many_requests_pause(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, tests::Manifest::always_revalidating).await;
    let good = case.settled_metadata().await;
    case.upstream.fail_with(Reply::new(429).header("Retry-After", "120"));
    until("stale service", || async { case.metadata().await.cache_status().contains("stale-if-error").then_some(()) })
        .await;
    let asked = case.upstream.total();
    let refused = case.artifact(LARGE).await.expect_status(503);
    let seconds: u64 = refused.header("retry-after").parse().expect("Retry-After in seconds");
    assert!((1..=120).contains(&seconds), "{seconds}");
    assert!(case.metadata().await.expect_status(200).bytes() == good.bytes());
    assert_eq!(case.upstream.total(), asked, "nobody asks during the pause");
}

pub(super) async fn the_breaker_opens_and_recovers(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, |manifest| {
        hurried(manifest)
            .with("upstream.breaker.failures", 5)
            .with("upstream.breaker.openDuration", "5s")
            .with("upstream.breaker.maxOpenDuration", "5s")
    })
    .await;
    case.upstream.fail_with(Reply::new(500));
    let (mut tries, mut last) = (0, case.artifact(SMALL).await);
    // Failures of one key count once, so each try is of another.
    while last.status == 502 {
        tries += 1;
        assert!(tries < 20, "the breaker never opens");
        last = case.rig.get(&case.absent(&format!("other-{tries}")).0).await;
    }
    let asked = case.upstream.total();
    assert!((5..=8).contains(&asked), "opened after {asked} failures");
    assert!(!last.clone().expect_status(503).header("retry-after").is_empty());
    case.rig.get(&case.absent("one-more").0).await.expect_status(503);
    assert_eq!(case.upstream.total(), asked, "an open breaker asks nobody");
    case.upstream.recover();
    until("recovery", || async { (case.artifact(SMALL).await.status == 200).then_some(()) }).await;
}

pub(super) async fn unexpected_content(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, hurried).await;
    let portal = "<!DOCTYPE html><html><body>Please sign in</body></html>";
    let replies = [
        ("portal", Reply::ok(portal).header("Content-Type", "text/html")),
        ("mislabelled portal", Reply::ok(portal).header("Content-Type", "application/json")),
        ("error with status 200", Reply::ok("{\"error\":\"x\"}").header("Content-Type", "application/json")),
        ("nothing", Reply::ok("").header("Content-Type", "application/json")),
    ];
    for (kind, reply) in replies {
        case.upstream.set(&case.fixture.upstream_artifact(LARGE), reply.clone());
        assert!(!case.arrives_whole(LARGE).await, "{kind} taken for a file");
        // A page without anchors is a legal, empty project page, and a module may have no versions.
        if !matches!((protocol.name(), kind), ("pypi", "portal") | ("go", "nothing")) {
            let (path, upstream_path) = case.absent("odd-lab");
            case.upstream.set(&upstream_path, reply);
            assert_eq!(case.rig.get(&path).await.status, 502, "{kind} taken for a document");
        }
    }
    case.fixture.install(&case.upstream);
    let path = case.fixture.artifact(LARGE);
    let answer = until("the true file", || async {
        let answer = case.rig.get(&path).await;
        answer.is_complete_success().then_some(answer)
    })
    .await;
    case.assert_true_bytes(&answer, LARGE);
}

pub(super) async fn unexpected_statuses(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, hurried).await;
    let bytes = case.fixture.bytes(LARGE).clone();
    let partial =
        Reply::new(206).header("Content-Range", &format!("bytes 0-99/{}", bytes.len())).bytes(bytes.slice(..100));
    for reply in [Reply::new(204), partial, Reply::new(304), Reply::new(203).bytes("x")] {
        let status = format!("{reply:?}");
        case.upstream.set(&case.fixture.upstream_artifact(LARGE), reply.clone());
        assert!(!case.arrives_whole(LARGE).await, "{status}");
        let (path, upstream_path) = case.absent("odd-lab");
        case.upstream.set(&upstream_path, reply);
        assert!(!case.rig.get(&path).await.is_complete_success(), "{status}");
    }
    case.upstream.set(&case.fixture.upstream_artifact(LARGE), Resource::file(bytes));
    let path = case.fixture.artifact(LARGE);
    until("the true file", || async { case.rig.get(&path).await.is_complete_success().then_some(()) }).await;
    case.assert_true_bytes(&case.artifact(LARGE).await, LARGE);
}

pub(super) async fn forbidden_passes_uncached(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let (path, upstream_path) = case.absent("private-lab");
    for status in [401, 403] {
        case.upstream.set(&upstream_path, Reply::new(status).text("no"));
        for _ in 0..2 {
            case.rig.get(&path).await.expect_status(status);
        }
    }
    assert_eq!(case.upstream.count(&upstream_path), 4, "neither cached nor retried");
    // The breaker stays out of it.
    case.metadata().await.expect_status(200);
}
