//! Updates by patches: apt fetches what has changed of an index and makes the new one of the old.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tests::bytes_of::corrupted;
use tests::fixture::{BASE, DEBIAN};
use tests::{Manifest, Resource, Rig, Upstream};

use super::super::machine;
use super::Apt;
use super::archive::{self, Signer, State};

const PACKAGES: &str = "main/binary-amd64/Packages";
const DIFF: &str = "main/binary-amd64/Packages.diff";
const STATES: usize = 5;

/// How an archive writes its patches: each from one state to the next, or each from an old state to the current one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patches {
    Steps,
    Merged,
}

/// The index of one state: few of many packages are not as in the state before.
fn index(number: usize) -> String {
    let mut text = String::new();
    for package in number..400 + number {
        let version = if package % 50 <= number { number } else { 0 };
        let name = format!("p{package}_{version}_all.deb");
        let digest = HEXLOWER.encode(&Sha256::digest(&name));
        let _ = write!(
            text,
            "Package: p{package}\nVersion: {version}\nArchitecture: all\nMaintainer: lab\nDescription: x\n\
             Filename: pool/{name}\nSize: 1\nSHA256: {digest}\n\n"
        );
    }
    text
}

/// Name, text and packed form of the patch from one state to another.
fn patch(from: usize, to: usize) -> (String, Vec<u8>, Vec<u8>) {
    let folder = TempDir::new().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    for (name, number) in [("from", from), ("to", to)] {
        fs::write(at(name), index(number)).expect("a writable folder");
    }
    // Its exit code says that they differ.
    let diff = Command::new("diff").arg("--ed").arg(at("from")).arg(at("to")).output().expect("diff runs").stdout;
    assert!(!diff.is_empty(), "the states {from} and {to} are one");
    fs::write(at("patch"), &diff).expect("a writable folder");
    machine::run(Command::new("gzip").arg("-9nk").arg(at("patch")));
    (format!("T-{to}-F-{from}"), diff, fs::read(at("patch.gz")).expect("a packed patch"))
}

/// Writes the patches to a state and the list of them.
fn write_patches(folder: &Path, number: usize, patches: Patches) {
    fs::create_dir_all(folder).expect("a folder");
    let listed =
        |bytes: &[u8], name: &str| format!(" {} {} {name}\n", HEXLOWER.encode(&Sha256::digest(bytes)), bytes.len());
    let current = index(number);
    let mut lists = ["History", "Patches", "Download"].map(|list| format!("SHA256-{list}:\n"));
    for from in 0..number {
        let (name, plain, packed) = patch(from, if patches == Patches::Merged { number } else { from + 1 });
        let packed_name = format!("{name}.gz");
        fs::write(folder.join(&packed_name), &packed).expect("a writable folder");
        lists[0] += &listed(index(from).as_bytes(), &name);
        lists[1] += &listed(&plain, &name);
        lists[2] += &listed(&packed, &packed_name);
    }
    let kind = if patches == Patches::Merged { "X-Patch-Precedence: merged\n" } else { "" };
    let digest = HEXLOWER.encode(&Sha256::digest(&current));
    let text = format!("SHA256-Current: {digest} {}\n{}{kind}", current.len(), lists.concat());
    fs::write(folder.join("Index"), text).expect("a writable folder");
}

fn state(number: usize, patches: Patches, by_digest: bool, signer: &Signer) -> State {
    let folder = TempDir::new().expect("a temporary folder");
    let suite = folder.path().join("dists/stable");
    let path = suite.join(PACKAGES);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, index(number)).expect("a writable folder");
    archive::pack(&path);
    if number > 0 {
        write_patches(&suite.join(DIFF), number, patches);
    }
    archive::finish(folder.path(), by_digest, signer)
}

fn publish(upstream: &Upstream, state: &State) {
    for (name, bytes) in state {
        upstream.set(&format!("{BASE}dists/stable/{name}"), Resource::file(bytes.clone()));
    }
}

/// What clients have asked the program for so far: paths below the suite.
async fn asked(rig: &Rig, mark: &str) -> Vec<String> {
    // Lines come in order: what was answered before is noted before.
    rig.get(&format!("/debian/dists/{mark}/InRelease")).await.expect_status(404);
    rig.logged(&["request", mark]).await;
    let path = |line: String| serde_json::from_str::<Value>(&line).ok()?["path"].as_str().map(str::to_owned);
    let below = |path: String| path.strip_prefix("/debian/dists/stable/").map(str::to_owned);
    rig.logs().into_iter().filter_map(path).filter_map(below).collect()
}

fn list(apt: &Apt) -> String {
    let packages = apt.lists().into_iter().find(|(name, _)| name.ends_with("_Packages")).expect("a list of packages");
    fs::read_to_string(packages.1).expect("a list")
}

const UPDATE: [&str; 4] = ["update", "--error-on=any", "-o", "Acquire::PDiffs=true"];

async fn update(patches: Patches, by_digest: bool) {
    let signer = Signer::new();
    let states: Vec<State> = (0..STATES).map(|number| state(number, patches, by_digest, &signer)).collect();
    let upstream = Upstream::start().await;
    publish(&upstream, &states[0]);
    let rig = Rig::serve([Manifest::of(&DEBIAN, &upstream).always_revalidating()]).await;
    let sources = format!("deb [signed-by={}] http://{}/debian/ stable main\n", signer.key().display(), rig.data());
    let home = TempDir::new().expect("a temporary folder");
    let apt = Apt::new(home.path(), &sources);
    apt.run(&UPDATE);
    assert_eq!(list(&apt), index(0));

    let mut seen = asked(&rig, "mark").await.len();
    // From one state to the next, over two at once, and with a patch that is not what its list says.
    for (from, to, is_broken) in [(0, 1, false), (1, 3, false), (3, 4, true)] {
        publish(&upstream, &states[to]);
        let steps: Vec<(usize, usize)> = match patches {
            Patches::Steps => (from..to).map(|from| (from, from + 1)).collect(),
            Patches::Merged => vec![(from, to)],
        };
        let names: Vec<String> = steps.iter().map(|(from, to)| format!("{DIFF}/T-{to}-F-{from}.gz")).collect();
        for name in names.iter().filter(|_| is_broken) {
            let right = &states[to].iter().find(|(of, _)| of == name).expect("a patch").1;
            let wrong = corrupted(&right.clone().into());
            upstream.set(&format!("{BASE}dists/stable/{name}"), Resource::file(wrong));
        }
        apt.run(&UPDATE);
        assert_eq!(list(&apt), index(to), "from {from} to {to}");

        let asked = asked(&rig, &format!("mark-{to}")).await.split_off(seen);
        // Of what fails apt asks several times.
        let mut fetched: Vec<&String> = asked.iter().filter(|path| path.starts_with(&format!("{DIFF}/T-"))).collect();
        fetched.dedup();
        assert_eq!(fetched, names.iter().collect::<Vec<_>>(), "{asked:?}");
        let is_whole = |path: &&String| !path.starts_with(DIFF) && path.starts_with("main/binary-amd64/");
        assert_eq!(asked.iter().any(|path| is_whole(&path)), is_broken, "{asked:?}");
        for name in names.iter().filter(|_| !is_broken) {
            assert_eq!(upstream.count(&format!("{BASE}dists/stable/{name}")), 1, "{name}");
        }
        // As the lists of a client that had none.
        let home = TempDir::new().expect("a temporary folder");
        let fresh = Apt::new(home.path(), &sources);
        fresh.run(&UPDATE);
        assert_eq!(list(&fresh), list(&apt));
        seen = self::asked(&rig, &format!("mark-{to}-fresh")).await.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs apt-ftparchive and gpg: tests/run"]
async fn apt_updates_by_patches() {
    for by_digest in [false, true] {
        update(Patches::Steps, by_digest).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs apt-ftparchive and gpg: tests/run"]
async fn apt_updates_by_patches_that_the_archive_has_merged() {
    for by_digest in [false, true] {
        update(Patches::Merged, by_digest).await;
    }
}
