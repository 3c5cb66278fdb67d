//! Digests beside files: those of the bytes that are served, and a guard against wrong ones.

use tests::bytes_of::corrupted;
use tests::wait::until;
use tests::{Ask, Gate};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digests_are_those_of_the_bytes_served() {
    // Asked for before the file, after it, and of a file that is answered while it arrives.
    for (length, file_first) in [(3_000, false), (3_000, true), (LONG, false), (LONG, true)] {
        let repository = Repository::new().await;
        let bytes = file(1, length);
        repository.put(JAR, &bytes);
        if file_first {
            assert!(repository.get(JAR).await.expect_status(200).bytes() == &bytes);
        }
        for (extension, digest) in digests(&bytes) {
            let answer = repository.get(&format!("{JAR}.{extension}")).await.expect_status(200);
            assert_eq!(answer.text(), digest, "{extension}");
            let head = repository.rig.send(Ask::head(&format!("/maven/{JAR}.{extension}"))).await.expect_status(200);
            assert_eq!(head.header("content-length"), digest.len().to_string());
        }
        let kept = repository.until_hit(JAR).await;
        assert!(kept.bytes() == &bytes);
        for (extension, digest) in digests(&bytes) {
            assert_eq!(kept.header(&format!("x-checksum-{extension}")), digest);
        }
        assert_eq!((repository.asked(JAR), repository.asked(&format!("{JAR}.sha1"))), (1, 1), "{length} {file_first}");
        assert_eq!(repository.upstream.total(), 2, "nothing else is asked for");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_hold_every_place_do_not_keep_their_own_digests_out() {
    let tune =
        |manifest: Manifest| manifest.with("upstream.maxConcurrentRequests", 1).with("upstream.queueTimeout", "50ms");
    let repository = Repository::with(tune).await;
    let (bytes, gate) = (file(1, LONG), Gate::shut());
    repository.put(JAR, &bytes);
    let slow = Resource::file(bytes.clone());
    repository.set(JAR, slow.head().bytes(bytes.slice(..1000)).hold(&gate).bytes(bytes.slice(1000..)));
    let (client, ask) = (repository.rig.client(), Ask::get(&format!("/maven/{JAR}")));
    let asked = tokio::spawn(async move { client.send(ask).await });
    // The look for its digest has found no place, more than once.
    until("looks in vain", || async {
        let failed = [("outcome", "error")];
        (repository.rig.metrics().await.sum("packageproxy_upstream_requests_total", &failed) >= 3).then_some(())
    })
    .await;
    assert_eq!(repository.asked(&format!("{JAR}.sha1")), 0);
    gate.open();
    assert!(asked.await.unwrap().expect_status(200).bytes() == &bytes);
    assert_eq!(repository.asked(&format!("{JAR}.sha1")), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_absent_has_no_digest() {
    let repository = Repository::new().await;
    repository.put_digest(JAR, &hex::<Sha1>(b""));
    for path in [JAR, POM, METADATA] {
        repository.get(&format!("{path}.sha1")).await.expect_status(404);
        repository.get(path).await.expect_status(404);
    }
    repository.get(&format!("{JAR}.sha1.sha1")).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_digest_keeps_the_file_out() {
    for length in [3_000, LONG] {
        let repository = Repository::new().await;
        let bytes = file(1, length);
        repository.put(JAR, &bytes);
        // That of another file.
        repository.put_digest(JAR, &hex::<Sha1>(b"other"));
        for path in [JAR.to_owned(), format!("{JAR}.sha1"), JAR.to_owned(), format!("{JAR}.md5")] {
            assert!(!repository.get(&path).await.is_complete_success(), "{path}");
        }
        assert_eq!(repository.asked(JAR), 2, "refetched once, then left alone for a while");
        assert_eq!(repository.asked(&format!("{JAR}.sha1")), 2, "the digest is refetched too");
        repository.rig.until_written().await;
        assert!(repository.rig.stored_copies(&bytes).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_digest_is_none() {
    for (kind, reply) in no_digests() {
        for length in [3_000, LONG] {
            let repository = Repository::new().await;
            let bytes = file(1, length);
            repository.put(JAR, &bytes);
            repository.set(&format!("{JAR}.sha1"), reply.clone());
            assert!(repository.get(JAR).await.expect_status(200).bytes() == &bytes, "{kind}");
            let sha1 = repository.get(&format!("{JAR}.sha1")).await.expect_status(200).text();
            assert_eq!(sha1, hex::<Sha1>(&bytes), "{kind}");
            assert_eq!(repository.asked(&format!("{JAR}.sha256")), 1, "{kind}: the next one is asked for");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_digest_does_where_the_usual_one_is_absent() {
    let bytes = file(1, LONG);
    for (extension, digest) in digests(&bytes).into_iter().filter(|(extension, _)| *extension != "sha1") {
        let repository = Repository::new().await;
        repository.set(JAR, Resource::file(corrupted(&bytes)));
        let digest = Resource::new(format!("{}  tiny-1.0.jar\n", digest.to_uppercase()), "text/plain");
        repository.set(&format!("{JAR}.{extension}"), digest);
        assert!(!repository.get(JAR).await.is_complete_success(), "{extension}");
        repository.set(JAR, Resource::file(bytes.clone()));
        assert!(repository.get(JAR).await.expect_status(200).bytes() == &bytes, "{extension}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_cannot_be_learned_is_not_an_absent_one() {
    let repository = Repository::new().await;
    let bytes = file(1, LONG);
    repository.put(JAR, &bytes);
    repository.set(&format!("{JAR}.sha1"), Reply::new(503));
    assert!(!repository.get(JAR).await.is_complete_success());
    repository.put(JAR, &bytes);
    assert!(repository.get(JAR).await.expect_status(200).bytes() == &bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_in_the_answer_spares_a_request() {
    let bytes = file(1, LONG);
    let right = hex::<Sha1>(&bytes);
    let wrong = hex::<Sha1>(b"");
    for (name, value, accepted) in [
        ("X-Checksum-Sha1", right.clone(), true),
        ("X-Checksum-Sha512", hex::<Sha512>(&bytes), true),
        ("ETag", format!("\"{{SHA1{{{right}}}}}\""), true),
        ("X-Checksum-Sha1", wrong.clone(), false),
        ("X-Checksum-Md5", hex::<Md5>(b""), false),
        ("ETag", format!("\"{{SHA1{{{wrong}}}}}\""), false),
    ] {
        let repository = Repository::new().await;
        repository.put(JAR, &bytes);
        repository.set(JAR, Reply::ok(bytes.clone()).header(name, &value));
        assert_eq!(repository.get(JAR).await.is_complete_success(), accepted, "{name}: {value}");
        assert_eq!(repository.asked(&format!("{JAR}.sha1")), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_in_place_of_a_file_without_digest_is_refused() {
    let repository = Repository::new().await;
    for path in [JAR, POM, "org/lab/tiny/1.0/tiny-1.0-javadoc.jar"] {
        repository.set(path, Reply::ok(vec![b' '; LONG]).header("Content-Type", "text/html;charset=utf-8"));
        repository.get(path).await.expect_status(502);
    }
    // A true file that is only labelled so.
    repository.put(JAR, &file(1, LONG));
    repository.set(JAR, Reply::ok(file(1, LONG)).header("Content-Type", "text/html"));
    let answer = repository.get(JAR).await.expect_status(200);
    assert_eq!(answer.header("content-type"), "application/java-archive");
}

const PAGE: &str = "<!DOCTYPE html><html><body>Please sign in</body></html>";

/// What a registry answers that has lost its mind, or asks for a log-in: no file at all.
fn no_files() -> [(&'static str, Reply); 3] {
    [
        ("a page", Reply::ok(PAGE).header("Content-Type", "text/html")),
        ("nothing", Reply::ok("").header("Content-Type", "application/java-archive")),
        ("an empty page", Reply::ok("").header("Content-Type", "text/html; charset=utf-8")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_page_nor_nothing_is_kept_where_no_digest_tells() {
    let repository = Repository::with(|manifest| manifest.with("cache.negativeTTL", "0s")).await;
    for (number, path) in [JAR, POM].into_iter().enumerate() {
        let mislabelled = [
            ("a page that is labelled as a file", Reply::ok(PAGE).header("Content-Type", "application/octet-stream")),
            ("an error", Reply::ok(r#"{"errors":["sign in"]}"#).header("Content-Type", "application/json")),
        ];
        for (kind, reply) in no_files().into_iter().chain(mislabelled) {
            repository.set(path, reply);
            let asked = repository.asked(path);
            for _ in 0..2 {
                let answer = repository.get(path).await.expect_status(502);
                assert!(!answer.text().contains("sign in"), "{path}, {kind}: {}", answer.text());
            }
            repository.rig.until_written().await;
            assert!(repository.rig.stored_copies(PAGE.as_bytes()).is_empty(), "{path}, {kind}");
            assert_eq!(repository.asked(path), asked + 2, "{path}, {kind}: it was kept");
        }
        // The true file comes at once.
        let right = file(number as u64, 3_000);
        repository.set(path, Resource::file(right.clone()));
        assert!(repository.get(path).await.expect_status(200).bytes() == &right, "{path}");
        assert!(repository.until_hit(path).await.bytes() == &right, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_a_page_is_no_file_where_no_digest_tells() {
    let repository = Repository::with(|manifest| manifest.with("cache.negativeTTL", "0s")).await;
    let mut taken = Vec::new();
    for path in [JAR, POM] {
        for (kind, reply) in no_files() {
            repository.set(path, reply);
            let answer = repository.rig.send(tests::Ask::head(&format!("/maven/{path}"))).await;
            if answer.status != 502 {
                taken.push(format!("{path}, {kind}: {}", answer.status));
            }
        }
    }
    assert_eq!(taken, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_and_its_digest_stay_in_step() {
    // Asked again each time, and left to expire while the upstream never stands still.
    for lifetime in ["0s", "50ms"] {
        let repository = Repository::with(|manifest| manifest.with("cache.metadataTTL", lifetime)).await;
        let mut seen = std::collections::BTreeSet::new();
        for version in 0..60 {
            repository.set(METADATA, metadata(version));
            let document = repository.get(METADATA).await.expect_status(200);
            repository.set(METADATA, metadata(version + 1000));
            if version % 7 == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(60)).await;
            }
            for (extension, digest) in digests(document.bytes()) {
                let beside = repository.get(&format!("{METADATA}.{extension}")).await.expect_status(200).text();
                assert_eq!(beside, digest, "{lifetime}, {version}: {extension}");
                assert_eq!(document.header(&format!("x-checksum-{extension}")), digest);
            }
            seen.insert(document.text());
        }
        assert!(seen.len() > 5, "the document never changed");
        let (asked, asked_beside) = (repository.asked(METADATA), repository.asked(&format!("{METADATA}.sha1")));
        assert!(asked_beside <= asked, "looked for with the document, never fetched apart");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_is_asked_for_first_fetches_the_document() {
    let repository = Repository::with(|manifest| manifest.with("cache.metadataTTL", "1h")).await;
    repository.set(METADATA, metadata(1));
    let sha1 = repository.get(&format!("{METADATA}.sha1")).await.expect_status(200);
    assert_eq!(sha1.text(), hex::<Sha1>(metadata(1).body()));
    let again =
        repository.rig.send(Ask::get(&format!("/maven/{METADATA}.sha1")).header("If-None-Match", sha1.header("etag")));
    again.await.expect_status(304);
    assert_eq!(repository.asked(METADATA), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digests_survive_a_restart() {
    let mut repository = Repository::with(|manifest| manifest.with("cache.metadataTTL", "1h")).await;
    let bytes = file(1, LONG);
    repository.put(JAR, &bytes);
    repository.set(METADATA, metadata(1));
    for path in [JAR, METADATA] {
        repository.get(path).await.expect_status(200);
        repository.until_hit(path).await;
    }
    let before = repository.get(JAR).await;
    repository.rig.until_written().await;
    repository.rig.restart().await;
    repository.upstream.stop().await;
    for (extension, digest) in digests(&bytes) {
        assert_eq!(repository.get(&format!("{JAR}.{extension}")).await.expect_status(200).text(), digest);
    }
    let sha1 = repository.get(&format!("{METADATA}.sha1")).await.expect_status(200).text();
    assert_eq!(sha1, hex::<Sha1>(metadata(1).body()));
    // A client that compares both takes what it has for the same.
    let head = repository.rig.send(Ask::head(&format!("/maven/{JAR}"))).await.expect_status(200);
    for name in ["etag", "last-modified", "content-length", "content-type", "x-checksum-sha1", "cache-control"] {
        assert_eq!(head.header(name), before.header(name), "{name}");
    }
    assert!(!head.header("etag").is_empty() && !head.header("last-modified").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_file_is_fetched_for_its_digest() {
    let repository = Repository::new().await;
    let bytes = file(1, LONG);
    repository.put(JAR, &bytes);
    repository.get(JAR).await.expect_status(200);
    repository.until_hit(JAR).await;
    repository.rig.until_written().await;
    for copy in repository.rig.stored_copies(&bytes) {
        std::fs::remove_file(copy).unwrap();
    }
    let sha1 = until("the digest", || async {
        let answer = repository.get(&format!("{JAR}.sha1")).await;
        (answer.status == 200).then(|| answer.text())
    });
    assert_eq!(sha1.await, hex::<Sha1>(&bytes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_or_a_coded_form_is_a_file_only_if_a_digest_says_so() {
    let bytes = file(1, LONG);
    for (name, value) in [("Content-Encoding", "gzip"), ("Content-Type", "text/html")] {
        let repository = Repository::new().await;
        let path = format!("/maven/{POM}");
        let asks = [Ask::head(&path), Ask::get(&path)];
        repository.set(POM, Reply::ok(bytes.clone()).header(name, value));
        for ask in asks.clone() {
            repository.rig.send(ask).await.expect_status(502);
        }
        repository.rig.until_written().await;
        assert!(repository.rig.stored_copies(&bytes).is_empty(), "{name}");
        repository.put_digest(POM, &hex::<Sha1>(&bytes));
        for ask in asks {
            repository.rig.send(ask).await.expect_status(200);
        }
        assert!(repository.until_hit(POM).await.bytes() == &bytes, "{name}");
    }
}
