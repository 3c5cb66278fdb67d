//! Hits and misses: who asks the upstream how often, and what HTTP promises about the answers.

use futures_util::future::join_all;
use tests::fixture::{LARGE, LARGE_LENGTH, SMALL};
use tests::{Ask, Gate, Protocol, Resource};

use super::Case;

pub(super) async fn cold_miss(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    for release in [SMALL, LARGE] {
        let answer = case.artifact(release).await;
        case.assert_true_bytes(&answer, release);
        assert!(answer.cache_status().starts_with("packageproxy;"), "{}", answer.cache_status());
        assert!(answer.cache_status().contains("fwd=uri-miss"), "{}", answer.cache_status());
        assert_eq!(case.asked_for(release), 1);
    }
    let document = case.metadata().await.expect_status(200);
    assert_eq!(protocol.versions(document.bytes()), ["1.0.0", "1.1.0"]);
    assert!(document.header("content-type").starts_with(protocol.metadata_type()), "{:?}", document.headers);
    assert!(case.asked_for_metadata() <= 1, "the document was fetched more than once");
}

pub(super) async fn warm_hit_asks_nobody(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    for path in [case.fixture.metadata(), case.fixture.artifact(SMALL), case.fixture.artifact(LARGE)] {
        let first = case.rig.get(&path).await.expect_status(200);
        let warm = case.rig.until_hit(&path).await;
        let asked = case.upstream.total();
        let again = case.rig.get(&path).await.expect_status(200);
        assert!(again.is_hit(), "{path}: {}", again.cache_status());
        assert!(again.bytes() == first.bytes(), "{path}");
        assert_eq!(again.header("etag"), warm.header("etag"));
        assert!(again.header("etag").starts_with('"'), "{path}: no strong validator");
        assert_eq!(case.upstream.total(), asked, "{path}: a hit asked the upstream");
    }
    assert_eq!((case.asked_for(SMALL), case.asked_for(LARGE), case.asked_for_metadata()), (1, 1, 1));
}

pub(super) async fn head(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    for path in [case.fixture.artifact(LARGE), case.fixture.metadata()] {
        let cold = case.rig.send(Ask::head(&path)).await.expect_status(200);
        assert!(cold.bytes().is_empty());
        case.rig.get(&path).await.expect_status(200);
        let get = case.rig.until_hit(&path).await;
        let head = case.rig.send(Ask::head(&path)).await.expect_status(200);
        assert!(head.bytes().is_empty());
        assert_eq!(head.header("content-length"), get.bytes().len().to_string(), "{path}");
        for name in ["etag", "content-type", "cache-control", "accept-ranges", "vary"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    assert!(case.asked_for(LARGE) <= 2, "at most a HEAD and a GET");
}

pub(super) async fn head_of_what_is_absent(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, |manifest| manifest.with("cache.negativeTTL", "1h")).await;
    case.metadata().await.expect_status(200);
    case.upstream.unset(&case.fixture.upstream_artifact(LARGE));
    let path = case.fixture.artifact(LARGE);
    case.rig.send(Ask::head(&path)).await.expect_status(404);
    let asked = case.upstream.total();
    for _ in 0..3 {
        case.rig.send(Ask::head(&path)).await.expect_status(404);
    }
    assert_eq!(case.upstream.total(), asked, "the absence is remembered");
    // Some registries know no HEAD: what they say to it is no answer to a GET.
    case.fixture.install(&case.upstream);
    case.assert_true_bytes(&case.artifact(LARGE).await, LARGE);
    case.rig.send(Ask::head(&path)).await.expect_status(200);
}

pub(super) async fn if_none_match(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    for path in [case.fixture.metadata(), case.fixture.artifact(LARGE)] {
        case.rig.get(&path).await.expect_status(200);
        let etag = case.rig.until_hit(&path).await.header("etag").to_owned();
        let asked = case.upstream.total();
        for condition in [etag.clone(), format!("\"other\", {etag}"), format!("W/{etag}"), "*".to_owned()] {
            let answer = case.get_with(&path, "If-None-Match", &condition).await.expect_status(304);
            assert_eq!(answer.header("etag"), etag, "{path} {condition}");
            assert!(answer.bytes().is_empty());
        }
        case.get_with(&path, "If-None-Match", "\"other\"").await.expect_status(200);
        assert_eq!(case.upstream.total(), asked, "{path}: a conditional hit asked the upstream");
    }
}

pub(super) async fn ranges(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let path = case.fixture.artifact(LARGE);
    case.artifact(LARGE).await.expect_status(200);
    let whole = case.rig.until_hit(&path).await;
    let bytes = whole.bytes();
    let last = LARGE_LENGTH - 1;
    for (range, first, end) in [
        ("bytes=10-19".to_owned(), 10, 20),
        (format!("bytes={}-", LARGE_LENGTH - 7), LARGE_LENGTH - 7, LARGE_LENGTH),
        ("bytes=-5".to_owned(), LARGE_LENGTH - 5, LARGE_LENGTH),
        (format!("bytes=0-{}", u64::MAX / 2), 0, LARGE_LENGTH),
    ] {
        let answer = case.get_with(&path, "Range", &range).await.expect_status(206);
        assert_eq!(answer.header("content-range"), format!("bytes {first}-{}/{LARGE_LENGTH}", end - 1), "{range}");
        assert!(answer.bytes() == &bytes.slice(first..end), "{range}");
    }
    let beyond = case.get_with(&path, "Range", &format!("bytes={LARGE_LENGTH}-")).await.expect_status(416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{LARGE_LENGTH}"));
    for ignored in ["bytes=9-1", "bytes=0-,0-,0-", "lines=1-2", "bytes=a-b", "bytes=5"] {
        let answer = case.get_with(&path, "Range", ignored).await;
        assert!(answer.status == 200 || answer.status == 416, "{ignored}: {}", answer.status);
        assert!(answer.status == 416 || answer.bytes() == bytes, "{ignored}");
    }
    // A suffix longer than the file is the whole file; nothing before the file may leak out.
    for suffix in ["bytes=-9223372036854775608", "bytes=-18446744073709551615"] {
        let answer = case.get_with(&path, "Range", suffix).await;
        assert!(answer.status == 416 || answer.bytes() == bytes, "{suffix}");
    }
    let etag = whole.header("etag");
    for (condition, status) in [(etag, 206), ("\"other\"", 200)] {
        let ask = Ask::get(&path).header("Range", &format!("bytes=1-{last}")).header("If-Range", condition);
        case.rig.send(ask).await.expect_status(status);
    }
    assert_eq!(case.asked_for(LARGE), 1);
}

pub(super) async fn range_on_a_cold_key(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let path = case.fixture.artifact(LARGE);
    let answer = case.get_with(&path, "Range", "bytes=100-199").await;
    match answer.status.as_u16() {
        206 => assert!(answer.bytes() == &case.fixture.bytes(LARGE).slice(100..200)),
        200 => case.assert_true_bytes(&answer, LARGE),
        status => panic!("{status}"),
    }
    for request in case.upstream.requests_of(&case.fixture.upstream_artifact(LARGE)) {
        assert_eq!(request.header("range"), None, "a fill is of the whole file");
    }
    case.assert_true_bytes(&case.artifact(LARGE).await, LARGE);
    assert_eq!(case.asked_for(LARGE), 1);
}

pub(super) async fn fifty_misses_of_a_file(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let gate = hold_large(&case, 400_000);
    let path = case.fixture.artifact(LARGE);
    let clients = join_all((0..50).map(|_| async {
        let mut open = case.rig.client().open(Ask::get(&path)).await.unwrap();
        // Streaming: this much arrives although the upstream holds the rest back.
        assert!(open.read(300_000).await, "{} {:?}", open.status, open.headers);
        open
    }))
    .await;
    gate.open();
    for answer in join_all(clients.into_iter().map(tests::client::Open::finish)).await {
        case.assert_true_bytes(&answer, LARGE);
    }
    assert_eq!(case.asked_for(LARGE), 1);
}

pub(super) async fn fifty_misses_of_a_document(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let gate = Gate::shut();
    let (path, resource) = (case.fixture.upstream_metadata(), case.fixture.document(&case.upstream));
    let reply = resource.head().bytes(resource.body().clone()).hold_head(&gate);
    case.upstream.set(&path, reply);
    let clients = async { join_all((0..50).map(|_| case.metadata())).await };
    let release = async {
        gate.reached(1).await;
        gate.open();
    };
    let (answers, ()) = tokio::join!(clients, release);
    for answer in &answers {
        assert!(answer.status == 200 && answer.bytes() == answers[0].bytes(), "{}", answer.status);
    }
    assert_eq!(protocol.versions(answers[0].bytes()), ["1.0.0", "1.1.0"]);
    assert_eq!(case.asked_for_metadata(), 1);
}

pub(super) async fn the_first_client_leaves(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let gate = hold_large(&case, 300_000);
    let path = case.fixture.artifact(LARGE);
    let mut first = case.rig.client().open(Ask::get(&path)).await.unwrap();
    assert!(first.read(1).await);
    let mut second = case.rig.client().open(Ask::get(&path)).await.unwrap();
    assert!(second.read(1).await);
    drop(first);
    gate.open();
    case.assert_true_bytes(&second.finish().await, LARGE);
    assert_eq!(case.asked_for(LARGE), 1);
}

pub(super) async fn every_client_leaves(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let gate = hold_large(&case, 300_000);
    let path = case.fixture.artifact(LARGE);
    let mut only = case.rig.client().open(Ask::get(&path)).await.unwrap();
    assert!(only.read(1).await);
    drop(only);
    gate.open();
    case.assert_true_bytes(&case.rig.until_hit(&path).await, LARGE);
    assert_eq!(case.asked_for(LARGE), 1);
}

/// Makes the upstream stop after so many bytes of the large file until the gate opens.
pub(crate) fn hold_large(case: &Case, bytes: usize) -> Gate {
    let gate = Gate::shut();
    let resource = Resource::file(case.fixture.bytes(LARGE).clone());
    let body = resource.body();
    let reply = resource.head().bytes(body.slice(..bytes)).hold(&gate).bytes(body.slice(bytes..));
    case.upstream.set(&case.fixture.upstream_artifact(LARGE), reply);
    gate
}
