//! The documents that head a suite: unchanged to the byte, never mixed, and no longer than they say.

use super::*;
use tests::Reply;

const SECOND: &str = "Sat, 01 Jan 2022 00:00:00 GMT";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_within_a_second_are_both_seen() {
    let upstream = Upstream::start().await;
    let old = State::naming(&[("pool/a.deb", b"1")]);
    let new = State::naming(&[("pool/a.deb", b"2")]);
    // As a simple server labels them: by the second, and by their equal lengths.
    let labelled = |state: &State| {
        Resource::new(state.head(), "text/plain").etag("\"61cf9980-1f4\"").last_modified(SECOND).header("Date", SECOND)
    };
    upstream.set(&at("InRelease"), labelled(&old));
    old.publish_indexes(&upstream);
    let rig = start(&upstream, Manifest::always_revalidating).await;
    let first = get(&rig, "InRelease").await;
    upstream.set(&at("InRelease"), labelled(&new));
    new.publish_indexes(&upstream);
    let since = first.header("last-modified").to_owned();
    let again = until("the new head", || async {
        let ask = Ask::get(&here("InRelease")).header("If-Modified-Since", &since);
        let answer = rig.send(ask).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(again.text(), new.head());
    assert_ne!(again.header("last-modified"), since, "apt would take the second for the first");
    let ask = Ask::get(&here("InRelease")).header("If-Modified-Since", again.header("last-modified"));
    rig.send(ask).await.expect_status(304);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_and_its_signature_are_never_of_two_moments() {
    let upstream = Upstream::start().await;
    let (old, new) = (State::naming(&[("pool/a.deb", b"1")]), State::naming(&[("pool/a.deb", b"2")]));
    let (first, second) = (flat_head(&old), flat_head(&new));
    new.publish_indexes(&upstream);
    upstream.set(&at("Release"), Resource::new(second.clone(), "text/plain"));
    upstream.set(&at("Release.gpg"), Resource::file("signature two"));
    // The change comes between the two requests.
    upstream.then(&at("Release"), Resource::new(first, "text/plain"));
    let rig = start(&upstream, |manifest| manifest).await;
    rig.get(&here("InRelease")).await.expect_status(404);
    assert_eq!(get(&rig, "Release").await.text(), second);
    let signature = get(&rig, "Release.gpg").await;
    assert_eq!(signature.text(), "signature two");
    assert_eq!(signature.header("content-type"), "application/pgp-signature");
    assert_eq!(get(&rig, PACKAGES).await.bytes(), new.index(PACKAGES));

    // What comes later does not change what was given.
    upstream.set(&at("Release.gpg"), Resource::file("signature three"));
    assert_eq!(get(&rig, "Release.gpg").await.text(), "signature two");
}

/// Archives write the signature after the head, and sign the same head anew with another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_may_come_after_its_head() {
    let upstream = Upstream::start().await;
    let state = State::naming(&[("pool/a.deb", b"1")]);
    state.publish_indexes(&upstream);
    upstream.set(&at("Release"), Resource::new(flat_head(&state), "text/plain"));
    // As stores answer that let nobody list what they have.
    upstream.set(&at("InRelease"), Reply::new(403));
    upstream.set(&at("Release.gpg"), Reply::new(403));
    let rig = start(&upstream, |manifest| manifest.with("cache.metadataTTL", "0s")).await;
    rig.get(&here("InRelease")).await.expect_status(403);
    assert_eq!(get(&rig, PACKAGES).await.bytes(), state.index(PACKAGES));
    get(&rig, "Release").await;
    rig.get(&here("Release.gpg")).await.expect_status(404);
    for signature in ["late", "anew"] {
        upstream.set(&at("Release.gpg"), Resource::file(signature));
        until("the signature", || async {
            get(&rig, "Release").await;
            let answer = rig.get(&here("Release.gpg")).await;
            (answer.text() == signature).then_some(())
        })
        .await;
    }
    assert_eq!(get(&rig, PACKAGES).await.bytes(), state.index(PACKAGES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_never_holds_still_gives_no_pair() {
    let upstream = Upstream::start().await;
    let rig = start(&upstream, |manifest| manifest).await;
    upstream.set(&at("Release.gpg"), Resource::file("signature"));
    for number in 0..6 {
        let state = State::naming(&[("pool/a.deb", &[number])]);
        upstream.then(&at("Release"), Resource::new(flat_head(&state), "text/plain"));
    }
    rig.get(&here("Release")).await.expect_status(503);
    assert_eq!(upstream.count(&at("Release")), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_stands_in_for_as_long_as_it_says() {
    for (fields, expected) in [
        ("Valid-Until: Sat, 08 Jan 2022 00:00:00 UTC\n", 502),
        ("Valid-Until: Fri, 01 Jan 2100 00:00:00 UTC\n", 200),
        ("", 200),
    ] {
        let upstream = Upstream::start().await;
        let state = State::naming(&[("pool/a.deb", b"1")]).fields(fields);
        state.publish(&upstream);
        let rig = start(&upstream, Manifest::always_revalidating).await;
        get(&rig, "InRelease").await;
        get(&rig, PACKAGES).await;
        rig.until_written().await;
        upstream.fail_with(Reply::new(500));
        let answer = rig.get(&here("InRelease")).await;
        assert_eq!(answer.status, expected, "{fields}");
        // Files are as good as ever.
        get(&rig, PACKAGES).await;
    }
}

/// A moment from now, as a head says it.
fn valid_for(seconds: u32) -> &'static str {
    let mut date = std::process::Command::new("date");
    date.env("LC_ALL", "C").args(["-u", "-d", &format!("+{seconds} seconds"), "+%a, %d %b %Y %H:%M:%S UTC"]);
    let printed = String::from_utf8(date.output().expect("date runs").stdout).expect("text");
    format!("Valid-Until: {}\n", printed.trim()).leak()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_runs_out_while_the_upstream_fails_stands_in_no_longer() {
    let upstream = Upstream::start().await;
    // Were it not for its own word, it would stand in for hours: first while it is asked for again, then as the last
    // known one.
    let tune = |manifest: Manifest| {
        let manifest = manifest.with("cache.metadataTTL", "3s").with("cache.staleWhileRevalidate", "1h");
        manifest.with("cache.staleIfError", "24h")
    };
    let state = State::naming(&[("pool/a.deb", b"1")]).fields(valid_for(2));
    state.publish(&upstream);
    let rig = start(&upstream, tune).await;
    get(&rig, "InRelease").await;
    get(&rig, PACKAGES).await;
    rig.until_written().await;
    upstream.fail_with(Reply::new(503));
    until("the end of the head", || async {
        let answer = rig.get(&here("InRelease")).await;
        assert!(matches!(answer.status.as_u16(), 200 | 502), "{}", answer.status);
        (answer.status == 502).then_some(())
    })
    .await;
    // For good; what its digest vouches for stays.
    for _ in 0..3 {
        rig.get(&here("InRelease")).await.expect_status(502);
    }
    // Nobody has to find that out from clients, and it is said once.
    assert!(rig.metrics().await.sum("packageproxy_run_out_total", &[("ecosystem", "debian")]) >= 4);
    rig.logged(&["WARN", "dists/stable", "Valid-Until has passed", "status 503"]).await;
    assert_eq!(rig.logs().iter().filter(|line| line.contains("Valid-Until")).count(), 1);
    assert_eq!(get(&rig, &by_digest(PACKAGES, state.index(PACKAGES))).await.bytes(), state.index(PACKAGES));
    // The archive is back, with a head of today.
    let new = State::naming(&[("pool/a.deb", b"2")]).fields("Valid-Until: Fri, 01 Jan 2100 00:00:00 UTC\n");
    new.publish(&upstream);
    upstream.recover();
    until_head_after_failures(&rig, &new).await;
    assert_eq!(update(&rig, PACKAGES).await.bytes(), new.index(PACKAGES));
}

async fn until_head_after_failures(rig: &Rig, state: &State) {
    until("the new head", || async {
        let answer = rig.get(&here("InRelease")).await;
        (answer.status == 200 && answer.text() == state.head()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flat_repositories_and_names_with_slashes() {
    let upstream = Upstream::start().await;
    let content = deb("x");
    let packages = stanzas(&[("./x_1_all.deb", &content)]);
    for suite in ["", "sub/"] {
        let head = in_release("flat", "", &[("Packages", packages.as_bytes())]);
        upstream.set(&format!("{BASE}{suite}InRelease"), Resource::new(head, "text/plain"));
        upstream.set(&format!("{BASE}{suite}Packages"), Resource::file(packages.clone()));
    }
    upstream.set(&format!("{BASE}x_1_all.deb"), Resource::file(content.clone()));
    let nested = b"nested".as_slice();
    let head = in_release("a/updates", "", &[("main/source/Sources", nested)]);
    upstream.set(&format!("{BASE}dists/a/updates/InRelease"), Resource::new(head, "text/plain"));
    upstream.set(&format!("{BASE}dists/a/updates/main/source/Sources"), Resource::file(nested));
    let rig = start(&upstream, |manifest| manifest).await;
    for path in ["./InRelease", "InRelease", "./sub/InRelease", "./Packages", "sub/./Packages"] {
        rig.get(&format!("/debian/{path}")).await.expect_status(200);
    }
    assert_eq!(rig.get("/debian/./x_1_all.deb").await.expect_status(200).bytes(), &content);
    let answer = rig.get("/debian/dists/a/updates/main/source/Sources").await.expect_status(200);
    assert_eq!(answer.bytes().as_ref(), nested);
    rig.get("/debian/dists/a/updates/main/source/None").await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_names_nothing_outside_of_its_suite() {
    let upstream = Upstream::start().await;
    let head = in_release("stable", "", &[("../../secret", b"s"), ("/etc/passwd", b"s"), ("main//x", b"s")]);
    upstream.set(&at("InRelease"), Resource::new(head, "text/plain"));
    let rig = start(&upstream, |manifest| manifest).await;
    get(&rig, "InRelease").await;
    for path in ["../../secret", "%2e%2e/%2e%2e/secret", "/etc/passwd", "main//x", "..%2f..%2fsecret"] {
        let status = rig.get(&here(path)).await.status;
        assert!(status == 400 || status == 404, "{path}: {status}");
    }
    assert!(upstream.requests().iter().all(|request| request.path().ends_with("Release")));
}
