//! What only repositories of Maven have: digests beside each file, files that may change, versions whose files belong
//! together.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use md5::Md5;
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use tests::bytes_of::seeded;
use tests::fixture::BASE;
use tests::{Manifest, Reply, Resource, Rig, Upstream};

mod checksums;
mod clients;
mod documents;
mod signatures;
mod snapshots;
mod sources;

const JAR: &str = "org/lab/tiny/1.0/tiny-1.0.jar";
const POM: &str = "org/lab/tiny/1.0/tiny-1.0.pom";
const METADATA: &str = "org/lab/tiny/maven-metadata.xml";
/// Longer than what is answered at once.
const LONG: usize = 300_000;

struct Repository {
    upstream: Upstream,
    rig: Rig,
}

impl Repository {
    async fn new() -> Self {
        Self::with(|manifest| manifest).await
    }

    async fn with(tune: impl FnOnce(Manifest) -> Manifest) -> Self {
        let upstream = Upstream::start().await;
        let manifest = Manifest::at("maven", "maven", &upstream.url(BASE)).with("upstream.retry.attempts", 0);
        let rig = Rig::serve([tune(manifest)]).await;
        Self { upstream, rig }
    }

    /// Puts a file and its SHA-1 on the upstream.
    fn put(&self, path: &str, bytes: &Bytes) {
        self.set(path, Resource::file(bytes.clone()));
        self.put_digest(path, &hex::<Sha1>(bytes));
    }

    fn put_digest(&self, path: &str, digest: &str) {
        self.set(&format!("{path}.sha1"), Resource::new(digest.to_owned(), "text/plain"));
    }

    fn set(&self, path: &str, with: impl Into<tests::upstream::Scripted>) {
        self.upstream.set(&format!("{BASE}{path}"), with);
    }

    async fn get(&self, path: &str) -> tests::Answer {
        self.rig.get(&format!("/maven/{path}")).await
    }

    async fn until_hit(&self, path: &str) -> tests::Answer {
        self.rig.until_hit(&format!("/maven/{path}")).await
    }

    fn asked(&self, path: &str) -> usize {
        self.upstream.count(&format!("{BASE}{path}"))
    }

    /// How often bytes were passed on that their digest does not fit.
    async fn unverified(&self) -> u64 {
        self.rig.metrics().await.sum("packageproxy_unverified_total", &[])
    }
}

fn file(seed: u64, length: usize) -> Bytes {
    seeded(b"PK", seed, length)
}

fn hex<D: Digest>(bytes: &[u8]) -> String {
    HEXLOWER.encode(&D::digest(bytes))
}

/// Extension and digest of everything that lies beside a file.
fn digests(bytes: &[u8]) -> [(&'static str, String); 4] {
    [
        ("md5", hex::<Md5>(bytes)),
        ("sha1", hex::<Sha1>(bytes)),
        ("sha256", hex::<Sha256>(bytes)),
        ("sha512", hex::<Sha512>(bytes)),
    ]
}

fn metadata(version: usize) -> Resource {
    Resource::new(format!("<metadata><versioning><release>1.{version}</release></versioning></metadata>"), "text/xml")
}

/// Another repository that is asked for what the first lacks.
fn adding(manifest: Manifest, other: &Upstream) -> Manifest {
    manifest.with("upstream.fallbacks", json!([{"url": other.url(BASE), "when": "NotFound"}]))
}

/// A wrong answer for a digest: none, or one that is none.
fn no_digests() -> Vec<(&'static str, Reply)> {
    let page = "<!DOCTYPE html><html><body>Please sign in</body></html>";
    vec![
        ("absent", Reply::new(404)),
        ("refused", Reply::new(403)),
        ("a page", Reply::ok(page).header("Content-Type", "text/html")),
        ("empty", Reply::ok("")),
        ("cut", Reply::ok("da39a3ee5e6b4b0d3255bfef9560189")),
        ("endless", Reply::ok(vec![b'a'; 200_000])),
    ]
}
