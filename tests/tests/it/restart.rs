//! What a crash or a meddling hand leaves in the storage folder: swept, ignored, healed, never served.

use std::fs;

use tests::fixture::{LARGE, NPM, SMALL};
use tests::rig::Setup;
use tests::wait::until;
use tests::{Ask, Fixture, Gate, Manifest, Resource, Rig, Upstream};

async fn start() -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Rig::serve([Manifest::of(&NPM, &upstream).with("cache.metadataTTL", "1h")]).await;
    (fixture, upstream, rig)
}

async fn fill(fixture: &Fixture, rig: &Rig) {
    for path in [fixture.metadata(), fixture.artifact(SMALL), fixture.artifact(LARGE)] {
        rig.get(&path).await.expect_status(200);
        rig.until_hit(&path).await;
    }
    rig.until_written().await;
}

async fn assert_true(fixture: &Fixture, rig: &Rig) {
    for release in [SMALL, LARGE] {
        let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
        assert!(answer.bytes() == fixture.bytes(release));
    }
    let document = rig.get(&fixture.metadata()).await.expect_status(200);
    assert_eq!(fixture.protocol.versions(document.bytes()), ["1.0.0", "1.1.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_inside_a_fill_leaves_nothing() {
    let (fixture, upstream, mut rig) = start().await;
    let gate = Gate::shut();
    let resource = Resource::file(fixture.bytes(LARGE).clone());
    let reply = resource.head().bytes(resource.body().slice(..500_000)).hold(&gate);
    upstream.then(&fixture.upstream_artifact(LARGE), reply);
    let mut client = rig.client().open(Ask::get(&fixture.artifact(LARGE))).await.unwrap();
    assert!(client.read(400_000).await);
    rig.kill().await;
    rig.start().await;
    until("the spool to be swept", || async {
        let large = |path: &std::path::PathBuf| path.metadata().is_ok_and(|meta| meta.len() >= 400_000);
        rig.stored_files().iter().all(|path| !large(path)).then_some(())
    })
    .await;
    assert_true(&fixture, &rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_every_record_is_a_miss() {
    let (fixture, _upstream, mut rig) = start().await;
    fill(&fixture, &rig).await;
    rig.stop().await;
    for (index, path) in rig.stored_files().into_iter().enumerate() {
        let is_artifact = |bytes: &[u8]| [SMALL, LARGE].iter().any(|release| bytes == fixture.bytes(*release).as_ref());
        let old = fs::read(&path).unwrap();
        if is_artifact(&old) {
            continue;
        }
        let new = match index % 3 {
            0 => Vec::new(),
            1 => old[..old.len() / 2].to_vec(),
            _ => b"\xff\xfe garbage \0".to_vec(),
        };
        fs::write(&path, new).unwrap();
    }
    rig.start().await;
    assert_true(&fixture, &rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_and_empty_blobs_are_misses() {
    let (fixture, upstream, mut rig) = start().await;
    fill(&fixture, &rig).await;
    for length in [0, 1, 100] {
        for release in [SMALL, LARGE] {
            let path = rig.stored_copies(fixture.bytes(release)).pop().expect("a blob");
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(length).unwrap();
            // Without what the process has in memory.
            rig.restart().await;
            let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
            assert!(answer.bytes() == fixture.bytes(release), "cut to {length}");
            rig.until_hit(&fixture.artifact(release)).await;
            rig.until_written().await;
        }
    }
    assert_eq!(upstream.count(&fixture.upstream_artifact(SMALL)), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_link_is_not_followed() {
    let (fixture, _upstream, rig) = start().await;
    fill(&fixture, &rig).await;
    let path = rig.stored_copies(fixture.bytes(SMALL)).pop().expect("a blob");
    let secret = rig.manifests().join("secret");
    fs::write(&secret, vec![b'x'; fixture.bytes(SMALL).len()]).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&secret, &path).unwrap();
    let answer = rig.get(&fixture.artifact(SMALL)).await.expect_status(200);
    assert!(answer.bytes() == fixture.bytes(SMALL), "the target of a planted link was served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_and_is_ready_with_a_dead_upstream() {
    let upstream = Upstream::start().await;
    upstream.stop().await;
    let rig = Rig::serve([Manifest::of(&NPM, &upstream)]).await;
    rig.admin().get("/healthz").await.expect_status(200);
    rig.admin().get("/readyz").await.expect_status(200);
    rig.get("/npm/tiny-lab").await.expect_status(502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_one_folder() {
    let (fixture, upstream, first) = start().await;
    let manifest = Manifest::of(&NPM, &upstream).with("cache.metadataTTL", "1h");
    let second = Setup::default().manifest(manifest).storage(&first.storage()).start().await;
    for rig in [&first, &second] {
        assert_true(&fixture, rig).await;
    }
    first.until_hit(&fixture.artifact(LARGE)).await;
    second.until_hit(&fixture.artifact(LARGE)).await;
    drop(second);
    assert_true(&fixture, &first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_forgets_a_package() {
    let (fixture, upstream, rig) = start().await;
    fill(&fixture, &rig).await;
    let ask = Ask::new(http::Method::POST, "/purge?proxy=npm&package=tiny-lab");
    let answer = rig.admin().send(ask).await;
    assert!(answer.status.is_success(), "{}", answer.status);
    assert_true(&fixture, &rig).await;
    assert_eq!(upstream.count(&fixture.upstream_artifact(SMALL)), 2);
    assert_eq!(upstream.count(&fixture.upstream_metadata()), 2);
    let get = rig.admin().get("/purge?proxy=npm&package=tiny-lab").await;
    assert_eq!(get.status, 405);
}
