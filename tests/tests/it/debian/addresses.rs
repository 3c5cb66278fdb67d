//! Where an upstream has its files: by digest or not, at several addresses, behind caches, in forms of old.

use serde_json::json;
use tests::Reply;

use super::*;

/// Sets a file below the archive's root.
fn set(upstream: &Upstream, path: &str, with: impl Into<Bytes>) {
    upstream.set(&format!("{BASE}{path}"), Resource::file(with.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_at_a_digest_leads_to_the_name() {
    let upstream = Upstream::start().await;
    let state = State::naming(&[("pool/a.deb", b"1")]).fields("Acquire-By-Hash: yes\n");
    state.publish(&upstream);
    let address = by_digest(PACKAGES, state.index(PACKAGES));
    // As stores of objects answer for what they do not have.
    upstream.set(&at(&address), Reply::new(403));
    let rig = start(&upstream, |manifest| manifest).await;
    get(&rig, "InRelease").await;
    let length = state.index(PACKAGES).len().to_string();
    let head = rig.send(Ask::head(&here(PACKAGES))).await.expect_status(200);
    assert_eq!(head.header("content-length"), length);
    assert_eq!(get(&rig, PACKAGES).await.bytes(), state.index(PACKAGES));
    // Whoever knows the digest gets it from here by now.
    rig.until_hit(&here(&address)).await;
    // Where there is no other address a refusal is one.
    let package = "pool/main/l/lab/lab_1_all.deb";
    upstream.set(&format!("{BASE}{package}"), Reply::new(403));
    rig.get(&format!("/debian/{package}")).await.expect_status(403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_without_addresses_by_digest_stands_in() {
    let (first, mirror) = (Upstream::start().await, Upstream::start().await);
    let state = State::naming(&[("pool/a.deb", b"1")]).fields("Acquire-By-Hash: yes\n");
    state.publish(&mirror);
    state.publish_head(&first);
    let address = by_digest(PACKAGES, state.index(PACKAGES));
    for path in [&address, PACKAGES] {
        first.set(&at(path), Reply::new(503));
    }
    mirror.set(&at(&address), Reply::new(404));
    let fallbacks = json!([{"url": mirror.url(BASE), "when": "Unavailable"}]);
    let rig = start(&first, |manifest| manifest.with("upstream.fallbacks", fallbacks)).await;
    get(&rig, "InRelease").await;
    let head = rig.send(Ask::head(&here(PACKAGES))).await.expect_status(200);
    assert_eq!(head.header("content-length"), state.index(PACKAGES).len().to_string());
    assert_eq!(get(&rig, PACKAGES).await.bytes(), state.index(PACKAGES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digests_that_prove_nothing_are_addresses_all_the_same() {
    let upstream = Upstream::start().await;
    let index = gzip(stanzas(&[("pool/a.deb", b"1")]).as_bytes());
    let (md5, sha1, sha256) = ("ab".repeat(16), "cd".repeat(20), HEXLOWER.encode(&Sha256::digest(&index)));
    let length = index.len();
    let head = format!(
        "Acquire-By-Hash: yes\nMD5Sum:\n {md5} {length} {PACKAGES}\nSHA1:\n {sha1} {length} {PACKAGES}\n\
         SHA256:\n {sha256} {length} {PACKAGES}\n"
    );
    upstream.set(&at("InRelease"), Resource::new(head, "text/plain"));
    let folder = "main/binary-amd64/by-hash";
    let weak = [format!("{folder}/MD5Sum/{md5}"), format!("{folder}/SHA1/{sha1}")];
    for address in &weak {
        upstream.set(&at(address), Resource::file("what has this digest as well"));
    }
    upstream.set(&at(&format!("{folder}/SHA256/{sha256}")), Resource::file(index.clone()));
    let rig = start(&upstream, |manifest| manifest).await;
    for address in &weak {
        assert_eq!(get(&rig, address).await.bytes(), &index, "what the digest that proves something says");
        assert_eq!(upstream.count(&at(address)), 0);
    }
    rig.get(&here(&weak[0].replace("ab", "ba"))).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_file_of_a_cache_on_the_way_fails_nobody() {
    let name = "main/binary-amd64/Packages";
    // Of another length, and of the same one, which only the digest tells.
    for (before, now) in [("x", "longer"), ("1", "2")] {
        let state = |content: &str| {
            let text = stanzas(&[("pool/a.deb", content.as_bytes())]);
            State { indexes: vec![(name, text.into())], fields: "" }
        };
        let (old, new) = (state(before), state(now));
        let upstream = Upstream::start().await;
        new.publish_head(&upstream);
        let [old, right] = [&old, &new].map(|state| Resource::file(state.index(name).clone()));
        upstream.set(&at(name), right.clone().behind_a_cache_of(old.clone()));
        let rig = start(&upstream, |manifest| manifest).await;
        assert_eq!(update(&rig, name).await.bytes(), new.index(name));
        assert_eq!(upstream.count(&at(name)), 2);
        // That is done once: where the origin itself is wrong, nobody makes it send the file over and over.
        let other = Upstream::start().await;
        new.publish_head(&other);
        other.set(&at(name), old);
        let rig = start(&other, |manifest| manifest).await;
        get(&rig, "InRelease").await;
        for requests in [2, 3] {
            rig.get(&here(name)).await.expect_status(502);
            assert_eq!(other.count(&at(name)), requests);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_and_its_signature_come_from_one_mirror() {
    let release = flat_head(&State::naming(&[]));
    for first_fails in [false, true] {
        let (first, mirror) = (Upstream::start().await, Upstream::start().await);
        for (upstream, signature) in [(&first, "of the first"), (&mirror, "of the mirror")] {
            upstream.set(&at("Release"), Resource::new(release.clone(), "text/plain"));
            upstream.set(&at("Release.gpg"), Resource::file(signature));
        }
        // Between two requests one of them ails, or has recovered.
        let ailing = if first_fails { "Release" } else { "Release.gpg" };
        first.then(&at(ailing), Reply::new(503));
        let rig = start(&first, |manifest| {
            manifest.with("upstream.fallbacks", json!([{"url": mirror.url(BASE), "when": "Unavailable"}]))
        })
        .await;
        if first_fails {
            get(&rig, "Release").await;
            assert_eq!(get(&rig, "Release.gpg").await.text(), "of the mirror");
            assert_eq!(first.count(&at("Release.gpg")), 0);
        } else {
            rig.get(&here("Release")).await.expect_status(502);
            get(&rig, "Release").await;
            assert_eq!(get(&rig, "Release.gpg").await.text(), "of the first");
            assert_eq!(mirror.total(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_packages_without_any_head_is_passed_through() {
    let upstream = Upstream::start().await;
    let content = deb("x");
    set(&upstream, "sub/lab_1_all.deb", content.clone());
    let of_suites = ["dists/bare/main/binary-amd64/Packages", "sub/dists/bare/main/binary-amd64/Packages"];
    for path in of_suites {
        set(&upstream, path, "Package: lab\n");
    }
    let rig = start(&upstream, |manifest| manifest.with("cache.metadataTTL", "1h")).await;
    for name in ["InRelease", "Release", "Packages.xz"] {
        rig.get(&format!("/debian/sub/./{name}")).await.expect_status(404);
    }
    for version in 1..3 {
        let packages = format!("{}Version: {version}\n", stanzas(&[("./lab_1_all.deb", &content)]));
        set(&upstream, "sub/Packages", packages.clone());
        let answer = rig.get("/debian/sub/./Packages").await.expect_status(200);
        assert_eq!((answer.text(), answer.header("cache-control")), (packages.clone(), "no-store"));
        let head = rig.send(Ask::head("/debian/sub/./Packages")).await.expect_status(200);
        assert_eq!(head.header("content-length"), packages.len().to_string());
    }
    assert_eq!(rig.get("/debian/sub/./lab_1_all.deb").await.expect_status(200).bytes(), &content);
    // Heads that cannot be had are not heads that are not there.
    for name in ["InRelease", "Release"] {
        upstream.set(&format!("{BASE}other/{name}"), Reply::new(500));
    }
    set(&upstream, "other/Packages", "Package: lab\n");
    rig.get("/debian/other/Packages").await.expect_status(502);
    for path in of_suites {
        rig.get(&format!("/debian/{path}")).await.expect_status(404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_the_whole_archive_change_under_their_names() {
    let upstream = Upstream::start().await;
    let rig = start(&upstream, Manifest::always_revalidating).await;
    for path in ["ls-lR.gz", "indices/override.stable.main.gz", "doc/FAQ/faq.html.tar.gz", "tools/list.gz"] {
        for content in ["one", "two"] {
            let content = gzip(content.as_bytes());
            set(&upstream, path, content.clone());
            let answer = rig.get(&format!("/debian/{path}")).await.expect_status(200);
            assert_eq!(answer.bytes(), &content, "{path}");
            assert!(!answer.header("cache-control").contains("immutable"), "{path}");
            rig.until_written().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_the_past_stands_in_although_its_head_has_run_out() {
    let upstream = Upstream::start().await;
    let state = State::naming(&[("pool/a.deb", b"1")]).fields("Valid-Until: Sat, 08 Jan 2022 00:00:00 UTC\n");
    for (root, expected) in [("", 502), ("20220101T000000Z/", 200)] {
        let url = format!("{BASE}{root}");
        upstream.set(&format!("{url}dists/stable/InRelease"), Resource::new(state.head(), "text/plain"));
        let manifest = Manifest::at("debian", "debian", &upstream.url(&url)).with("upstream.retry.attempts", 0);
        let rig = Rig::serve([manifest.always_revalidating()]).await;
        get(&rig, "InRelease").await;
        rig.until_written().await;
        upstream.fail_with(Reply::new(500));
        rig.get(&here("InRelease")).await.expect_status(expected);
        upstream.recover();
    }
}
