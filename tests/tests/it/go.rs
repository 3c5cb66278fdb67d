//! What only Go has: hashes that another server publishes and that are made of a zip's content, registries that add to
//! one another, escaped paths, and words of the upstream that the go command prints.

use bytes::Bytes;
use serde_json::json;
use tests::bytes_of::seeded;
use tests::fixture::go::{DATABASE, escaped, go_mod, lookup, module, record, zip, zip_of};
use tests::fixture::{BASE, GO, LARGE, SMALL};
use tests::{Ask, Fixture, Gate, Manifest, Reply, Resource, Rig, Upstream};

mod addresses;
mod database;
mod registries;

const PACKAGE: &str = "tiny-lab";

/// A file of a version, below proxy and upstream.
fn file(version: &str, kind: &str) -> (String, String) {
    let path = format!("{}/@v/v{version}.{kind}", escaped(PACKAGE));
    (format!("/go/{path}"), format!("{BASE}{path}"))
}

fn record_at(version: &str) -> String {
    format!("{BASE}{}", lookup(PACKAGE, version))
}

fn folder(version: &str) -> String {
    format!("{}@v{version}", module(PACKAGE))
}

async fn start(tune: impl FnOnce(Manifest) -> Manifest) -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&GO);
    fixture.install(&upstream);
    let manifest = Manifest::of(&GO, &upstream).with("upstream.retry.attempts", 0).with("cache.negativeTTL", "0s");
    let rig = Rig::serve([tune(manifest)]).await;
    (fixture, upstream, rig)
}

fn without_database(manifest: Manifest) -> Manifest {
    manifest.with("upstream.checksumDatabase", json!(null))
}

/// Fails unless the answer is an error, or a body that a client notices to be broken.
async fn assert_refused(rig: &Rig, path: &str, what: &str) {
    // A connection that ends before any answer is a visible failure like others.
    let Ok(open) = rig.client().open(Ask::get(path)).await else { return };
    let answer = open.finish().await;
    assert!(!answer.is_complete_success(), "{what}: {} bytes were completed", answer.bytes().len());
    assert!(matches!(answer.status.as_u16(), 200 | 502), "{what}: {}", answer.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_such_file_is_refused_without_a_database_too() {
    let (fixture, upstream, rig) = start(without_database).await;
    let inside = folder("1.0.0");
    let contents = |name: &str| vec![(format!("{inside}/go.mod"), b"x".to_vec()), (name.to_owned(), vec![7; 100_000])];
    let mut bomb = zip_of(&contents(&format!("{inside}/a"))).to_vec();
    // The table's last entry claims almost 4 GiB.
    let table = bomb.len() - 22 - 46 - format!("{inside}/a").len();
    bomb[table + 24..table + 28].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    let many: Vec<_> = (0..60_000).map(|n| (format!("{inside}/{n:0>250}"), Vec::new())).collect();
    for (what, bytes) in [
        ("a file outside", zip_of(&contents("../../etc/cron.d/evil"))),
        ("a file of another version", zip_of(&contents(&format!("{}/a", folder("1.0.1"))))),
        ("a name twice", zip_of(&contents(&format!("{inside}/go.mod")))),
        ("a bomb", bomb.into()),
        ("too many files", zip_of(&many)),
        ("a cut zip", fixture.bytes(SMALL).slice(..2000)),
        ("bytes", seeded(b"PK\x03\x04", 1, 100_000)),
        ("an empty zip", zip_of(&[])),
        ("a page", Bytes::from_static(b"<html>")),
    ] {
        upstream.set(&file("1.0.0", "zip").1, Resource::file(bytes));
        assert_refused(&rig, &file("1.0.0", "zip").0, what).await;
    }
    for info in [r#"{"Version":"v1.0.1"}"#, r#"{"Time":"x"}"#, "[]", "<html>", &" ".repeat(70_000)] {
        upstream.set(&file("1.0.0", "info").1, Resource::new(info.to_owned(), "application/json"));
        assert_refused(&rig, &file("1.0.0", "info").0, info).await;
    }
    fixture.install(&upstream);
    assert!(rig.get(&file("1.0.0", "zip").0).await.expect_status(200).bytes() == fixture.bytes(SMALL));
    rig.get(&file("1.0.0", "info").0).await.expect_status(200);
    assert!(upstream.requests().iter().all(|request| !request.target.contains("sumdb")), "nobody named a database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_page_nor_nothing_is_a_go_mod() {
    let (fixture, upstream, rig) = start(without_database).await;
    let page = "<!DOCTYPE html><html><body>Please sign in</body></html>";
    for kind in ["mod", "info", "zip"] {
        let (path, upstream_path) = file("1.0.0", kind);
        for (what, reply) in [
            ("a page", Reply::ok(page).header("Content-Type", "text/html")),
            ("a page that is labelled as a file", Reply::ok(page).header("Content-Type", "application/octet-stream")),
            ("an error", Reply::ok(r#"{"errors":["sign in"]}"#).header("Content-Type", "application/json")),
            ("nothing", Reply::ok("").header("Content-Type", "text/plain")),
            ("an empty page", Reply::ok("").header("Content-Type", "text/html; charset=utf-8")),
        ] {
            upstream.set(&upstream_path, reply);
            let asked = upstream.count(&upstream_path);
            for _ in 0..2 {
                let answer = rig.get(&path).await.expect_status(502);
                assert!(!answer.text().contains("sign in"), "{kind}, {what}: {}", answer.text());
            }
            rig.until_written().await;
            assert!(rig.stored_copies(page.as_bytes()).is_empty(), "{kind}, {what}");
            assert_eq!(upstream.count(&upstream_path), asked + 2, "{kind}, {what}: it was kept");
        }
        fixture.install(&upstream);
        rig.get(&path).await.expect_status(200);
        rig.until_hit(&path).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_of_a_page_is_no_go_mod() {
    let (_, upstream, rig) = start(without_database).await;
    let mut taken = Vec::new();
    for kind in ["mod", "info", "zip"] {
        let (path, upstream_path) = file("1.0.0", kind);
        for (what, reply) in [
            ("a page", Reply::ok("<html>sign in</html>").header("Content-Type", "text/html")),
            ("nothing", Reply::ok("").header("Content-Type", "text/plain")),
        ] {
            upstream.set(&upstream_path, reply);
            let answer = rig.send(Ask::head(&path)).await;
            if answer.status != 502 {
                taken.push(format!("{kind}, {what}: {}", answer.status));
            }
        }
    }
    assert_eq!(taken, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstreams_word_on_what_is_missing_reaches_the_client() {
    let (_, upstream, rig) = start(|manifest| manifest.with("cache.negativeTTL", "1h")).await;
    let path = format!("{}/@v/v9.9.9.info", escaped(PACKAGE));
    let word = "not found: modules.example/Lab/tiny-lab@v9.9.9: invalid version\nunknown revision v9.9.9";
    for status in [404, 410] {
        let path = if status == 404 { path.clone() } else { path.replace("9.9.9", "9.9.8") };
        upstream.set(&format!("{BASE}{path}"), Reply::new(status).text(word));
        for _ in 0..2 {
            let answer = rig.get(&format!("/go/{path}")).await.expect_status(status);
            assert!(answer.header("content-type").starts_with("text/plain"), "{:?}", answer.headers);
            assert!(answer.text().contains(word), "{}", answer.text());
        }
        assert_eq!(upstream.count(&format!("{BASE}{path}")), 1);
    }
    let page = Reply::new(404).header("Content-Type", "text/html").bytes("<html>canary</html>");
    upstream.set(&format!("{BASE}{}/@latest", escaped(PACKAGE)), page);
    let answer = rig.get(&format!("/go/{}/@latest", escaped(PACKAGE))).await.expect_status(404);
    assert!(!answer.text().contains("canary"), "{}", answer.text());
    // Without any mirror of the database the client goes to the database itself.
    let supported = format!("/go/sumdb/{DATABASE}/supported");
    rig.get(&supported).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn escaped_paths_have_one_spelling_and_stay_below_the_base() {
    let (fixture, upstream, rig) = start(|manifest| manifest).await;
    let list = format!("/go/{}/@v/list", escaped(PACKAGE));
    for spelling in [list.clone(), list.replace('!', "%21"), list.replace('@', "%40")] {
        rig.get(&spelling).await.expect_status(200);
    }
    assert_eq!(upstream.count(&fixture.upstream_metadata()), 1, "one document");
    let asked = upstream.total();
    for path in [
        "modules.example/Lab/tiny-lab/@v/list",
        "modules.example/!Lab/tiny-lab/@v/list",
        "modules.example/!!lab/tiny-lab/@v/list",
        "modules.example/lab!/tiny-lab/@v/list",
        "modules.example/!1/@v/list",
        "modules.example/%2e%2e/@v/list",
        "modules.example/..%2f..%2fsecret/@v/list",
        "modules.example/!%2e%2e/@v/list",
        "modules.example/.hidden/@v/list",
        "modules.example/a/@v/..%2f..%2fsecret.info",
        "modules.example/a/@v/%252e%252e.info",
        "sumdb/sum.registry.example/tile/../../../secret",
        "sumdb/sum.registry.example/tile/8/0/%2e%2e",
        "sumdb/..%2fsecret/latest",
        "sumdb/http:%2f%2fevil.example/latest",
    ] {
        let answer = rig.get(&format!("/go/{path}")).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {}", answer.status);
    }
    assert_eq!(upstream.total(), asked, "nobody was asked for what cannot exist");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_are_asked_for_again_and_lists_are_bounded() {
    let tune = |manifest: Manifest| manifest.always_revalidating().with("cache.maxMetadataSize", "1Mi");
    let (fixture, upstream, rig) = start(tune).await;
    let (path, upstream_path) = (format!("/go/{}/@v/main.info", escaped(PACKAGE)), "main.info");
    let upstream_path = format!("{BASE}{}/@v/{upstream_path}", escaped(PACKAGE));
    for version in ["v1.0.1-0.20200102030405-abcdef123456", "v1.0.1-0.20210102030405-fedcba654321"] {
        let info = json!({"Version": version, "Time": "2020-01-02T03:04:05Z"}).to_string();
        upstream.set(&upstream_path, Resource::new(info, "application/json"));
        tests::wait::until("the new commit", || async {
            rig.get(&path).await.expect_status(200).text().contains(version).then_some(())
        })
        .await;
    }
    let versions = |count: usize| (0..count).map(|n| format!("v1.0.{n}")).collect::<Vec<_>>().join("\n");
    for (count, status) in [(50_000, 200), (200_000, 502)] {
        let list = format!("{}/@v/list", escaped(&format!("huge-{count}")));
        upstream.set(&format!("{BASE}{list}"), Resource::new(versions(count), "text/plain"));
        rig.get(&format!("/go/{list}")).await.expect_status(status);
    }
    drop(fixture);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_vanished_upstream_goes_on_to_work() {
    for status in [404, 410] {
        let tune = |manifest: Manifest| {
            let manifest = manifest.with("cache.negativeTTL", "1s").with("cache.staleIfError", "0s");
            manifest.always_revalidating()
        };
        let (fixture, upstream, mut rig) = start(tune).await;
        let latest = format!("/go/{}/@latest", escaped(PACKAGE));
        let branch = format!("{}/@v/main.info", escaped(PACKAGE));
        upstream.set(&format!("{BASE}{branch}"), Resource::new(r#"{"Version":"v1.1.0"}"#, "application/json"));
        let branch = format!("/go/{branch}");
        let kept = [fixture.metadata(), latest];
        let files: Vec<_> = ["info", "mod", "zip"].iter().map(|kind| file("1.0.0", kind).0).collect();
        for path in kept.iter().chain(&files).chain([&branch]) {
            rig.get(path).await.expect_status(200);
        }
        rig.until_written().await;
        upstream.fail_with(Reply::new(status).text("not found: repository not found"));
        for restarted in [false, true] {
            for path in &kept {
                for _ in 0..3 {
                    let answer = rig.get(path).await.expect_status(200);
                    assert!(answer.text().contains("v1.1.0"), "{path}: {}", answer.text());
                    let said = format!("fwd=stale; fwd-status={status}");
                    assert!(answer.cache_status().contains(&said), "{path}: {}", answer.cache_status());
                }
            }
            for path in &files {
                assert!(rig.get(path).await.expect_status(200).is_hit(), "{path}");
            }
            // A branch may be gone while its module is not: what it meant then it does not mean for ever.
            rig.get(&branch).await.expect_status(status);
            rig.get(&file("1.1.0", "zip").0).await.expect_status(status);
            if !restarted {
                rig.restart().await;
            }
        }
        // The absence counts for a second here, and the list is asked for again afterwards.
        upstream.recover();
        tests::wait::until("the module", || async {
            (!rig.get(&kept[0]).await.expect_status(200).cache_status().contains("fwd-status=4")).then_some(())
        })
        .await;
        let absent = format!("/go/{}/@v/list", escaped("never-there"));
        rig.get(&absent).await.expect_status(404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_no_fetch_gets_what_is_held_anywhere() {
    let (fixture, upstream, rig) =
        start(|manifest| manifest.with("cache.negativeTTL", "1h").always_revalidating()).await;
    let passive = |path: &str| Ask::get(path).header("Disable-Module-Fetch", "true");
    let list = fixture.metadata();
    let (zip, upstream_zip) = file("1.0.0", "zip");
    let told = |path: &str| {
        let requests = upstream.requests_of(path);
        let each = requests.iter().map(|request| request.header("disable-module-fetch").unwrap_or("no"));
        each.collect::<Vec<_>>().join(", ")
    };

    // A registry that holds nothing of it, and would fetch it for others.
    for path in [fixture.upstream_metadata(), upstream_zip.clone()] {
        upstream.then(&path, Reply::new(404).text("not found: temporarily unavailable"));
    }
    for path in [&list, &zip] {
        rig.send(passive(path)).await.expect_status(404);
    }
    assert_eq!(upstream.count(&record_at("1.0.0")), 0, "nobody is asked for the hash of what nobody holds");
    // That nobody held it does not mean that there is none.
    rig.get(&list).await.expect_status(200);
    assert!(rig.get(&zip).await.expect_status(200).bytes() == fixture.bytes(SMALL));
    assert_eq!(told(&fixture.upstream_metadata()), "true, no");
    assert_eq!(told(&upstream_zip), "true, no");

    // What is held is served, however old: nobody is asked.
    rig.until_written().await;
    let asked = upstream.total();
    for path in [&list, &zip] {
        rig.send(passive(path)).await.expect_status(200);
    }
    assert_eq!(upstream.total(), asked);

    // What the registry holds comes verified, and stays.
    let (zip, upstream_zip) = file("1.1.0", "zip");
    assert!(rig.send(passive(&zip)).await.expect_status(200).bytes() == fixture.bytes(LARGE));
    assert_eq!(told(&upstream_zip), "true");
    assert_eq!(told(&record_at("1.1.0")), "no", "the hash is asked for as always");
    rig.until_hit(&zip).await;

    // Whoever wants a fetch does not wait for somebody who does not.
    let (path, upstream_path) = file("1.1.0", "mod");
    let gate = Gate::shut();
    upstream.then(&upstream_path, Reply::new(404).hold_head(&gate));
    let waiting = {
        let client = rig.client();
        let ask = passive(&path);
        tokio::spawn(async move { client.send(ask).await.status })
    };
    upstream.wait_for(&upstream_path, 1).await;
    assert_eq!(rig.get(&path).await.expect_status(200).text(), go_mod(PACKAGE));
    gate.open();
    assert_eq!(waiting.await.unwrap(), 404);
    rig.get(&path).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_registry_adds_modules_and_gives_all_of_a_version() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let mut own = Fixture::new(&GO);
    own.install_documents(&first);
    let public = own.publish("2.0.0", 3_000);
    let version = own.package.releases[public].version.clone();
    own.install(&second);
    let manifest = without_database(Manifest::of(&GO, &first))
        .with("upstream.fallbacks", json!([{"url": second.url(BASE), "when": "NotFound"}]))
        .with("upstream.retry.attempts", 0)
        .with("cache.negativeTTL", "1h");
    let rig = Rig::serve([manifest.always_revalidating()]).await;
    let ((mod_path, upstream_mod), (zip_path, upstream_zip)) = (file(&version, "mod"), file(&version, "zip"));
    rig.get(&mod_path).await.expect_status(200);
    rig.until_written().await;
    // The first registry learns of the version too, with other content: it stays the second one's.
    first.set(&upstream_mod, Resource::new("module evil.example\n", "text/plain"));
    let other = zip(&folder(&version), "module other.example\n", 99, 3_000);
    first.set(&upstream_zip, Resource::file(other));
    assert!(rig.get(&zip_path).await.expect_status(200).bytes() == own.bytes(public));
    assert_eq!(first.count(&upstream_zip), 0, "only the one that gave go.mod is asked");

    // A document that only the second one has: the first is not asked again while its word counts.
    let latest = format!("{}/@latest", escaped("only-there"));
    second.set(&format!("{BASE}{latest}"), Resource::new(r#"{"Version":"v1.0.0"}"#, "application/json"));
    for _ in 0..3 {
        rig.get(&format!("/go/{latest}")).await.expect_status(200);
    }
    tests::wait::until("a revalidation", || async {
        rig.get(&format!("/go/{latest}")).await.expect_status(200);
        (second.count(&format!("{BASE}{latest}")) > 1).then_some(())
    })
    .await;
    assert_eq!(first.count(&format!("{BASE}{latest}")), 1);

    // What the first one lacks cannot be known while it does not answer.
    first.fail_with(Reply::new(503));
    let missing = format!("/go/{}/@v/list", escaped("missing"));
    rig.get(&missing).await.expect_status(502);
    first.recover();
    rig.get(&missing).await.expect_status(404);
}
