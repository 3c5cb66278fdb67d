//! The store outlives the process, and what is missing from it is fetched again.

use std::fs;

use tests::fixture::{LARGE, SMALL};
use tests::rig::Setup;
use tests::{Fixture, Manifest, Protocol, Upstream};

use super::Case;
use crate::disk::Tmpfs;

async fn filled(protocol: &'static dyn Protocol) -> Case {
    let case = Case::with(protocol, |manifest| manifest.with("cache.metadataTTL", "1h")).await;
    for path in [case.fixture.metadata(), case.fixture.artifact(SMALL), case.fixture.artifact(LARGE)] {
        case.rig.get(&path).await.expect_status(200);
        case.rig.until_hit(&path).await;
    }
    case.rig.until_written().await;
    case
}

async fn served_without_upstream(case: &Case) {
    case.upstream.stop().await;
    for release in [SMALL, LARGE] {
        let answer = case.artifact(release).await;
        case.assert_true_bytes(&answer, release);
        assert!(answer.is_hit(), "{}", answer.cache_status());
    }
    let document = case.metadata().await.expect_status(200);
    assert_eq!(case.fixture.protocol.versions(document.bytes()), ["1.0.0", "1.1.0"]);
}

pub(super) async fn the_cache_survives_a_restart(protocol: &'static dyn Protocol) {
    let mut case = filled(protocol).await;
    let etag = case.artifact(SMALL).await.header("etag").to_owned();
    case.rig.restart().await;
    served_without_upstream(&case).await;
    assert_eq!(case.artifact(SMALL).await.header("etag"), etag);
}

pub(super) async fn the_cache_survives_a_crash(protocol: &'static dyn Protocol) {
    let mut case = filled(protocol).await;
    case.rig.kill().await;
    case.rig.start().await;
    served_without_upstream(&case).await;
}

pub(super) async fn a_deleted_blob_heals(protocol: &'static dyn Protocol) {
    let mut case = filled(protocol).await;
    for release in [SMALL, LARGE] {
        let copies = case.rig.stored_copies(case.fixture.bytes(release));
        assert_eq!(copies.len(), 1, "one blob of its own for each file: {copies:?}");
        fs::remove_file(&copies[0]).unwrap();
        case.assert_true_bytes(&case.artifact(release).await, release);
        // What was served from memory until now has to come from the upstream.
        case.rig.restart().await;
        case.assert_true_bytes(&case.artifact(release).await, release);
        case.assert_true_bytes(&case.rig.until_hit(&case.fixture.artifact(release)).await, release);
        assert_eq!(case.asked_for(release), 2);
    }
}

pub(super) async fn a_full_disk(protocol: &'static dyn Protocol) {
    let Some(small_disk) = Tmpfs::mount("size=2m") else { return };
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(protocol);
    for number in 0..5 {
        fixture.publish(&format!("6.{number}.0"), 900_000);
    }
    fixture.install(&upstream);
    let manifest = Manifest::of(protocol, &upstream);
    let rig = Setup::default().manifest(manifest).storage(small_disk.path()).start().await;
    let case = Case { fixture, upstream, rig };
    for release in 0..case.fixture.package.releases.len() {
        case.assert_true_bytes(&case.artifact(release).await, release);
    }
    case.metadata().await.expect_status(200);
    case.rig.admin().get("/readyz").await.expect_status(200);
}
