//! The checksum database: what it says of a module holds, and what it is made of is passed on.

use tests::wait::until;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zips_and_go_mods_are_compared_with_the_checksum_database() {
    let (fixture, upstream, rig) = start(|manifest| manifest).await;
    for release in [SMALL, LARGE] {
        let version = fixture.package.releases[release].version.clone();
        let (path, upstream_path) = file(&version, "zip");
        // A sound zip of the same files in the same folder, with other content.
        let other = zip(&folder(&version), &go_mod(PACKAGE), 99, fixture.bytes(release).len());
        upstream.set(&upstream_path, Resource::file(other.clone()));
        assert_refused(&rig, &path, "another zip").await;
        rig.until_written().await;
        assert!(rig.stored_copies(&other).is_empty(), "a zip of other content was kept");
        fixture.install(&upstream);
        assert!(rig.get(&path).await.expect_status(200).bytes() == fixture.bytes(release));

        let (path, upstream_path) = file(&version, "mod");
        upstream.set(&upstream_path, Resource::new("module evil.example\n", "text/plain"));
        assert_refused(&rig, &path, "another go.mod").await;
        fixture.install(&upstream);
        assert_eq!(rig.get(&path).await.expect_status(200).text(), go_mod(PACKAGE));
        // One record for all files of the version, shared with clients that ask for it.
        let lookup = format!("/go/{}", lookup(PACKAGE, &version));
        assert!(rig.get(&lookup).await.expect_status(200).text().contains(" h1:"));
        assert_eq!(upstream.count(&record_at(&version)), 2, "once beside the first body, once more on suspicion");
    }
    assert_eq!(rig.metrics().await.sum("packageproxy_digest_mismatches_total", &[]), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_content_packed_otherwise_is_the_same_module() {
    let (fixture, upstream, rig) = start(|manifest| manifest).await;
    let (path, upstream_path) = file("1.0.0", "zip");
    let data = seeded(b"", 5, 1000).to_vec();
    let mut files = vec![
        (format!("{}/go.mod", folder("1.0.0")), go_mod(PACKAGE).into_bytes()),
        (format!("{}/data.bin", folder("1.0.0")), data),
    ];
    let one = zip_of(&files);
    files.reverse();
    let other = zip_of(&files);
    assert_ne!(one, other);
    upstream.set(&record_at("1.0.0"), Resource::new(record(PACKAGE, "1.0.0", &one), "text/plain"));
    upstream.set(&upstream_path, Resource::file(other.clone()));
    assert!(*rig.get(&path).await.expect_status(200).bytes() == other);
    drop(fixture);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_cannot_be_had_or_lie_release_nothing() {
    let (fixture, upstream, rig) = start(|manifest| manifest.with("upstream.readTimeout", "2s")).await;
    let (path, upstream_path) = file("1.0.0", "zip");
    let true_record = record(PACKAGE, "1.0.0", fixture.bytes(SMALL));
    let text = |text: String| Reply::ok(text).header("Content-Type", "text/plain");
    for (what, reply) in [
        ("500", Reply::new(500)),
        ("408", Reply::new(408)),
        ("silence", Reply::new(200).stall_head()),
        ("a page", Reply::ok("<html>sign in</html>").header("Content-Type", "text/html")),
        ("a cut record", text(true_record[..40].to_owned())),
        ("a cut connection", text(true_record.clone()).claims(true_record.len() + 10)),
        ("another version", text(true_record.replace("v1.0.0", "v1.1.0"))),
        ("another module", text(true_record.replace(&module(PACKAGE), "evil.example/x"))),
        ("no hash", text(true_record.replace("h1:", "h9:"))),
    ] {
        upstream.set(&record_at("1.0.0"), reply);
        let answer = rig.get(&path).await;
        assert!(matches!(answer.status.as_u16(), 502..=504), "{what}: {}", answer.status);
    }
    // Whoever wants to be left alone does not say that there is none. The zip is on its way by then.
    let (gate, asked) = (Gate::shut(), upstream.count(&upstream_path));
    upstream.set(&record_at("1.0.0"), Reply::new(429).hold_head(&gate));
    let refuse = async {
        upstream.wait_for(&upstream_path, asked + 1).await;
        gate.open();
    };
    let (answer, ()) = tokio::join!(rig.get(&path), refuse);
    assert!(matches!(answer.status.as_u16(), 502..=504), "429: {}", answer.status);
    // A module that the database does not know, as private ones are: the first bytes stay the right ones.
    upstream.set(&record_at("1.0.0"), Reply::new(404).text("not found"));
    let after_the_pause = tests::wait::until("the end of the pause", || async {
        let answer = rig.get(&path).await;
        (answer.status == 200).then_some(answer)
    });
    assert!(after_the_pause.await.bytes() == fixture.bytes(SMALL));
}

/// A hash tile has no digest of its own, and is kept for good: what its address says of its length holds.
/// Databases refuse what is private: the go command goes on to the next registry only after a 404.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_registry_lacks_is_absent_whatever_the_database_says() {
    let (_fixture, upstream, rig) = start(|manifest| manifest).await;
    for status in [403, 404, 410] {
        let version = format!("9.9.{status}");
        upstream.set(&record_at(&version), Reply::new(status));
        for end in ["mod", "zip"] {
            let (path, _) = file(&version, end);
            rig.get(&path).await.expect_status(404);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tile_is_as_long_as_its_address_says() {
    let (_, upstream, rig) = start(|manifest| manifest).await;
    for (tile, length) in [("8/0/001", 256 * 32), ("8/1/000.p/3", 3 * 32)] {
        let path = format!("sumdb/{DATABASE}/tile/{tile}");
        let right = seeded(b"", 1, length);
        for (what, reply) in [
            ("a page", Reply::ok("<html>sign in</html>").header("Content-Type", "application/octet-stream")),
            ("short", Reply::ok(right.slice(1..))),
            ("short, of no length", Reply::ok(right.slice(1..)).chunked()),
            ("long, of no length", Reply::ok([&right[..], b"x"].concat()).chunked()),
        ] {
            upstream.set(&format!("{BASE}{path}"), reply);
            assert_refused(&rig, &format!("/go/{path}"), what).await;
        }
        upstream.set(&format!("{BASE}{path}"), Reply::ok(right.clone()).chunked());
        assert!(*rig.get(&format!("/go/{path}")).await.expect_status(200).bytes() == right, "{tile}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_mirrored_byte_for_byte() {
    let (fixture, upstream, rig) = start(|manifest| manifest.with("cache.negativeTTL", "1h")).await;
    let head = format!("go.sum database tree\n9\nAAAA\n\n— {DATABASE} AAAA\n");
    let below = |path: &str| format!("sumdb/{DATABASE}/{path}");
    for (path, text) in [("supported", ""), ("latest", head.as_str())] {
        upstream.set(&format!("{BASE}{}", below(path)), Resource::new(text.to_owned(), "text/plain"));
        assert_eq!(rig.get(&format!("/go/{}", below(path))).await.expect_status(200).text(), text, "{path}");
    }
    let record = record(PACKAGE, "1.0.0", fixture.bytes(SMALL));
    assert_eq!(rig.get(&format!("/go/{}", lookup(PACKAGE, "1.0.0"))).await.expect_status(200).text(), record);
    // The tree has grown: there is the full tile in place of the partial one, which clients ask for next.
    let (partial, full) = (below("tile/8/0/001.p/17"), below("tile/8/0/001"));
    let tile = seeded(b"", 1, 256 * 32);
    upstream.set(&format!("{BASE}{full}"), Resource::file(tile.clone()));
    for _ in 0..2 {
        rig.get(&format!("/go/{partial}")).await.expect_status(404);
        assert!(*rig.get(&format!("/go/{full}")).await.expect_status(200).bytes() == tile);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_does_not_say_that_a_database_is_mirrored() {
    let (_, upstream, rig) = start(|manifest| manifest).await;
    let (path, page) = (format!("sumdb/{DATABASE}/supported"), "<!DOCTYPE html><html>sign in</html>");
    let labelled = |kind: &str, body: &'static str| Reply::ok(body).header("Content-Type", kind);
    for (what, reply, status) in [
        ("a page", labelled("text/html; charset=utf-8", page), 404),
        ("a page of another label", labelled("text/plain", page), 404),
        ("a label", labelled("application/xhtml+xml", "<?xml version=\"1.0\"?>"), 404),
        ("trouble", Reply::new(500), 502),
        ("nothing, labelled by a careless server", labelled("text/html", ""), 200),
    ] {
        upstream.set(&format!("{BASE}{path}"), reply);
        assert_eq!(rig.get(&format!("/go/{path}")).await.status, status, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_takes_the_place_of_no_database_that_is_known() {
    let (_, upstream, rig) = start(|manifest| manifest.with("cache.metadataTTL", "1s")).await;
    let path = format!("sumdb/{DATABASE}/supported");
    upstream.set(&format!("{BASE}{path}"), Reply::ok(""));
    rig.get(&format!("/go/{path}")).await.expect_status(200);
    upstream.set(&format!("{BASE}{path}"), Reply::ok("<html>sign in</html>"));
    until("the page", || async {
        rig.get(&format!("/go/{path}")).await.expect_status(200);
        (upstream.count(&format!("{BASE}{path}")) > 1).then_some(())
    })
    .await;
    rig.get(&format!("/go/{path}")).await.expect_status(200);
}
