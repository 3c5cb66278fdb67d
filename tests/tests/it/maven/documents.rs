//! Documents and files that may change, compared with the digests that the repository publishes beside them.

use tests::bytes_of::corrupted;

use super::*;

const CHANGING: &str = "org/lab/tiny/1-SNAPSHOT/tiny-1-SNAPSHOT.jar";

/// What may change: a document that is understood, and a file that is not.
fn changing() -> [(&'static str, Bytes, Bytes); 2] {
    let document = |version| metadata(version).body().clone();
    [(METADATA, document(1), document(2)), (CHANGING, file(1, LONG), file(2, LONG))]
}

fn of_long_life(manifest: Manifest) -> Manifest {
    manifest.with("cache.metadataTTL", "1h")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_of_a_cache_on_the_way_do_not_arrive() {
    for (path, right, _) in changing() {
        let repository = Repository::with(of_long_life).await;
        // Of equal length, and as good a document as the right one.
        let wrong = if path == METADATA { metadata(7).body().clone() } else { corrupted(&right) };
        assert_eq!(wrong.len(), right.len());
        repository.put(path, &right);
        repository.set(path, Resource::file(right.clone()).behind_a_cache_of(Resource::file(wrong)));
        assert!(repository.get(path).await.expect_status(200).bytes() == &right, "{path}");
        assert!(repository.until_hit(path).await.bytes() == &right, "{path}");
        assert_eq!((repository.asked(path), repository.unverified().await), (2, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_lags_behind_is_waited_for() {
    for (path, old, new) in changing() {
        let repository = Repository::with(of_long_life).await;
        repository.put(path, &new);
        let beside = format!("{BASE}{path}.sha1");
        repository.upstream.then(&beside, Resource::new(hex::<Sha1>(&old), "text/plain"));
        assert!(repository.get(path).await.expect_status(200).bytes() == &new, "{path}");
        assert_eq!((repository.asked(&format!("{path}.sha1")), repository.unverified().await), (2, 0), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_stays_wrong_breaks_nothing() {
    for (path, right, other) in changing() {
        // Long enough for what is asked within one lifetime, on a busy machine too.
        let repository = Repository::with(|manifest| manifest.with("cache.metadataTTL", "5s")).await;
        repository.put(path, &right);
        repository.put_digest(path, &hex::<Sha1>(&other));
        let answer = repository.get(path).await.expect_status(200);
        assert!(answer.bytes() == &right, "{path}");
        assert_eq!((repository.asked(path), repository.unverified().await), (2, 1), "{path}");
        repository.rig.logged(&["passed on unverified", &hex::<Sha1>(&other)]).await;
        let beside = repository.get(&format!("{path}.sha1")).await.expect_status(200).text();
        // Of a document that was read, ours; of bytes that nobody understands, what the repository says of them.
        let told = if path == METADATA { &right } else { &other };
        assert_eq!((beside.as_str(), answer.header("x-checksum-sha1")), (&*hex::<Sha1>(told), beside.as_str()));
        // It is compared again once it expires, although the bytes are the same, and then is as others are.
        repository.put_digest(path, &hex::<Sha1>(&right));
        let again = tests::wait::until("the right digest", || async {
            let answer = repository.get(path).await.expect_status(200);
            let is_compared = repository.asked(&format!("{path}.sha1")) > 2;
            (is_compared && answer.header("x-checksum-sha1") == hex::<Sha1>(&right)).then_some(answer)
        });
        assert!(again.await.bytes() == &right);
        assert_eq!(repository.unverified().await, 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_learned_breaks_nothing() {
    for (path, right, _) in changing() {
        let failures = [("failing", Reply::new(503)), ("silent", Reply::new(200).stall_head())];
        for (kind, reply) in no_digests().into_iter().chain(failures) {
            let repository = Repository::with(|manifest| of_long_life(manifest).with("cache.revalidationWait", "1s"));
            let repository = repository.await;
            repository.put(path, &right);
            repository.set(&format!("{path}.sha1"), reply);
            assert!(repository.get(path).await.expect_status(200).bytes() == &right, "{path}, {kind}");
            let sha1 = repository.get(&format!("{path}.sha1")).await.expect_status(200).text();
            assert_eq!(sha1, hex::<Sha1>(&right), "{path}, {kind}");
            assert_eq!((repository.asked(path), repository.asked(&format!("{path}.sha1"))), (1, 1), "{path}, {kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_has_not_changed_is_not_compared_again() {
    for (path, right, _) in changing() {
        let repository = Repository::with(Manifest::always_revalidating).await;
        repository.put(path, &right);
        for _ in 0..3 {
            repository.get(path).await.expect_status(200);
            repository.rig.until_written().await;
        }
        assert_eq!((repository.asked(path), repository.asked(&format!("{path}.sha1"))), (3, 1), "{path}");
        // Nor is anything asked where the answer itself says it.
        let other = Reply::ok(right.clone()).header("X-Checksum-Sha1", &hex::<Sha1>(&right));
        repository.set(path, other);
        repository.get(path).await.expect_status(200);
        assert_eq!(repository.asked(&format!("{path}.sha1")), 1, "{path}");
    }
}
