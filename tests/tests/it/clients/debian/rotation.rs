//! Clients that update without end while the archive is rewritten file by file: an update may fail, but never because
//! its parts do not fit together.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tempfile::TempDir;
use tests::fixture::{BASE, DEBIAN};
use tests::{Manifest, Resource, Rig, Upstream};

use super::Apt;
use super::archive::{self, Signer, State};

/// What an archive goes through. Never back: apt keeps a head that is newer than the one it gets.
const STATES: usize = 16;
/// Updates that begin or end in each state.
const UPDATES: usize = 4;
const FOLDERS: [&str; 2] = ["main/binary-amd64/Packages", "main/source/Sources"];

/// Makes a state as an archive's keeper does.
fn state(number: usize, by_digest: bool, signer: &Signer) -> State {
    let folder = TempDir::new().expect("a temporary folder");
    let suite = folder.path().join("dists/stable");
    for file in FOLDERS {
        let mut text = String::new();
        for package in 0..400 {
            let digest = format!("{:064x}", number * 1000 + package);
            let _ = if file.ends_with("Packages") {
                write!(
                    text,
                    "Package: p{package}\nVersion: {number}\nArchitecture: all\nMaintainer: lab\nDescription: x\n\
                     Filename: pool/p{package}_{number}_all.deb\nSize: 1\nSHA256: {digest}\n\n"
                )
            } else {
                write!(
                    text,
                    "Package: p{package}\nVersion: {number}\nMaintainer: lab\nFormat: 1.0\nDirectory: pool\n\
                     Checksums-Sha256:\n {digest} 1 p{package}_{number}.dsc\n\n"
                )
            };
        }
        let path = suite.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a writable folder");
        archive::pack(&path);
    }
    archive::finish(folder.path(), by_digest, signer)
}

/// Puts a state in place of the last one, file by file with pauses, so that what is between them is seen as well.
async fn publish(upstream: &Upstream, state: &State, head_first: bool) {
    let mut files: Vec<_> = state.iter().collect();
    if head_first {
        files.rotate_right(1);
    }
    for (name, bytes) in files {
        upstream.set(&format!("{BASE}dists/stable/{name}"), Resource::file(bytes.clone()));
        if !name.contains("by-hash") {
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
    }
}

/// What came of all updates.
#[derive(Debug, Default)]
struct Outcomes {
    fine: AtomicUsize,
    failed: AtomicUsize,
}

impl Outcomes {
    fn fine(&self) -> usize {
        self.fine.load(Ordering::Relaxed)
    }

    fn all(&self) -> usize {
        self.fine() + self.failed.load(Ordering::Relaxed)
    }
}

/// Says that the archive has come to rest, or that the test has failed.
struct Rests(Arc<AtomicBool>);

impl Drop for Rests {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Updates until the archive rests.
fn update(sources: &str, rests: &AtomicBool, outcomes: &Outcomes) {
    let home = TempDir::new().expect("a temporary folder");
    while !rests.load(Ordering::Relaxed) {
        let apt = Apt::new(home.path(), sources);
        let output = apt.output(&["update", "--error-on=any"]);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        for sign in ["Hash Sum mismatch", "unexpected size", "BADSIG", "not signed", "parse"] {
            assert!(!text.contains(sign), "{text}");
        }
        let outcome = if output.status.success() { &outcomes.fine } else { &outcomes.failed };
        outcome.fetch_add(1, Ordering::Relaxed);
        // Without any list, as in a pod, every other time.
        if outcomes.fine().is_multiple_of(2) {
            fs::remove_dir_all(home.path().join("root/var/lib/apt/lists")).expect("lists");
        }
    }
}

async fn rotate(by_digest: bool, ttl: &str) {
    let signer = Arc::new(Signer::new());
    let states: Vec<State> = (0..STATES).map(|number| state(number, by_digest, &signer)).collect();
    let upstream = Upstream::start().await;
    publish(&upstream, &states[0], false).await;
    let manifest = Manifest::of(&DEBIAN, &upstream).with("cache.metadataTTL", ttl);
    let rig = Rig::serve([manifest.with("cache.staleWhileRevalidate", "0s")]).await;
    let source = format!("deb [signed-by={}] http://{}/debian/ stable main\n", signer.key().display(), rig.data());
    let sources = format!("{source}{}", source.replacen("deb ", "deb-src ", 1));

    let (rests, outcomes) = (Arc::new(AtomicBool::new(false)), Arc::new(Outcomes::default()));
    let resting = Rests(Arc::clone(&rests));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (sources, rests, outcomes) = (sources.clone(), Arc::clone(&rests), Arc::clone(&outcomes));
            std::thread::spawn(move || update(&sources, &rests, &outcomes))
        })
        .collect();
    for (number, state) in states.iter().enumerate().skip(1) {
        publish(&upstream, state, number % 3 == 0).await;
        let before = outcomes.all();
        tests::wait::until("updates", || async {
            // Why one has ended comes out below.
            let go_on = outcomes.all() >= before + UPDATES || clients.iter().any(JoinHandle::is_finished);
            go_on.then_some(())
        })
        .await;
    }
    drop(resting);
    for client in clients {
        let joined = tokio::task::spawn_blocking(move || client.join()).await.expect("a thread");
        if let Err(panic) = joined {
            std::panic::resume_unwind(panic);
        }
    }
    eprintln!("by digest {by_digest}, lifetime {ttl}: {outcomes:?}");
    // Where files are asked for by name, those of a head that the archive has left behind are gone.
    assert!(outcomes.fine() >= outcomes.all() / 4, "{outcomes:?}");

    // It holds still: the next update brings the last state.
    let home = TempDir::new().expect("a temporary folder");
    let apt = Apt::new(home.path(), &sources);
    tests::wait::until("the last state", || async {
        if !apt.output(&["update", "--error-on=any"]).status.success() {
            return None;
        }
        let packages = apt.lists().into_iter().find(|(name, _)| name.ends_with("_Packages"))?;
        let text = fs::read_to_string(packages.1).expect("a list");
        text.contains(&format!("Version: {}\n", STATES - 1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs apt-ftparchive and gpg: tests/run"]
async fn apt_updates_while_the_archive_changes_by_digest() {
    rotate(true, "0s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs apt-ftparchive and gpg: tests/run"]
async fn apt_updates_while_the_archive_changes_by_name() {
    rotate(false, "0s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs apt-ftparchive and gpg: tests/run"]
async fn apt_updates_while_the_archive_changes_and_the_proxy_asks_now_and_then() {
    rotate(false, "1s").await;
}
