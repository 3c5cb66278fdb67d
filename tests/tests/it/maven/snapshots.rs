//! Versions that are not released yet.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tests::wait::until;

use super::*;

const CHANGING: &str = "org/lab/tiny/1-SNAPSHOT/tiny-1-SNAPSHOT.jar";
const MEBIBYTE: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_a_time_in_its_name_is_asked_again() {
    let repository = Repository::with(|manifest| manifest.with("cache.metadataTTL", "1s")).await;
    let (old, new) = (file(1, LONG), file(2, LONG));
    repository.put(CHANGING, &old);
    let first = repository.get(CHANGING).await.expect_status(200);
    assert!(first.bytes() == &old && !first.header("cache-control").contains("immutable"), "{:?}", first.headers);
    assert_eq!(first.header("content-type"), "application/java-archive");
    repository.put(CHANGING, &new);
    let second = until("the new file", || async {
        let answer = repository.get(CHANGING).await.expect_status(200);
        (answer.bytes() == &new).then_some(answer)
    })
    .await;
    let asked = repository.asked(&format!("{CHANGING}.sha1"));
    for (extension, digest) in digests(second.bytes()) {
        assert_eq!(repository.get(&format!("{CHANGING}.{extension}")).await.expect_status(200).text(), digest);
    }
    assert_eq!(repository.asked(&format!("{CHANGING}.sha1")), asked, "told of the bytes that are here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_a_time_in_its_name_never_changes() {
    let repository = Repository::with(Manifest::always_revalidating).await;
    let path = "org/lab/tiny/1-SNAPSHOT/tiny-1-20261120.101010-1.jar";
    repository.put(path, &file(1, LONG));
    repository.get(path).await.expect_status(200);
    assert!(repository.until_hit(path).await.header("cache-control").contains("immutable"));
    assert_eq!(repository.asked(path), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_or_nothing_is_no_such_file() {
    let repository = Repository::new().await;
    let labelled = |kind: &str, body: &'static str| Reply::ok(body).header("Content-Type", kind);
    let page = "<!DOCTYPE html><html>login</html>";
    for path in [CHANGING.to_owned(), format!("{METADATA}.asc")] {
        for reply in [
            labelled("text/html", page),
            labelled("Text/HTML; charset=utf-8", "sign in"),
            labelled("application/xhtml+xml", "<?xml version=\"1.0\"?>"),
            labelled("application/java-archive", page),
            labelled("application/octet-stream", "{\"errors\":[\"login\"]}"),
            Reply::ok(page),
            Reply::ok(""),
        ] {
            let what = format!("{path}: {reply:?}");
            repository.set(&path, reply);
            assert_eq!(repository.get(&path).await.status, 502, "{what}");
        }
    }
    // Where the repository says that this is the file, it is.
    let report = Bytes::from_static(page.as_bytes());
    let path = CHANGING.replace(".jar", "-report.html");
    repository.put(&path, &report);
    repository.set(&path, labelled("text/html", page));
    assert_eq!(repository.get(&path).await.expect_status(200).bytes(), &report);
}

/// Servers that take the ending for a content coding label such a file so, whatever was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_compressed_itself_stays_so() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&file(1, 3_000)).unwrap();
    let bytes = Bytes::from(gzip.finish().unwrap());
    for (coding, has_digest) in [("x-gzip", true), ("gzip", false)] {
        let repository = Repository::new().await;
        let path = CHANGING.replace(".jar", ".tar.gz");
        repository.set(&path, Resource::file(bytes.clone()).header("Content-Encoding", coding));
        if has_digest {
            repository.put_digest(&path, &hex::<Sha1>(&bytes));
        }
        let answer = repository.get(&path).await.expect_status(200);
        assert!(answer.bytes() == &bytes, "{coding}");
        assert_eq!(answer.header("content-encoding"), "");
        for (extension, digest) in digests(&bytes) {
            assert_eq!(repository.get(&format!("{path}.{extension}")).await.expect_status(200).text(), digest);
        }
        assert_eq!(repository.unverified().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coding_that_nobody_asked_for_is_undone() {
    let text = "<project><name>tiny</name></project>\n".repeat(90);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let repository = Repository::new().await;
    let path = CHANGING.replace(".jar", ".pom");
    repository.set(&path, Resource::file(gzip.finish().unwrap()).header("Content-Encoding", "gzip"));
    repository.put_digest(&path, &hex::<Sha1>(text.as_bytes()));
    let answer = repository.get(&path).await.expect_status(200);
    assert_eq!((answer.text(), answer.header("content-encoding")), (text, ""));
    assert_eq!(repository.unverified().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_one_is_never_in_memory() {
    let repository =
        Repository::with(|manifest| manifest.with("cache.maxMetadataSize", "1Mi").with("upstream.readTimeout", "60s"))
            .await;
    let bytes = file(1, 192 * MEBIBYTE);
    repository.put(CHANGING, &bytes);
    let before = repository.rig.peak_memory();
    for _ in 0..2 {
        let ask = tests::Ask::get(&format!("/maven/{CHANGING}")).header("Accept-Encoding", "gzip");
        let open = repository.rig.client().open(ask).await.unwrap();
        assert_eq!(open.status, 200);
        assert!(open.equals(&bytes).await);
    }
    let sha512 = repository.get(&format!("{CHANGING}.sha512")).await.expect_status(200).text();
    assert_eq!(sha512, hex::<Sha512>(&bytes));
    let grown = (repository.rig.peak_memory() - before) / MEBIBYTE as u64;
    assert!(grown < 64, "{grown} MiB for a file of 192");
}
