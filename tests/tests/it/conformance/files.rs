//! Files: where they may come from and how they are labelled.

use tests::fixture::{BASE, LARGE, SMALL};
use tests::{Fixture, Manifest, Protocol, Resource, Rig, Upstream};

use super::Case;

pub(super) async fn other_origin_of_files(protocol: &'static dyn Protocol) {
    let (upstream, files) = (Upstream::start().await, Upstream::start().await);
    let mut fixture = Fixture::new(protocol);
    fixture.files = Some(files.url(BASE));
    fixture.install_documents(&upstream);
    for release in [SMALL, LARGE] {
        files.set(&fixture.upstream_artifact(release), Resource::file(fixture.bytes(release).clone()));
    }
    let rig = Rig::serve([Manifest::of(protocol, &upstream).allowing_loopback()]).await;
    let case = Case { fixture, upstream, rig };
    for (path, accept) in case.fixture.forms() {
        let text = case.get_with(&path, "Accept", accept).await.expect_status(200).text();
        assert!(!text.contains(&files.address().to_string()), "{path}: {text}");
    }
    for release in [SMALL, LARGE] {
        case.assert_true_bytes(&case.artifact(release).await, release);
        case.rig.until_hit(&case.fixture.artifact(release)).await;
        assert_eq!(files.count(&case.fixture.upstream_artifact(release)), 1);
    }
}

pub(super) async fn small_and_large_are_labelled(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let streamed = case.artifact(LARGE).await.expect_status(200);
    for name in ["etag", "last-modified", "accept-ranges"] {
        assert_eq!(streamed.header(name), "", "{name} on bytes that are not verified yet");
    }
    for release in [SMALL, LARGE] {
        case.artifact(release).await.expect_status(200);
        let kept = case.rig.until_hit(&case.fixture.artifact(release)).await;
        assert!(kept.header("cache-control").contains("immutable"), "{:?}", kept.headers);
        assert_eq!(kept.header("accept-ranges"), "bytes");
        assert_eq!(kept.header("content-length"), case.fixture.bytes(release).len().to_string());
    }
    let document = case.metadata().await.expect_status(200);
    assert!(document.header("cache-control").contains("max-age="), "{:?}", document.headers);
    assert!(!document.header("cache-control").contains("immutable"));
    let kept = case.rig.until_hit(&case.fixture.metadata()).await;
    assert!(kept.cache_status().contains("; ttl="), "{}", kept.cache_status());
    for name in ["x-cache", "warning"] {
        assert_eq!(document.header(name), "");
    }
}
