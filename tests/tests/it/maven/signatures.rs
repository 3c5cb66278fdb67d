//! Signatures beside files: files like others, with digests of their own; that of a document changes with it.

use super::*;

fn signature(of: &str) -> Bytes {
    format!("-----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n", hex::<Sha512>(of.as_bytes())).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signature_of_a_file_and_its_digest_stay_in_step() {
    let path = format!("{JAR}.asc");
    for signature_first in [true, false] {
        let mut repository = Repository::with(Manifest::always_revalidating).await;
        let (right, wrong) = (signature("the file"), signature("another file"));
        assert_eq!(right.len(), wrong.len());
        // Bytes that the digest beside them does not fit do not become the signature.
        repository.put(&path, &right);
        repository.set(&path, Resource::file(wrong.clone()));
        repository.get(&path).await.expect_status(502);
        // The answer does not wait until what was staged is off the disk.
        repository.rig.until_written().await;
        assert!(repository.rig.stored_copies(&wrong).is_empty());
        repository.put(&path, &right);
        if signature_first {
            assert_eq!(repository.get(&path).await.expect_status(200).bytes(), &right);
        }
        for (extension, digest) in digests(&right) {
            let beside = repository.get(&format!("{path}.{extension}")).await.expect_status(200);
            assert_eq!(beside.text(), digest, "{extension}");
        }
        let kept = repository.until_hit(&path).await;
        assert_eq!((kept.bytes(), kept.header("content-type")), (&right, "text/plain; charset=utf-8"));
        assert_eq!(kept.header("x-checksum-sha1"), hex::<Sha1>(&right));
        // Signed anew: what was given stays, and so does what is said of it.
        repository.put(&path, &wrong);
        repository.rig.until_written().await;
        let asked = repository.upstream.total();
        for restarted in [false, true] {
            if restarted {
                repository.rig.restart().await;
            }
            assert_eq!(repository.get(&path).await.expect_status(200).bytes(), &right);
            for (extension, digest) in digests(&right) {
                assert_eq!(repository.get(&format!("{path}.{extension}")).await.expect_status(200).text(), digest);
            }
        }
        assert_eq!(repository.upstream.total(), asked, "nobody is asked for what is held");
        assert_eq!(repository.unverified().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signature_of_a_document_changes_with_it() {
    let path = format!("{METADATA}.asc");
    let repository = Repository::with(Manifest::always_revalidating).await;
    let of = |version: usize| {
        let document = metadata(version).body().clone();
        let signature = signature(&String::from_utf8_lossy(&document));
        (document, signature)
    };
    // Both orders, and a digest that is asked for before what it is of.
    let asked_first = [METADATA.to_owned(), path.clone(), format!("{path}.sha1"), format!("{METADATA}.sha1")];
    let assert_in_step = async |version: usize| {
        let (document, signature) = of(version);
        repository.get(&asked_first[version % asked_first.len()]).await.expect_status(200);
        for (path, expected) in [(METADATA, &document), (path.as_str(), &signature)] {
            let answer = repository.get(path).await.expect_status(200);
            assert_eq!(answer.bytes(), expected, "{version}: {path}");
            assert!(!answer.header("cache-control").contains("immutable"), "{path}: {:?}", answer.headers);
            for (extension, digest) in digests(expected) {
                let beside = repository.get(&format!("{path}.{extension}")).await.expect_status(200);
                assert_eq!(beside.text(), digest, "{version}: {path}.{extension}");
            }
        }
        // A fetch that is still at work would be shared by whoever asks next.
        repository.rig.until_written().await;
    };
    for version in 0..6 {
        let (document, signature) = of(version);
        repository.put(METADATA, &document);
        repository.put(&path, &signature);
        assert_in_step(version).await;
    }
    // While the repository fails, what stands in is of one state as well.
    repository.upstream.fail_with(Reply::new(503));
    assert_in_step(5).await;
    assert_eq!(repository.unverified().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_beside_a_file_is_a_file_with_and_without_a_digest() {
    let path = format!("{JAR}.sigstore.json");
    for has_digest in [true, false] {
        let repository = Repository::new().await;
        let bundle = Bytes::from(json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}).to_string());
        let page = Reply::ok("<html>sign in</html>").header("Content-Type", "application/json");
        repository.set(&path, page);
        repository.get(&path).await.expect_status(502);
        repository.set(&path, Resource::new(bundle.clone(), "application/json"));
        if has_digest {
            repository.put_digest(&path, &hex::<Sha1>(&bundle));
        }
        assert_eq!(repository.get(&path).await.expect_status(200).bytes(), &bundle);
        let kept = repository.until_hit(&path).await;
        assert_eq!((kept.bytes(), kept.header("content-type")), (&bundle, "application/json"));
        for (extension, digest) in digests(&bundle) {
            assert_eq!(repository.get(&format!("{path}.{extension}")).await.expect_status(200).text(), digest);
        }
    }
}
