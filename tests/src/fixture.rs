//! Tiny registries: one package with its releases, laid out on a scripted upstream as an ecosystem's registry would.

use bytes::Bytes;
use serde_json::Value;

use crate::bytes_of::seeded;
use crate::upstream::{Resource, Upstream};

pub use cargo::CARGO;
pub use container::CONTAINER;
pub use debian::DEBIAN;
pub use go::GO;
pub use maven::MAVEN;
pub use npm::NPM;
pub use pypi::PYPI;

mod cargo;
pub mod container;
pub mod debian;
pub mod go;
mod maven;
mod npm;
mod pypi;

/// Path of the registry on the upstream: not the root, so that leaving it can be noticed.
pub const BASE: &str = "/registry/one/";

/// How one ecosystem lays out a registry. One value a file of this folder.
pub trait Protocol: Sync {
    /// `spec.ecosystem`; the proxies of the tests have the same name.
    fn name(&self) -> &'static str;
    /// The first bytes that every artifact has.
    fn magic(&self) -> &'static [u8];
    /// The bytes of a release's file, of about this length and different for each seed.
    fn file(&self, _package: &str, _version: &str, seed: u64, length: usize) -> Bytes {
        seeded(self.magic(), seed, length)
    }
    /// Fields of `spec` that the proxies of the tests have besides the usual ones.
    fn settings(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
    /// `Content-Type` that the proxy gives the main document when nothing is asked for in particular.
    fn metadata_type(&self) -> &'static str;
    /// The package's main document, below the proxy.
    fn metadata(&self, package: &str) -> String;
    /// The package's main document, below the upstream's base.
    fn upstream_metadata(&self, package: &str) -> String;
    /// A release's file, below the proxy.
    fn artifact(&self, package: &str, version: &str) -> String;
    /// A release's file, below the base of whatever holds the files.
    fn upstream_artifact(&self, package: &str, version: &str) -> String;
    /// The file of a release, where its address follows from its bytes; see [`Self::artifact`].
    fn artifact_of(&self, package: &str, release: &Release) -> String {
        self.artifact(package, &release.version)
    }
    /// See [`Self::artifact_of`] and [`Self::upstream_artifact`].
    fn upstream_artifact_of(&self, package: &str, release: &Release) -> String {
        self.upstream_artifact(package, &release.version)
    }
    /// The cases of the conformance suite that mean nothing in this protocol, each with the reason.
    fn lacks(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// Whether a file that turns out wrong before any of it is sent is asked for once more at once, past caches.
    fn tries_again(&self) -> bool {
        false
    }
    /// Every document of the registry: the path below the upstream's base, and what it answers. `files` is the base
    /// of the files, which need not be the upstream; it ends in `/`.
    fn documents(&self, package: &Package, files: &str) -> Vec<(String, Resource)>;
    /// Requests below the proxy for every rewritten form: path and `Accept`.
    fn forms(&self, package: &str) -> Vec<(String, &'static str)>;
    /// The versions that the main document lists.
    fn versions(&self, metadata: &[u8]) -> Vec<String>;
    /// The document whose link leads clients to the files: path below the proxy.
    fn linking(&self, package: &str) -> String;
    /// The absolute links of that document for one release, resolved against the document's own address.
    fn link(&self, document: &str, at: &str, package: &str, version: &str) -> Option<String>;
}

/// A package and what was published of it.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its canonical name.
    pub name: String,
    /// Its releases, oldest first.
    pub releases: Vec<Release>,
}

/// One version with its one file.
#[derive(Clone, Debug)]
pub struct Release {
    /// The version.
    pub version: String,
    /// The bytes that the documents give the digest of.
    pub bytes: Bytes,
}

/// A registry of one package on an upstream.
pub struct Fixture {
    /// The ecosystem.
    pub protocol: &'static dyn Protocol,
    /// The package.
    pub package: Package,
    /// Base of the files in the documents; `None`: the upstream's own.
    pub files: Option<String>,
}

/// Length of the file of release [`SMALL`].
pub const SMALL_LENGTH: usize = 3_000;
/// Length of the file of release [`LARGE`].
pub const LARGE_LENGTH: usize = 700_000;
/// The release whose file is below the 64 KiB from which artifacts flow.
pub const SMALL: usize = 0;
/// The release whose file is above them.
pub const LARGE: usize = 1;

impl Fixture {
    /// A package with two releases, [`SMALL`] and [`LARGE`].
    pub fn new(protocol: &'static dyn Protocol) -> Self {
        let package = Package { name: "tiny-lab".to_owned(), releases: Vec::new() };
        let mut fixture = Self { protocol, package, files: None };
        fixture.publish("1.0.0", SMALL_LENGTH);
        fixture.publish("1.1.0", LARGE_LENGTH);
        fixture
    }

    /// Adds a release; [`Self::install`] makes it visible. Returns its index.
    pub fn publish(&mut self, version: &str, length: usize) -> usize {
        let seed = self.package.releases.len() as u64 + 1;
        let bytes = self.protocol.file(&self.package.name, version, seed, length);
        self.package.releases.push(Release { version: version.to_owned(), bytes });
        self.package.releases.len() - 1
    }

    /// Sets every document and file on the upstream.
    pub fn install(&self, upstream: &Upstream) {
        self.install_documents(upstream);
        for (index, release) in self.package.releases.iter().enumerate() {
            upstream.set(&self.upstream_artifact(index), Resource::file(release.bytes.clone()));
        }
    }

    /// Sets every document, and no file, on the upstream.
    pub fn install_documents(&self, upstream: &Upstream) {
        let files = self.files.clone().unwrap_or_else(|| upstream.url(BASE));
        for (path, resource) in self.protocol.documents(&self.package, &files) {
            upstream.set(&format!("{BASE}{path}"), resource);
        }
    }

    /// The main document, on the proxy.
    pub fn metadata(&self) -> String {
        format!("/{}/{}", self.protocol.name(), self.protocol.metadata(&self.package.name))
    }

    /// The main document, on the upstream.
    pub fn upstream_metadata(&self) -> String {
        format!("{BASE}{}", self.protocol.upstream_metadata(&self.package.name))
    }

    /// The main document as the upstream serves it.
    ///
    /// # Panics
    /// If the protocol does not list it among its documents.
    pub fn document(&self, upstream: &Upstream) -> Resource {
        let files = self.files.clone().unwrap_or_else(|| upstream.url(BASE));
        let wanted = self.protocol.upstream_metadata(&self.package.name);
        let documents = self.protocol.documents(&self.package, &files);
        let found = documents.into_iter().find(|(path, _)| *path == wanted);
        found.expect("the main document is among the documents").1
    }

    /// The file of a release, on the proxy.
    pub fn artifact(&self, release: usize) -> String {
        let release = &self.package.releases[release];
        format!("/{}/{}", self.protocol.name(), self.protocol.artifact_of(&self.package.name, release))
    }

    /// The file of a release, on the upstream (or below any other origin's [`BASE`]).
    pub fn upstream_artifact(&self, release: usize) -> String {
        let release = &self.package.releases[release];
        format!("{BASE}{}", self.protocol.upstream_artifact_of(&self.package.name, release))
    }

    /// The true bytes of a release's file.
    pub fn bytes(&self, release: usize) -> &Bytes {
        &self.package.releases[release].bytes
    }

    /// Every rewritten form, on the proxy: path and `Accept`.
    pub fn forms(&self) -> Vec<(String, &'static str)> {
        let below = |(path, accept)| (format!("/{}/{path}", self.protocol.name()), accept);
        self.protocol.forms(&self.package.name).into_iter().map(below).collect()
    }

    /// The document with the links to the files, on the proxy.
    pub fn linking(&self) -> String {
        format!("/{}/{}", self.protocol.name(), self.protocol.linking(&self.package.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Ask, Client};

    #[tokio::test]
    async fn registries_are_complete() {
        for protocol in [&NPM as &'static dyn Protocol, &PYPI, &CARGO, &CONTAINER, &DEBIAN, &GO, &MAVEN] {
            let upstream = Upstream::start().await;
            let mut fixture = Fixture::new(protocol);
            fixture.publish("2.0.0", 10);
            fixture.install(&upstream);
            let client = Client::new(upstream.address());
            let main = client.get(&fixture.upstream_metadata()).await.expect_status(200);
            assert_eq!(protocol.versions(main.bytes()), ["1.0.0", "1.1.0", "2.0.0"], "{}", protocol.name());
            for (index, release) in fixture.package.releases.iter().enumerate() {
                let file = client.get(&fixture.upstream_artifact(index)).await.expect_status(200);
                assert_eq!(file.bytes(), &release.bytes);
                assert!(file.bytes().starts_with(protocol.magic()));
            }
            for (path, accept) in protocol.forms(&fixture.package.name) {
                let ask = Ask::get(&format!("{BASE}{path}")).header("Accept", accept);
                let document = client.send(ask).await.expect_status(200).text();
                let named = ["tiny-lab", "/crates/", "v2.0.0"].iter().any(|name| document.contains(name));
                assert!(named, "{path} {document}");
            }
        }
    }

    #[test]
    fn links_of_documents() {
        let at = "http://registry.example/pypi/simple/tiny-lab/";
        let page = r#"<a href="../../files/tiny-lab/tiny_lab-1.0.0-py3-none-any.whl#sha256=00">x</a>"#;
        assert_eq!(
            PYPI.link(page, at, "tiny-lab", "1.0.0").unwrap(),
            "http://registry.example/pypi/files/tiny-lab/tiny_lab-1.0.0-py3-none-any.whl"
        );
        let config = r#"{"dl":"http://registry.example/cargo/api/v1/crates"}"#;
        assert_eq!(
            CARGO.link(config, "", "tiny-lab", "1.0.0").unwrap(),
            "http://registry.example/cargo/api/v1/crates/tiny-lab/1.0.0/download"
        );
    }
}
