//! Archives that change while clients read them: a client never gets parts of two moments, and packages are what the
//! indexes say.

use std::fmt::Write as _;
use std::io::Write as _;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use liblzma::write::XzEncoder;
use sha2::{Digest as _, Sha256, Sha512};
use tests::fixture::debian::in_release;
use tests::fixture::{BASE, DEBIAN};
use tests::wait::until;
use tests::{Answer, Ask, Manifest, Resource, Rig, Upstream};

mod addresses;
mod components;
mod heads;
mod large;
mod packages;
mod sources;
mod suites;
mod swaps;

const PACKAGES: &str = "main/binary-amd64/Packages.gz";

/// One state of a suite `stable`: its index files, and which package files it names.
#[derive(Clone)]
struct State {
    indexes: Vec<(&'static str, Bytes)>,
    /// Further fields of the head.
    fields: &'static str,
}

impl State {
    /// With one index that names these files: path and content.
    fn naming(files: &[(&str, &[u8])]) -> Self {
        Self { indexes: vec![(PACKAGES, gzip(stanzas(files).as_bytes()))], fields: "" }
    }

    fn with(mut self, name: &'static str, bytes: &[u8]) -> Self {
        self.indexes.push((name, Bytes::copy_from_slice(bytes)));
        self
    }

    fn fields(self, fields: &'static str) -> Self {
        Self { fields, ..self }
    }

    fn head(&self) -> String {
        let files: Vec<(&str, &[u8])> = self.indexes.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        in_release("stable", self.fields, &files)
    }

    /// Sets the head on an upstream.
    fn publish_head(&self, upstream: &Upstream) {
        upstream.set(&at("InRelease"), Resource::new(self.head(), "text/plain"));
    }

    /// Sets the indexes by their names.
    fn publish_indexes(&self, upstream: &Upstream) {
        for (name, bytes) in &self.indexes {
            upstream.set(&at(name), Resource::file(bytes.clone()));
        }
    }

    /// Sets the indexes by their digests.
    fn publish_by_digest(&self, upstream: &Upstream) {
        for (name, bytes) in &self.indexes {
            upstream.set(&at(&by_digest(name, bytes)), Resource::file(bytes.clone()));
        }
    }

    /// Sets head and indexes by their names.
    fn publish(&self, upstream: &Upstream) {
        self.publish_head(upstream);
        self.publish_indexes(upstream);
    }

    fn index(&self, name: &str) -> &Bytes {
        &self.indexes.iter().find(|(of, _)| *of == name).expect("an index").1
    }
}

/// The head of a state without its signature.
fn flat_head(state: &State) -> String {
    let head = state.head();
    head.split("\n\n").nth(1).expect("a body").split("-----BEGIN").next().expect("a body").to_owned()
}

/// The address with the digest of an index, below the suite.
fn by_digest(name: &str, bytes: &[u8]) -> String {
    let folder = name.rsplit_once('/').expect("a folder").0;
    format!("{folder}/by-hash/SHA256/{}", HEXLOWER.encode(&Sha256::digest(bytes)))
}

/// A file of the suite, at the upstream.
fn at(name: &str) -> String {
    format!("{BASE}dists/stable/{name}")
}

/// A file of the suite, at the proxy.
fn here(name: &str) -> String {
    format!("/debian/dists/stable/{name}")
}

fn stanzas(files: &[(&str, &[u8])]) -> String {
    let mut text = String::new();
    for (path, bytes) in files {
        let digest = HEXLOWER.encode(&Sha256::digest(bytes));
        let _ = write!(text, "Package: lab\nFilename: {path}\nSize: {}\nSHA256: {digest}\n\n", bytes.len());
    }
    text
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory").into()
}

fn xz(bytes: &[u8]) -> Bytes {
    let mut encoder = XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory").into()
}

async fn start(upstream: &Upstream, tune: impl FnOnce(Manifest) -> Manifest) -> Rig {
    Rig::serve([tune(Manifest::of(&DEBIAN, upstream).with("upstream.retry.attempts", 0))]).await
}

/// The file of the suite, with status 200.
async fn get(rig: &Rig, name: &str) -> Answer {
    rig.get(&here(name)).await.expect_status(200)
}

/// Asks for the head until it is this one.
async fn until_head(rig: &Rig, state: &State) {
    let head = state.head();
    until("the new head", || async {
        let answer = rig.get(&here("InRelease")).await.expect_status(200);
        (answer.text() == head).then_some(())
    })
    .await;
}

/// A package file with a content of its own.
fn deb(content: &str) -> Bytes {
    Bytes::from(format!("!<arch>\n{content}"))
}

/// Head and then a file of the suite, on one connection as apt does it; the file, with status 200.
async fn update(rig: &Rig, name: &str) -> Answer {
    let asks = ["InRelease", name].map(|name| Ask::get(&here(name))).to_vec();
    let answers = rig.client().keep_alive(asks).await;
    answers.into_iter().flatten().last().expect("an answer").expect_status(200)
}
