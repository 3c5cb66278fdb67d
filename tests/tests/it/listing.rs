//! What a cached listing lacks, and what the disk has lost of it: asked again, and never turned into a false 404.

use std::fs;
use std::path::PathBuf;

use futures_util::future::join_all;
use tests::fixture::{CARGO, LARGE, NPM, PYPI, SMALL};
use tests::rig::Setup;
use tests::{Fixture, Gate, Manifest, Protocol, Rig, Upstream};

const ALL: [&dyn Protocol; 3] = [&CARGO, &NPM, &PYPI];

/// A proxy that keeps nothing in memory that the disk has.
async fn start(protocol: &'static dyn Protocol, tune: impl FnOnce(&mut Fixture)) -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(protocol);
    tune(&mut fixture);
    fixture.install(&upstream);
    let manifest = Manifest::of(protocol, &upstream)
        .with("cache.metadataTTL", "1h")
        .with("cache.negativeTTL", "0s")
        .with("upstream.readTimeout", "30s")
        .with("upstream.retry.attempts", 0);
    let rig = Setup::default().manifest(manifest).argument("--blob-memory").argument("0").start().await;
    (fixture, upstream, rig)
}

async fn keep(rig: &Rig, paths: &[String]) {
    for path in paths {
        rig.get(path).await.expect_status(200);
        rig.until_hit(path).await;
    }
    rig.until_written().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_new_releases_wait_for_the_one_new_listing() {
    for protocol in ALL {
        let (mut fixture, upstream, rig) = start(protocol, |_| ()).await;
        keep(&rig, &[fixture.linking(), fixture.metadata()]).await;
        let releases = ["2.0.0", "3.0.0", "4.0.0"].map(|version| fixture.publish(version, 5_000));
        fixture.install(&upstream);
        let (gate, document) = (Gate::shut(), fixture.document(&upstream));
        let slow = document.head().bytes(document.body().clone()).hold_head(&gate);
        upstream.set(&fixture.upstream_metadata(), slow);
        let asked = upstream.count(&fixture.upstream_metadata());
        let clients = async {
            let paths = releases.map(|release| fixture.artifact(release));
            join_all(paths.iter().map(|path| rig.get(path))).await
        };
        let release = async {
            gate.reached(1).await;
            // So many exchanges later the other two requests have arrived as well.
            for _ in 0..30 {
                rig.admin().get("/healthz").await.expect_status(200);
            }
            gate.open();
        };
        let (answers, ()) = tokio::join!(clients, release);
        for (answer, release) in answers.into_iter().zip(releases) {
            let answer = answer.expect_status(200);
            assert!(answer.bytes() == fixture.bytes(release), "{}", protocol.name());
        }
        assert_eq!(upstream.count(&fixture.upstream_metadata()), asked + 1, "{}", protocol.name());
    }
}

/// Fails unless every answer for these files says that the upstream is in trouble.
async fn assert_unavailable(fixture: &Fixture, rig: &Rig, releases: &[usize], shown: &str) {
    for release in releases {
        let answer = rig.get(&fixture.artifact(*release)).await;
        let (name, status) = (fixture.protocol.name(), answer.status.as_u16());
        assert!(matches!(status, 502..=504), "{name}, release {release}, {shown}: {status} {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_files_are_not_absent_without_an_upstream() {
    for protocol in ALL {
        let (fixture, upstream, mut rig) = start(protocol, |_| ()).await;
        keep(&rig, &[fixture.linking(), fixture.metadata(), fixture.artifact(SMALL), fixture.artifact(LARGE)]).await;
        upstream.stop().await;
        for release in [SMALL, LARGE] {
            let copies = rig.stored_copies(fixture.bytes(release));
            assert_eq!(copies.len(), 1);
            fs::remove_file(&copies[0]).unwrap();
        }
        assert_unavailable(&fixture, &rig, &[SMALL, LARGE, SMALL, LARGE], "before a restart").await;
        rig.restart().await;
        assert_unavailable(&fixture, &rig, &[SMALL, LARGE, SMALL, LARGE], "after a restart").await;
        rig.get(&fixture.metadata()).await.expect_status(200);
        upstream.resume().await;
        for release in [SMALL, LARGE] {
            let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
            assert!(answer.bytes() == fixture.bytes(release), "{}, release {release}", protocol.name());
        }
    }
}

/// The document might list it by now: that nobody could be asked is no reason to say that there is no such file, not
/// even while the document is not asked for again because of the attempt a moment ago.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlisted_files_are_not_absent_without_an_upstream() {
    for protocol in ALL {
        let (mut fixture, upstream, mut rig) = start(protocol, |_| ()).await;
        keep(&rig, &[fixture.linking(), fixture.metadata()]).await;
        let new = [fixture.publish("2.0.0", 5_000), fixture.publish("3.0.0", 5_000)];
        upstream.stop().await;
        assert_unavailable(&fixture, &rig, &[new[0], new[1], new[0], new[1]], "before a restart").await;
        rig.restart().await;
        assert_unavailable(&fixture, &rig, &[new[0], new[1], new[0], new[1]], "after a restart").await;
        fixture.install(&upstream);
        upstream.resume().await;
        rig.restart().await;
        for release in new {
            let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
            assert!(answer.bytes() == fixture.bytes(release), "{}, release {release}", protocol.name());
        }
    }
}

/// Files of the store, in a fixed order, that belong to documents: whatever is there before any artifact is.
fn files(rig: &Rig) -> Vec<PathBuf> {
    let mut files = rig.stored_files();
    files.retain(|path| path.metadata().is_ok_and(|meta| meta.len() > 0));
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_disk_loses_of_a_document_is_fetched_again() {
    for protocol in ALL {
        let (fixture, _upstream, mut rig) = start(protocol, |fixture| {
            for number in 0..16 {
                fixture.publish(&format!("2.{number}.0"), 1_000);
            }
        })
        .await;
        let documents = [fixture.linking(), fixture.metadata()];
        keep(&rig, &documents).await;
        let lost = files(&rig);
        // Bytes, extract and record of each document at the very least.
        assert!(lost.len() >= 2, "{lost:?}");
        let mut next = 0;
        for restarting in [false, true] {
            for path in &lost {
                if path.exists() {
                    fs::remove_file(path).unwrap();
                }
                if restarting {
                    rig.restart().await;
                }
                // Never asked for before, so that the listing has to be looked into.
                let release = next % fixture.package.releases.len();
                next += 1;
                let shown = format!("{} without {}, restarted {restarting}", protocol.name(), path.display());
                let file = rig.get(&fixture.artifact(release)).await;
                assert!(file.status == 200 && file.bytes() == fixture.bytes(release), "{shown}: {}", file.status);
                let linking = rig.get(&fixture.linking()).await;
                assert_eq!(linking.status, 200, "{shown}: the linking document");
                let document = rig.get(&fixture.metadata()).await;
                assert_eq!(document.status, 200, "{shown}: the document");
                assert_eq!(protocol.versions(document.bytes()).len(), fixture.package.releases.len(), "{shown}");
                keep(&rig, &documents).await;
            }
        }
    }
}
