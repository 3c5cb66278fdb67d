//! Registries that add to one another: whichever gave the first file of a version gives the others. And files that are
//! as large as a toolchain.

use super::*;

const MEBIBYTE: usize = 1 << 20;

fn adding(first: &Upstream, second: &Upstream) -> Manifest {
    without_database(Manifest::of(&GO, first))
        .with("upstream.fallbacks", json!([{"url": second.url(BASE), "when": "NotFound"}]))
        .with("upstream.retry.attempts", 0)
        .with("cache.negativeTTL", "0s")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_that_gave_the_info_gives_the_rest() {
    for restarted in [false, true] {
        let (first, second) = (Upstream::start().await, Upstream::start().await);
        let fixture = Fixture::new(&GO);
        fixture.install(&second);
        let mut rig = Rig::serve([adding(&first, &second)]).await;
        let [info, go_mod_file, zip_file] = ["info", "mod", "zip"].map(|kind| file("1.0.0", kind));
        let given = rig.get(&info.0).await.expect_status(200);
        assert!(given.text().contains("2020-01-01"), "{}", given.text());
        rig.until_written().await;
        if restarted {
            rig.restart().await;
        }
        // The first one has the version by now: of another commit, perhaps.
        let other = zip(&folder("1.0.0"), &go_mod(PACKAGE), 99, 3_000);
        first.set(&info.1, Resource::new(r#"{"Version":"v1.0.0","Time":"2021-01-01T00:00:00Z"}"#, "application/json"));
        first.set(&go_mod_file.1, Resource::new(format!("{}\ngo 1.99\n", go_mod(PACKAGE)), "text/plain"));
        first.set(&zip_file.1, Resource::file(other.clone()));
        assert_eq!(rig.get(&go_mod_file.0).await.expect_status(200).text(), go_mod(PACKAGE));
        assert!(rig.get(&zip_file.0).await.expect_status(200).bytes() == fixture.bytes(SMALL));
        assert_eq!(rig.get(&info.0).await.expect_status(200).text(), given.text());
        assert!(rig.stored_copies(&other).is_empty());
        for (_, path) in [&go_mod_file, &zip_file] {
            assert_eq!((first.count(path), second.count(path)), (0, 1), "{path}");
        }
        // Another version is another question.
        assert_eq!(second.count(&file("1.1.0", "info").1), 0);
        rig.get(&file("1.1.0", "info").0).await.expect_status(200);
        assert_eq!(first.count(&file("1.1.0", "info").1), 1, "the first one is asked first");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_giver_of_the_info_lacks_is_taken_from_nobody_else() {
    for is_of_the_first in [true, false] {
        let (first, second) = (Upstream::start().await, Upstream::start().await);
        let fixture = Fixture::new(&GO);
        let (giver, other) = if is_of_the_first { (&first, &second) } else { (&second, &first) };
        fixture.install(giver);
        let rig = Rig::serve([adding(&first, &second)]).await;
        rig.get(&file("1.0.0", "info").0).await.expect_status(200);
        rig.until_written().await;
        fixture.install(other);
        for kind in ["mod", "zip"] {
            let (path, upstream_path) = file("1.0.0", kind);
            giver.unset(&upstream_path);
            rig.get(&path).await.expect_status(404);
            assert_eq!((giver.count(&upstream_path), other.count(&upstream_path)), (1, 0), "{kind}");
        }
        fixture.install(giver);
        assert!(rig.get(&file("1.0.0", "zip").0).await.expect_status(200).bytes() == fixture.bytes(SMALL));
    }
}

/// Toolchains come as versions of a module: a hundred megabytes, and a version with the name of a platform.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_toolchain_flows_in_little_memory() {
    const VERSION: &str = "0.0.1-go1.99.0.linux-amd64";
    for has_record in [true, false] {
        let upstream = Upstream::start().await;
        let mut fixture = Fixture::new(&GO);
        let release = fixture.publish(VERSION, 96 * MEBIBYTE);
        fixture.install(&upstream);
        let gate = Gate::shut();
        let resource = Resource::file(fixture.bytes(release).clone());
        let body = resource.body();
        let reply = resource.head().bytes(body.slice(..MEBIBYTE)).hold(&gate).bytes(body.slice(MEBIBYTE..));
        let (path, upstream_path) = file(VERSION, "zip");
        assert_eq!((&path, &upstream_path), (&fixture.artifact(release), &fixture.upstream_artifact(release)));
        upstream.set(&upstream_path, reply);
        let manifest = Manifest::of(&GO, &upstream).with("upstream.idleTimeout", "60s");
        let rig = Rig::serve([if has_record { manifest } else { without_database(manifest) }]).await;
        let mut open = rig.client().open(Ask::get(&path)).await.unwrap();
        assert!(open.read(64 << 10).await, "the first byte waits for the last");
        gate.open();
        assert!(open.equals(fixture.bytes(release)).await);
        rig.until_hit(&path).await;
        assert_eq!(upstream.count(&upstream_path), 1);
        assert_eq!(upstream.count(&record_at(VERSION)), usize::from(has_record));
        let peak = rig.peak_memory() / MEBIBYTE as u64;
        assert!(peak < 90, "{peak} MiB for a file of 96");
    }
}
