//! The same in every ecosystem where nobody may have published a digest.

use bytes::Bytes;
use serde_json::json;
use tests::bytes_of::seeded;
use tests::fixture::go::{escaped, go_mod, module, zip};
use tests::fixture::{DEBIAN, GO, LARGE_LENGTH, MAVEN, SMALL_LENGTH};
use tests::{Ask, Protocol};

use super::*;

/// A file that nothing vouches for.
struct Case {
    protocol: &'static dyn Protocol,
    /// Below the proxy, and below the upstream's base.
    path: String,
    /// What a purge calls it.
    package: String,
    /// One content for each seed.
    of: fn(u64, usize) -> Bytes,
}

fn cases() -> [Case; 3] {
    let of = |protocol: &'static dyn Protocol, path: &str, package: &str, of| {
        let (path, package) = (path.to_owned(), package.to_owned());
        Case { protocol, path, package, of }
    };
    [
        of(&GO, &format!("{}/@v/v1.0.0.zip", escaped("lab")), &module("lab"), module_zip),
        of(&MAVEN, "org/lab/tiny/1.0/tiny-1.0.jar", "org.lab:tiny", |seed, length| seeded(b"PK\x03\x04", seed, length)),
        of(&DEBIAN, "pool/main/l/lab/lab_1_all.deb", "lab", |seed, length| seeded(b"!<arch>\n", seed, length)),
    ]
}

fn module_zip(seed: u64, length: usize) -> Bytes {
    zip(&format!("{}@v1.0.0", module("lab")), &go_mod("lab"), seed, length)
}

impl Case {
    /// An upstream that has the file and nothing else: no record, no digest beside it, no index.
    async fn start(&self, bytes: &Bytes) -> (Upstream, Rig) {
        let upstream = Upstream::start().await;
        self.publish(&upstream, bytes);
        let manifest = Manifest::of(self.protocol, &upstream)
            .with("upstream.checksumDatabase", json!(null))
            .with("upstream.retry.attempts", 0);
        let rig = Setup::default().manifest(manifest).argument("--blob-memory").argument("0").start().await;
        (upstream, rig)
    }

    fn publish(&self, upstream: &Upstream, bytes: &Bytes) {
        upstream.set(&format!("{BASE}{}", self.path), Resource::file(bytes.clone()));
    }

    fn here(&self) -> String {
        format!("/{}/{}", self.protocol.name(), self.path)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_were_published_anew_are_refused_until_a_purge() {
    for (case, length) in cases().into_iter().zip([SMALL_LENGTH; 3]).chain(cases().into_iter().zip([LARGE_LENGTH; 3])) {
        let what = format!("{}, {length} bytes", case.path);
        let (first, second) = ((case.of)(1, length), (case.of)(2, length));
        assert!(first != second && first.len() == second.len(), "{what}");
        let (upstream, rig) = case.start(&first).await;
        assert!(rig.get(&case.here()).await.expect_status(200).bytes() == &first, "{what}");
        rig.until_hit(&case.here()).await;
        rig.until_written().await;
        lose(&rig, &first);
        case.publish(&upstream, &second);
        let at = format!("{BASE}{}", case.path);
        for round in 0..3 {
            // What flows ends with its connection, perhaps before anything of it has been sent.
            let answer = match rig.client().open(Ask::get(&case.here())).await {
                Ok(open) => open.finish().await,
                Err(_) if round < 2 => continue,
                Err(error) => panic!("{what}: {error}"),
            };
            assert!(!answer.is_complete_success(), "{what}, round {round}: other bytes were served");
            // Who asks when it has failed twice is told why.
            if length == SMALL_LENGTH || round == 2 {
                let answer = answer.expect_status(502);
                assert!(answer.text().contains("purge"), "{what}: {}", answer.text());
            }
        }
        assert_eq!(upstream.count(&at), 1 + 2, "{what}: two tries, then a pause");
        rig.until_written().await;
        assert!(rig.stored_copies(&second).is_empty(), "{what}: other bytes were kept");
        purge(&rig, case.protocol.name(), &case.package).await;
        assert!(rig.get(&case.here()).await.expect_status(200).bytes() == &second, "{what}");
        assert!(rig.until_hit(&case.here()).await.bytes() == &second, "{what}");
    }
}
