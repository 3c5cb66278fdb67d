//! Archives of other forms than the usual one: flat ones, heads with the signature beside them, and no head at all.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tests::fixture::{BASE, DEBIAN};
use tests::{Manifest, Resource, Rig, Upstream};

use super::archive::{self, Signer};
use super::{Apt, machine};

const DEB: &str = "lab_1_all.deb";

/// Makes a package in a folder, and the index of the packages below `root` in another one.
fn publish(root: &Path, packages: &Path, indexes: &Path) {
    let made = TempDir::new().expect("a temporary folder");
    let control = made.path().join("DEBIAN/control");
    let text = "Package: lab\nVersion: 1\nArchitecture: all\nMaintainer: Lab <lab@registry.example>\nDescription: x\n";
    for folder in [&made.path().join("DEBIAN"), packages, indexes] {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::write(control, text).expect("a writable folder");
    machine::run(Command::new("dpkg-deb").args(["--root-owner-group", "-b"]).arg(made.path()).arg(packages.join(DEB)));
    let text = machine::run(Command::new("apt-ftparchive").args(["packages", "."]).current_dir(root));
    let index = indexes.join("Packages");
    fs::write(&index, text).expect("a writable folder");
    archive::pack(&index);
}

/// Serves a folder, and has apt update and fetch the package: with this source, whose `ROOT` is the archive's, and, if
/// `kept`, once more from nothing while the archive is gone.
async fn fetches(root: &Path, source: &str, package: &str, kept: bool) {
    let upstream = Upstream::start().await;
    for (name, bytes) in archive::files_of(root) {
        upstream.set(&format!("{BASE}{name}"), Resource::file(bytes));
    }
    let rig = Rig::serve([Manifest::of(&DEBIAN, &upstream)]).await;
    let source = source.replace("ROOT", &format!("http://{}/debian", rig.data()));
    for _ in 0..=u8::from(kept) {
        let home = TempDir::new().expect("a temporary folder");
        let apt = Apt::new(home.path(), &source);
        tokio::task::block_in_place(|| {
            apt.run(&["update", "--error-on=any"]);
            apt.run(&["install", "--yes", "--download-only", "lab"]);
        });
        let fetched = fs::read(home.path().join("root/var/cache/apt/archives").join(DEB)).expect("a package");
        assert!(fetched == fs::read(root.join(package)).expect("a package"));
        assert_eq!(upstream.count(&format!("{BASE}{package}")), 1);
        rig.until_written().await;
        upstream.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs apt-ftparchive and gpg: tests/run"]
async fn apt_reads_a_flat_archive() {
    let signer = Signer::new();
    for name in ["", "a/b"] {
        let root = TempDir::new().expect("a temporary folder");
        let folder = root.path().join(name);
        publish(&folder, &folder, &folder);
        let (text, plain) = (archive::head(&folder, false), folder.join("Release"));
        fs::write(&plain, text).expect("a writable folder");
        signer.sign("--clearsign", &plain, &folder.join("InRelease"));
        fs::remove_file(plain).expect("a file");
        let source = format!("deb [signed-by={}] ROOT/{name} ./\n", signer.key().display());
        fetches(root.path(), &source, &Path::new(name).join(DEB).to_string_lossy(), true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs apt-ftparchive and gpg: tests/run"]
async fn apt_reads_a_head_with_its_signature_beside_it() {
    let signer = Signer::new();
    for by_digest in [false, true] {
        let root = TempDir::new().expect("a temporary folder");
        let suite = root.path().join("dists/stable");
        publish(root.path(), &root.path().join("pool"), &suite.join("main/binary-amd64"));
        let (text, head) = (archive::head(&suite, by_digest), suite.join("Release"));
        fs::write(&head, text).expect("a writable folder");
        signer.sign("--detach-sign", &head, &suite.join("Release.gpg"));
        let source = format!("deb [arch=amd64 signed-by={}] ROOT/ stable main\n", signer.key().display());
        fetches(root.path(), &source, &format!("pool/{DEB}"), true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs apt-ftparchive: tests/run"]
async fn apt_reads_a_folder_without_any_head() {
    let root = TempDir::new().expect("a temporary folder");
    publish(root.path(), root.path(), root.path());
    fetches(root.path(), "deb [trusted=yes] ROOT/ ./\n", DEB, false).await;
}
