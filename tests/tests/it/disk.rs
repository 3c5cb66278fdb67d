//! A disk that is full, out of inodes, read-only or simply small: installs go on.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tests::fixture::{CARGO, LARGE, NPM, PYPI, SMALL};
use tests::rig::Setup;
use tests::wait::until;
use tests::{Ask, Fixture, Manifest, Protocol, Rig, Upstream};

/// A memory disk with limits of its own, for tests that run as root.
pub(crate) struct Tmpfs {
    folder: TempDir,
}

impl Tmpfs {
    /// Mounts one, or says why the test is skipped.
    pub(crate) fn mount(options: &str) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { folder });
        }
        eprintln!("skipped: mounting a tmpfs takes root");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes it read-only or writable again.
    fn remount(&self, mode: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{mode}")]).arg(self.path()).status();
        assert!(status.expect("mount runs").success(), "remount,{mode}");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// A registry with many files of one megabyte, and the program on the given disk.
async fn many(disk: Option<&Tmpfs>, files: usize, tune: impl FnOnce(Manifest) -> Manifest) -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    for number in 0..files {
        fixture.publish(&format!("2.{number}.0"), 1 << 20);
    }
    fixture.install(&upstream);
    let mut setup = Setup::default().manifest(tune(Manifest::of(&NPM, &upstream)));
    if let Some(disk) = disk {
        setup = setup.storage(disk.path());
    }
    (fixture, upstream, setup.start().await)
}

async fn assert_served(fixture: &Fixture, rig: &Rig, release: usize) {
    let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
    assert!(answer.bytes() == fixture.bytes(release), "release {release}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_disk_serves_more_than_it_holds() {
    let Some(disk) = Tmpfs::mount("size=16m") else { return };
    let (fixture, _upstream, rig) = many(Some(&disk), 40, |manifest| manifest).await;
    for release in 0..fixture.package.releases.len() {
        assert_served(&fixture, &rig, release).await;
    }
    rig.admin().get("/readyz").await.expect_status(200);
    assert!(rig.get(&fixture.metadata()).await.status == 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_inode_is_left() {
    let Some(disk) = Tmpfs::mount("size=64m,nr_inodes=60") else { return };
    let (fixture, _upstream, rig) = many(Some(&disk), 40, |manifest| manifest).await;
    for release in 0..fixture.package.releases.len() {
        assert_served(&fixture, &rig, release).await;
    }
    rig.admin().get("/healthz").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filled_disk_is_read_only_and_writable_again() {
    let Some(disk) = Tmpfs::mount("size=64m") else { return };
    let (fixture, upstream, mut rig) = many(Some(&disk), 4, |manifest| manifest).await;
    assert_served(&fixture, &rig, SMALL).await;
    rig.until_hit(&fixture.artifact(SMALL)).await;
    // The kernel turns no disk read-only while a file on it is open for writing.
    rig.stop().await;
    disk.remount("ro");
    rig.start().await;
    for release in 0..fixture.package.releases.len() {
        assert_served(&fixture, &rig, release).await;
    }
    assert_eq!(upstream.count(&fixture.upstream_artifact(SMALL)), 1, "what was kept is still a hit");
    rig.admin().get("/readyz").await.expect_status(200);
    assert!(rig.status().await["storage"].is_object());
    disk.remount("rw");
    assert_served(&fixture, &rig, 3).await;
    rig.until_hit(&fixture.artifact(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_read_only_from_the_start() {
    let Some(disk) = Tmpfs::mount("size=64m") else { return };
    disk.remount("ro");
    let (fixture, _upstream, rig) = many(Some(&disk), 2, |manifest| manifest).await;
    for release in 0..fixture.package.releases.len() {
        assert_served(&fixture, &rig, release).await;
    }
}

/// The requests of an install: the documents in every form, what lies beside a wheel, two files of the package.
async fn install(fixture: &Fixture, rig: &Rig, round: usize) {
    let protocol = fixture.protocol;
    let shown = format!("{}, round {round}", protocol.name());
    let linking = rig.get(&fixture.linking()).await;
    assert_eq!(linking.status, 200, "{shown}: {}", linking.text());
    for (path, accept) in fixture.forms() {
        let answer = rig.send(Ask::get(&path).header("Accept", accept)).await;
        assert_eq!(answer.status, 200, "{shown}: {path} {}", answer.text());
    }
    let document = rig.get(&fixture.metadata()).await.expect_status(200);
    assert_eq!(protocol.versions(document.bytes()), ["1.0.0", "1.1.0"], "{shown}");
    for release in [SMALL, LARGE] {
        let path = fixture.artifact(release);
        if protocol.name() == "pypi" {
            let beside = rig.get(&format!("{path}.metadata")).await;
            assert!(
                beside.status == 200 && beside.text().starts_with("Metadata-Version"),
                "{shown}: {}",
                beside.status
            );
        }
        let answer = rig.get(&path).await;
        assert!(answer.status == 200 && answer.bytes() == fixture.bytes(release), "{shown}: {}", answer.status);
    }
}

/// Installs several times on a disk that takes nothing, makes it take something, and installs again.
async fn installs_without_a_disk(disk: &Tmpfs, repair: impl Fn()) {
    let upstream = Upstream::start().await;
    let fixtures = [&CARGO as &dyn Protocol, &NPM, &PYPI].map(Fixture::new);
    for fixture in &fixtures {
        fixture.install(&upstream);
    }
    let setup = fixtures.iter().fold(Setup::default().storage(disk.path()), |setup, fixture| {
        setup.manifest(Manifest::of(fixture.protocol, &upstream).with("cache.metadataTTL", "1h"))
    });
    let rig = setup.start().await;
    for round in 0..3 {
        for fixture in &fixtures {
            install(fixture, &rig, round).await;
            assert!(rig.stored_copies(fixture.bytes(LARGE)).is_empty(), "the disk of this test is not full");
        }
    }
    rig.admin().get("/readyz").await.expect_status(200);
    until("/status to name the fault", || async { rig.status().await["storage"]["fault"].is_string().then_some(()) })
        .await;
    repair();
    for fixture in &fixtures {
        install(fixture, &rig, 3).await;
        for path in [fixture.metadata(), fixture.artifact(SMALL), fixture.artifact(LARGE)] {
            rig.until_hit(&path).await;
        }
        until("the files to be stored", || async {
            let copies = [SMALL, LARGE].map(|release| rig.stored_copies(fixture.bytes(release)).len());
            (copies == [1, 1]).then_some(())
        })
        .await;
    }
    until("the fault to be over", || async { rig.status().await["storage"]["fault"].is_null().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_installs_on_a_read_only_disk() {
    let Some(disk) = Tmpfs::mount("size=64m") else { return };
    disk.remount("ro");
    installs_without_a_disk(&disk, || disk.remount("rw")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_installs_on_a_full_disk() {
    let Some(disk) = Tmpfs::mount("size=32m") else { return };
    let ballast = disk.path().join("ballast");
    let written = std::fs::write(&ballast, vec![0; 33 << 20]);
    assert!(written.is_err(), "the disk takes more than its size");
    installs_without_a_disk(&disk, || std::fs::remove_file(&ballast).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eviction_keeps_the_store_below_its_size() {
    let (fixture, upstream, rig) = many(None, 30, |manifest| manifest.with("cache.maxSize", "10Mi")).await;
    for release in 0..fixture.package.releases.len() {
        assert_served(&fixture, &rig, release).await;
    }
    until("eviction to the low water mark", || async {
        let metrics = rig.metrics().await;
        let evicted = metrics.sum("packageproxy_evictions_total", &[]) > 0;
        // Spools are not counted, and small.
        let on_disk: u64 =
            rig.stored_files().iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
        let counted = metrics.sum("packageproxy_store_bytes", &[]);
        (evicted && counted <= 10 << 20 && on_disk <= 11 << 20).then_some(())
    })
    .await;
    // The newest, never read again, outlives older ones.
    let newest = fixture.package.releases.len() - 1;
    assert_served(&fixture, &rig, newest).await;
    assert_eq!(upstream.count(&fixture.upstream_artifact(newest)), 1);
    // What was evicted comes back.
    assert_served(&fixture, &rig, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_larger_than_the_cache_streams_through() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    let release = fixture.publish("9.0.0", 6 << 20);
    fixture.install(&upstream);
    let manifest = Manifest::of(&NPM, &upstream).with("cache.maxSize", "4Mi");
    let rig = Rig::serve([manifest]).await;
    for _ in 0..2 {
        assert_served(&fixture, &rig, release).await;
    }
    until("nothing of it to be left", || async {
        let stored: u64 =
            rig.stored_files().iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
        (stored < 4 << 20).then_some(())
    })
    .await;
}
