//! Clients that are not on this machine: their requests, in their order.

use tests::Ask;
use tests::wait::until;

use super::*;

/// A current Gradle: the marker of a plug-in, poms, then module metadata where a pom says that there is some, then
/// files; and HEADs when it is to look whether anything is new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gradle_with_module_metadata_and_plugin_markers() {
    let repository = Repository::with(|manifest| manifest.with("cache.metadataTTL", "1h")).await;
    let marker = "org/lab/plugin/org.lab.plugin.gradle.plugin/1.0/org.lab.plugin.gradle.plugin-1.0.pom";
    let module = "org/lab/tiny/1.0/tiny-1.0.module";
    let pom = "<!-- do_not_remove: published-with-gradle-metadata --><project/>";
    let files = [
        (marker, Bytes::from_static(b"<project/>")),
        (POM, Bytes::from_static(pom.as_bytes())),
        (module, Bytes::from_static(br#"{"formatVersion":"1.1","variants":[{"files":[{"url":"tiny-1.0.jar"}]}]}"#)),
        (JAR, file(1, LONG)),
    ];
    for (path, bytes) in &files {
        repository.put(path, bytes);
    }
    repository.set(METADATA, metadata(1));
    let ask = |path: &str| Ask::get(&format!("/maven/{path}")).header("User-Agent", "Gradle/9.0 (Linux;6.1;amd64)");
    repository.rig.send(ask(METADATA)).await.expect_status(200);
    for (path, bytes) in &files {
        let answer = repository.rig.send(ask(path)).await.expect_status(200);
        assert!(answer.bytes() == bytes, "{path}");
    }
    assert_eq!(repository.until_hit(module).await.header("content-type"), "application/vnd.org.gradle.module+json");
    // What it does not find it looks for under another name.
    repository.rig.send(ask("org/lab/tiny/1.0/tiny-1.0-sources.jar")).await.expect_status(404);
    let asked = repository.upstream.total();
    for path in [METADATA, marker, POM, module, JAR] {
        let kept = repository.until_hit(path).await;
        let head = Ask::head(&format!("/maven/{path}")).header("Cache-Control", "max-age=0");
        let head = repository.rig.send(head).await.expect_status(200);
        for name in ["etag", "last-modified", "content-length"] {
            assert_eq!(head.header(name), kept.header(name), "{path}: {name}");
            assert!(!head.header(name).is_empty(), "{path}: {name}");
        }
        let sha1 = repository.rig.send(ask(&format!("{path}.sha1"))).await.expect_status(200).text();
        assert_eq!(sha1, hex::<Sha1>(kept.bytes()), "{path}");
    }
    assert_eq!(repository.upstream.total(), asked, "a client that looks whether anything is new finds it here");
}

/// Maven asks for no cache and means its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_cache_is_a_hit() {
    let repository = Repository::new().await;
    repository.put(JAR, &file(1, LONG));
    repository.get(JAR).await.expect_status(200);
    until("a hit", || async {
        let ask = Ask::get(&format!("/maven/{JAR}"))
            .header("Cache-control", "no-cache")
            .header("Cache-store", "no-store")
            .header("Pragma", "no-cache")
            .header("Expires", "0")
            .header("Accept-Encoding", "gzip,deflate");
        let answer = repository.rig.send(ask).await.expect_status(200);
        assert_eq!(answer.header("content-encoding"), "");
        answer.is_hit().then_some(())
    })
    .await;
    assert_eq!(repository.asked(JAR), 1);
}

/// A pom that says only where the artifact went: the client follows it, and asks for no file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relocated_artifact_has_a_pom_only() {
    let repository = Repository::new().await;
    let pom = "<project><distributionManagement><relocation><groupId>org.new</groupId></relocation>\
               </distributionManagement></project>";
    repository.put(POM, &Bytes::from_static(pom.as_bytes()));
    let answer = repository.get(POM).await.expect_status(200);
    assert_eq!((answer.text().as_str(), answer.header("content-type")), (pom, "text/xml"));
    repository.get(JAR).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploying_is_refused_with_the_way_out() {
    let repository = Repository::new().await;
    for path in [JAR.to_owned(), format!("{JAR}.sha1"), METADATA.to_owned()] {
        let put = Ask::new(http::Method::PUT, &format!("/maven/{path}")).body("x");
        let answer = repository.rig.send(put).await.expect_status(405);
        assert!(answer.text().contains("distributionManagement"), "{}", answer.text());
    }
    assert_eq!(repository.upstream.total(), 0);
}
