//! Another address of the same registry, for when the first one does not answer.

use super::*;

fn mirrored(first: &Upstream, second: &Upstream) -> Manifest {
    Manifest::of(&GO, first)
        .with("upstream.fallbacks", json!([{"url": second.url(BASE), "when": "Unavailable"}]))
        .with("upstream.retry.attempts", 0)
        .with("cache.negativeTTL", "0s")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_address_gives_what_the_first_cannot_and_is_not_believed_more() {
    for is_refused in [true, false] {
        let (first, second) = (Upstream::start().await, Upstream::start().await);
        let fixture = Fixture::new(&GO);
        fixture.install(&second);
        if is_refused {
            first.stop().await;
        } else {
            first.fail_with(Reply::new(503));
        }
        let mut rig = Rig::serve([mirrored(&first, &second)]).await;
        let list = rig.get(&fixture.metadata()).await.expect_status(200);
        assert_eq!(fixture.protocol.versions(list.bytes()), ["1.0.0", "1.1.0"]);
        rig.get(&file("1.0.0", "info").0).await.expect_status(200);
        assert_eq!(rig.get(&file("1.0.0", "mod").0).await.expect_status(200).text(), go_mod(PACKAGE));
        assert!(rig.get(&file("1.0.0", "zip").0).await.expect_status(200).bytes() == fixture.bytes(SMALL));

        // A good zip of the right module, but not the one that the checksum database has.
        let (path, upstream_path) = file("1.1.0", "zip");
        let wrong = zip(&folder("1.1.0"), &go_mod(PACKAGE), 99, fixture.bytes(LARGE).len());
        second.set(&upstream_path, Resource::file(wrong.clone()));
        assert_refused(&rig, &path, "another zip").await;
        rig.until_written().await;
        assert!(rig.stored_copies(&wrong).is_empty());
        second.set(&file("1.1.0", "mod").1, Resource::new("module evil.example\n", "text/plain"));
        assert_refused(&rig, &file("1.1.0", "mod").0, "another go.mod").await;
        fixture.install(&second);
        assert!(rig.get(&path).await.expect_status(200).bytes() == fixture.bytes(LARGE));

        // What it gave is kept as anything else is.
        rig.until_written().await;
        second.stop().await;
        rig.restart().await;
        for path in [file("1.0.0", "mod").0, file("1.0.0", "zip").0, path] {
            assert!(rig.get(&path).await.expect_status(200).is_hit(), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_first_address_lacks_is_absent() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let fixture = Fixture::new(&GO);
    fixture.install(&second);
    let rig = Rig::serve([mirrored(&first, &second)]).await;
    for path in [fixture.metadata(), file("1.0.0", "mod").0, file("1.0.0", "zip").0] {
        rig.get(&path).await.expect_status(404);
    }
    assert_eq!(second.total(), 0, "it answers, so nobody else is asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_mirror_lacks_meanwhile_is_not_gone() {
    for is_refused in [true, false] {
        let (first, second) = (Upstream::start().await, Upstream::start().await);
        let fixture = Fixture::new(&GO);
        fixture.install(&first);
        let branch = format!("{}/@v/main.info", escaped(PACKAGE));
        first.set(&format!("{BASE}{branch}"), Resource::new(r#"{"Version":"v1.1.0"}"#, "application/json"));
        let manifest = mirrored(&first, &second).always_revalidating().with("cache.negativeTTL", "1h");
        let rig = Rig::serve([manifest]).await;
        let held = [fixture.metadata(), format!("/go/{branch}")];
        for path in &held {
            rig.get(path).await.expect_status(200);
        }
        rig.until_written().await;
        if is_refused {
            first.stop().await;
        } else {
            first.fail_with(Reply::new(503));
        }
        let others = [file("1.0.0", "info").0, file("1.0.0", "mod").0, file("1.0.0", "zip").0];
        for _ in 0..2 {
            for path in &held {
                let answer = rig.get(path).await.expect_status(200);
                let how = answer.cache_status();
                assert!(how.contains("fwd=stale") && !how.contains("fwd-status=404"), "{path}: {how}");
            }
            // The go command goes elsewhere on a 404.
            for path in &others {
                let answer = rig.get(path).await;
                assert!(matches!(answer.status.as_u16(), 502..=504), "{path}: {}", answer.status);
            }
        }
        assert!(second.count(&fixture.upstream_metadata()) > 0 && second.count(&file("1.0.0", "zip").1) > 0);
        if is_refused {
            first.resume().await;
        } else {
            first.recover();
        }
        for path in held.iter().chain(&others) {
            rig.get(path).await.expect_status(200);
        }
    }
}
