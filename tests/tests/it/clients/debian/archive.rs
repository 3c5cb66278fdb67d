//! Signed archives that a test makes, as an archive's keeper does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::machine;

/// A signer whose agent ends with it.
pub(super) struct Signer(TempDir);

impl Signer {
    pub(super) fn new() -> Self {
        // A short path: the agent's socket lies in it.
        let home = TempDir::new_in("/tmp").expect("a temporary folder");
        let signer = Self(home);
        let make = ["--passphrase", "", "--quick-gen-key", "Lab <lab@registry.example>", "rsa2048", "sign", "never"];
        machine::run(signer.gpg().args(make));
        signer
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.0.path()).args(["--batch", "--quiet", "--yes"]);
        gpg
    }

    /// Signs a file: `--clearsign` within the result, `--detach-sign` beside.
    pub(super) fn sign(&self, form: &str, plain: &Path, to: &Path) {
        machine::run(self.gpg().arg("--armor").arg("--output").arg(to).arg(form).arg(plain));
    }

    pub(super) fn key(&self) -> PathBuf {
        let key = self.0.path().join("key.gpg");
        machine::run(self.gpg().arg("--output").arg(&key).arg("--export"));
        key
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.0.path()).args(["--kill", "gpg-agent"]).status();
    }
}

/// A suite in one state: name below the suite and content, the head last.
pub(super) type State = Vec<(String, Vec<u8>)>;

/// Adds the packed forms of an index.
pub(super) fn pack(index: &Path) {
    machine::run(Command::new("gzip").args(["-9nk"]).arg(index));
    machine::run(Command::new("xz").arg("-k").arg(index));
}

/// The head of the indexes in a folder, not signed.
pub(super) fn head(suite: &Path, by_digest: bool) -> String {
    let fields = [("Suite", "stable"), ("Codename", "stable"), ("Components", "main"), ("Architectures", "amd64")];
    let mut release = Command::new("apt-ftparchive");
    for (field, value) in fields {
        release.args(["-o", &format!("APT::FTPArchive::Release::{field}={value}")]);
    }
    if by_digest {
        release.args(["-o", "APT::FTPArchive::DoByHash=true"]);
        release.args(["-o", "APT::FTPArchive::Release::Acquire-By-Hash=yes"]);
    }
    machine::run(release.arg("release").arg(suite))
}

/// Makes and signs the head of the indexes in `dists/stable` of a folder. Returns the whole suite.
pub(super) fn finish(folder: &Path, by_digest: bool, signer: &Signer) -> State {
    let suite = folder.join("dists/stable");
    let plain = folder.join("Release");
    fs::write(&plain, head(&suite, by_digest)).expect("a writable folder");
    signer.sign("--clearsign", &plain, &suite.join("InRelease"));
    let mut files = files_of(&suite);
    files.sort_by_key(|(name, _)| name == "InRelease");
    files
}

/// Every file of a folder.
pub(super) fn files_of(folder: &Path) -> State {
    let mut files = Vec::new();
    collect(folder, folder, &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut State) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            collect(root, &entry, files);
        } else {
            let name = entry.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            files.push((name, fs::read(&entry).expect("a file")));
        }
    }
}
