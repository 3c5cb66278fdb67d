//! A disk that answers with errors: the calls of the unchanged program fail by injection, and installs go on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tests::fixture::{LARGE, NPM, SMALL};
use tests::rig::{self, Setup};
use tests::wait::until;
use tests::{Fixture, Manifest, Upstream};

/// A program that is ours with some calls failing, each at its times, or `None` where calls cannot be traced.
fn failing(folder: &Path, calls: &[(&str, &str)]) -> Option<PathBuf> {
    let traced = std::process::Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !traced.is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace is not installed or may not trace");
        return None;
    }
    let path = folder.join("packageproxy-that-fails");
    let names: Vec<&str> = calls.iter().map(|(call, _)| *call).collect();
    let faults: Vec<String> =
        calls.iter().map(|(call, when)| format!("-e inject={call}:error=EIO:when={when}")).collect();
    // The tracer is a process beside, so that the program keeps the number that the rig knows.
    let script = format!(
        "#!/bin/sh\nexec strace -D -f -qq -o /dev/null -e trace={} {} '{}' \"$@\"\n",
        names.join(","),
        faults.join(" "),
        rig::program().display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Some(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_reach_the_disk_is_not_kept() {
    let folder = TempDir::new().unwrap();
    let Some(program) = failing(folder.path(), &[("fdatasync", "1+")]) else { return };
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Setup::default().manifest(Manifest::of(&NPM, &upstream)).program(&program).start().await;
    for release in [SMALL, LARGE] {
        for _ in 0..2 {
            let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
            assert!(answer.bytes() == fixture.bytes(release), "release {release}");
        }
        until("the fault on /status", || async { rig.status().await["storage"]["fault"].as_str().map(|_| ()) }).await;
    }
    // The files lie there until the calls for them have failed.
    until("nothing of them to be kept", || async {
        [SMALL, LARGE].iter().all(|release| rig.stored_copies(fixture.bytes(*release)).is_empty()).then_some(())
    })
    .await;
    rig.admin().get("/readyz").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_cannot_be_read_is_fetched_again() {
    let folder = TempDir::new().unwrap();
    // Reads that wait for no disk give nothing; of those that do, the loader of the program does some at first.
    let Some(program) = failing(folder.path(), &[("preadv2", "1+"), ("pread64", "5")]) else { return };
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let storage = TempDir::new().unwrap();
    let setup = || {
        let manifest = Manifest::of(&NPM, &upstream);
        Setup::default().manifest(manifest).storage(storage.path()).environment("PACKAGEPROXY_BLOB_MEMORY", "0")
    };
    let mut rig = setup().start().await;
    rig.get(&fixture.artifact(SMALL)).await.expect_status(200);
    rig.until_hit(&fixture.artifact(SMALL)).await;
    rig.until_written().await;
    rig.stop().await;
    let rig = setup().program(&program).start().await;
    until("the file to be fetched again", || async {
        let answer = rig.get(&fixture.artifact(SMALL)).await.expect_status(200);
        // Calls are counted for each thread: the fault of another one may meet the new file, which is cut then.
        if !answer.is_complete_success() {
            return None;
        }
        assert!(answer.bytes() == fixture.bytes(SMALL));
        (upstream.count(&fixture.upstream_artifact(SMALL)) > 1).then_some(())
    })
    .await;
}
