//! Suites of several components and architectures: each package is what the index of its own says.

use super::*;

/// Index, how it is packed, and the package that it alone names.
type Part = (&'static str, fn(&[u8]) -> Bytes, &'static str);

const PARTS: [Part; 5] = [
    ("main/binary-amd64/Packages.xz", xz, "pool/main/l/lab/lab_1_amd64.deb"),
    ("main/binary-arm64/Packages.gz", gzip, "pool/main/l/lab/lab_1_arm64.deb"),
    ("main/debian-installer/binary-amd64/Packages.xz", xz, "pool/main/l/lab/lab_1_amd64.udeb"),
    ("contrib/binary-amd64/Packages", Bytes::copy_from_slice, "pool/contrib/l/lab/lab_1_amd64.deb"),
    ("contrib/binary-arm64/Packages.xz", xz, "pool/contrib/l/lab/lab_1_arm64.deb"),
];
/// The indexes of every architecture name it.
const SHARED: &str = "pool/main/s/shared/shared_1_all.deb";

/// The content of a package: all are of one length, so that nothing but the digest tells them apart.
fn content(path: &str) -> Bytes {
    deb(&format!("{path:>60}"))
}

fn suite() -> State {
    let shared = content(SHARED);
    let index = |&(name, pack, path): &Part| {
        let own = content(path);
        let others = name.starts_with("main/binary-").then_some((SHARED, &shared[..]));
        let files: Vec<_> = others.into_iter().chain([(path, &own[..])]).collect();
        (name, pack(stanzas(&files).as_bytes()))
    };
    State { indexes: PARTS.iter().map(index).collect(), fields: "" }
}

async fn package(rig: &Rig, path: &str) -> Answer {
    rig.get(&format!("/debian/{path}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_package_is_verified_by_the_index_of_its_component_and_architecture() {
    let paths: Vec<&str> = PARTS.iter().map(|&(_, _, path)| path).chain([SHARED]).collect();
    // What is right for another package is wrong for this one: each other one's bytes, and those of nobody.
    for shift in 1..=paths.len() {
        let upstream = Upstream::start().await;
        suite().publish(&upstream);
        let mut rig = start(&upstream, |manifest| manifest.with("cache.metadataTTL", "1h")).await;
        get(&rig, "InRelease").await;
        for (name, ..) in PARTS {
            assert_eq!(get(&rig, name).await.bytes(), suite().index(name), "{name}");
        }
        rig.until_written().await;
        if shift % 2 == 0 {
            rig.restart().await;
        }
        for (number, path) in paths.iter().enumerate() {
            let is_of_nobody = shift == paths.len();
            let wrong = content(if is_of_nobody { "nobody" } else { paths[(number + shift) % paths.len()] });
            upstream.set(&format!("{BASE}{path}"), Resource::file(wrong));
            package(&rig, path).await.expect_status(502);
        }
        rig.until_written().await;
        for wrong in paths.iter().chain([&"nobody"]) {
            assert!(rig.stored_copies(&content(wrong)).is_empty(), "{wrong}");
        }
        for path in &paths {
            upstream.set(&format!("{BASE}{path}"), Resource::file(content(path)));
            assert_eq!(package(&rig, path).await.expect_status(200).bytes(), &content(path), "{path}");
        }
        for (name, ..) in PARTS {
            assert_eq!(upstream.count(&at(name)), 1, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_says_nothing_of_what_another_one_names() {
    for (read, _, own) in PARTS {
        let upstream = Upstream::start().await;
        suite().publish(&upstream);
        let rig = start(&upstream, |manifest| manifest).await;
        get(&rig, "InRelease").await;
        get(&rig, read).await;
        for (_, _, path) in PARTS {
            let wrong = content("nobody's");
            upstream.set(&format!("{BASE}{path}"), Resource::file(wrong.clone()));
            // Of the other indexes none is here: the first bytes seen count.
            package(&rig, path).await.expect_status(if path == own { 502 } else { 200 });
        }
    }
}
