//! Source packages: an index names the folder of each, and the files there with their digests.

use super::*;

const SOURCES: &str = "main/source/Sources.gz";

/// The files of one source package: names and contents.
struct Package {
    folder: String,
    files: Vec<(String, Bytes)>,
}

impl Package {
    fn new(name: &str) -> Self {
        let dsc = format!("Format: 3.0 (quilt)\nSource: {name}\nVersion: 1-1\n");
        let packed = |magic: &[u8], what: &str| Bytes::from([magic, format!("{what} of {name}").as_bytes()].concat());
        let files = [
            (format!("{name}_1-1.dsc"), dsc.into()),
            (format!("{name}_1.orig.tar.gz"), packed(b"\x1f\x8b\x08\0", "source")),
            (format!("{name}_1.orig.tar.gz.asc"), packed(b"", "signature")),
            (format!("{name}_1-1.debian.tar.xz"), packed(b"\xfd7zXZ\0", "changes")),
        ];
        Self { folder: format!("pool/main/{}/{name}", &name[..1]), files: files.to_vec() }
    }

    /// What an index says of it, as archives write it: weaker digests stand beside those that count.
    fn stanza(&self, directory_is_first: bool) -> String {
        let (directory, mut lists) = (format!("Directory: {}\n", self.folder), String::new());
        for (field, length) in [("Files", 32), ("Checksums-Sha1", 40), ("Checksums-Sha256", 64)] {
            let _ = writeln!(lists, "{field}:");
            for (name, bytes) in &self.files {
                let digest = HEXLOWER.encode(&Sha256::digest(bytes));
                let _ = writeln!(lists, " {} {} {name}", &digest[..length], bytes.len());
            }
        }
        let (first, last) = if directory_is_first { (directory, lists) } else { (lists, directory) };
        format!("Package: lab\nFormat: 3.0 (quilt)\n{first}Priority: optional\n{last}\n")
    }

    fn paths(&self) -> impl Iterator<Item = (String, &Bytes)> {
        self.files.iter().map(|(name, bytes)| (format!("{}/{name}", self.folder), bytes))
    }
}

fn publish(packages: &[Package]) -> State {
    let index: String = packages.iter().zip(0..).map(|(package, number)| package.stanza(number % 2 == 0)).collect();
    State { indexes: vec![(SOURCES, gzip(index.as_bytes()))], fields: "" }
}

/// The same length and the same first bytes, another content.
fn altered(bytes: &Bytes) -> Bytes {
    let (last, rest) = bytes.split_last().expect("a file");
    [rest, &[last ^ 1]].concat().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_of_a_source_package_is_verified_by_the_index() {
    let packages = [Package::new("alpha"), Package::new("gamma")];
    let [one, other] = &packages;
    let files: Vec<_> = one.paths().zip(other.paths()).chain(other.paths().zip(one.paths())).collect();
    // Bytes that nobody names, and those that the index names elsewhere: of the other package.
    for is_swapped in [false, true] {
        let upstream = Upstream::start().await;
        publish(&packages).publish(&upstream);
        let mut rig = start(&upstream, |manifest| manifest).await;
        get(&rig, "InRelease").await;
        get(&rig, SOURCES).await;
        for ((path, right), (_, other)) in &files {
            let wrong = if is_swapped { Bytes::clone(other) } else { altered(right) };
            assert_eq!(wrong.len(), right.len());
            upstream.set(&format!("{BASE}{path}"), Resource::file(wrong));
            rig.get(&format!("/debian/{path}")).await.expect_status(502);
        }
        let wrong = files.iter().map(|((_, right), _)| if is_swapped { Bytes::clone(right) } else { altered(right) });
        rig.until_written().await;
        for bytes in wrong {
            assert!(rig.stored_copies(&bytes).is_empty());
        }
        for ((path, right), _) in &files {
            upstream.set(&format!("{BASE}{path}"), Resource::file(Bytes::clone(right)));
            assert_eq!(rig.get(&format!("/debian/{path}")).await.expect_status(200).bytes(), *right, "{path}");
        }
        // All of it is here by now, and after a restart too.
        rig.until_written().await;
        upstream.stop().await;
        rig.restart().await;
        for ((path, right), _) in &files {
            let answer = rig.get(&format!("/debian/{path}")).await.expect_status(200);
            assert!(answer.is_hit() && answer.bytes() == *right, "{path}");
        }
    }
}
