//! Failures that other proxies have had, and that no other test here is about.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use tests::fixture::{BASE, LARGE, NPM, PYPI, SMALL};
use tests::rig::Setup;
use tests::{Ask, Client, Fixture, Gate, Manifest, Reply, Resource, Rig, Upstream};

const MEBIBYTE: usize = 1 << 20;

async fn npm() -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Rig::serve([Manifest::of(&NPM, &upstream)]).await;
    (fixture, upstream, rig)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_flows_in_little_memory() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    let release = fixture.publish("9.0.0", 96 * MEBIBYTE);
    fixture.install(&upstream);
    let gate = Gate::shut();
    let resource = Resource::file(fixture.bytes(release).clone());
    let body = resource.body();
    let reply = resource.head().bytes(body.slice(..MEBIBYTE)).hold(&gate).bytes(body.slice(MEBIBYTE..));
    upstream.set(&fixture.upstream_artifact(release), reply);
    let rig = Rig::serve([Manifest::of(&NPM, &upstream).with("upstream.idleTimeout", "60s")]).await;
    let mut first = rig.client().open(Ask::get(&fixture.artifact(release))).await.unwrap();
    assert!(first.read(64 << 10).await, "the first byte waits for the last");
    let mut second = rig.client().open(Ask::get(&fixture.artifact(release))).await.unwrap();
    assert!(second.read(64 << 10).await);
    drop(first);
    gate.open();
    assert!(second.equals(fixture.bytes(release)).await);
    assert_eq!(upstream.count(&fixture.upstream_artifact(release)), 1);
    let peak = rig.peak_memory() / MEBIBYTE as u64;
    assert!(peak < 90, "{peak} MiB for a file of 96");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_upstream_fails_by_idleness_not_by_total_time() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let bytes = fixture.bytes(LARGE).clone();
    let resource = Resource::file(bytes.clone());
    let manifest = Manifest::of(&NPM, &upstream).with("upstream.idleTimeout", "1s").with("upstream.readTimeout", "1s");
    let rig = Rig::serve([manifest]).await;
    // Slower in total than every limit, but never idle.
    let pause = std::time::Duration::from_millis(200);
    upstream.then(&fixture.upstream_artifact(LARGE), resource.head().dripping(&bytes, 50_000, pause));
    let slow = rig.get(&fixture.artifact(LARGE)).await.expect_status(200);
    assert!(slow.bytes() == &bytes);
    // Idle for good: aborted, and the rest is not to be had either.
    upstream.set(&fixture.upstream_artifact(SMALL), Resource::file(fixture.bytes(SMALL).clone()).head().stall());
    assert!(!rig.get(&fixture.artifact(SMALL)).await.is_complete_success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_cold_clients_of_two_keys() {
    let (fixture, upstream, rig) = npm().await;
    let asks = (0..128).map(|number| {
        let path = if number % 2 == 0 { fixture.metadata() } else { fixture.artifact(LARGE) };
        let client = rig.client();
        async move { client.get(&path).await }
    });
    for answer in futures_util::future::join_all(asks).await {
        assert!(answer.is_complete_success(), "{}", answer.status);
    }
    let asked = (upstream.count(&fixture.upstream_metadata()), upstream.count(&fixture.upstream_artifact(LARGE)));
    assert_eq!(asked, (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn label_and_bytes_agree_in_every_coding() {
    let (fixture, upstream, rig) = npm().await;
    let true_text = fixture.document(&upstream).body().clone();
    let json = |name: &str, body: Vec<u8>, coding: &str| {
        let reply = Reply::ok(body).header("Content-Type", "application/json");
        let reply = if coding.is_empty() { reply } else { reply.header("Content-Encoding", coding) };
        upstream.set(&format!("{BASE}{name}"), reply);
    };
    let renamed = |name: &str| String::from_utf8_lossy(&true_text).replace("tiny-lab", name).into_bytes();
    let pack = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    json("plain", renamed("plain"), "");
    json("packed", pack(&renamed("packed")), "gzip");
    json("called-identity", renamed("called-identity"), "identity");
    json("old-name", pack(&renamed("old-name")), "x-gzip");
    for name in ["plain", "packed", "called-identity", "old-name"] {
        for accepted in ["identity", "gzip", "zstd", "gzip, zstd", "*"] {
            let ask = Ask::get(&format!("/npm/{name}")).header("Accept-Encoding", accepted);
            let answer = rig.send(ask).await.expect_status(200);
            let text = match answer.header("content-encoding") {
                "" => answer.bytes().to_vec(),
                "gzip" => {
                    assert!(accepted.contains(['g', '*']), "{name} {accepted}: gzip");
                    let mut text = Vec::new();
                    GzDecoder::new(answer.bytes().as_ref())
                        .read_to_end(&mut text)
                        .expect("what is labelled gzip is gzip");
                    text
                }
                "zstd" => {
                    assert!(accepted.contains(['z', '*']), "{name} {accepted}: zstd");
                    assert!(answer.bytes().starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "{name}: labelled zstd");
                    continue;
                }
                other => panic!("{name} {accepted}: {other}"),
            };
            assert_eq!(NPM.versions(&text), ["1.0.0", "1.1.0"], "{name} {accepted}");
            let link = NPM.link(&String::from_utf8_lossy(&text), "", name, "1.0.0").unwrap();
            assert!(link.starts_with(&format!("http://{}/npm/{name}/-/", rig.data())), "{name} {accepted}: {link}");
        }
    }
    // Labels that are wrong or that nobody asked for: an error, never garbage.
    json("not-packed", renamed("not-packed"), "gzip");
    json("twice", pack(&pack(&renamed("twice"))), "gzip, gzip");
    json("unknown", renamed("unknown"), "br");
    for name in ["not-packed", "twice", "unknown"] {
        let answer = rig.get(&format!("/npm/{name}")).await;
        assert!(answer.status == 502 || NPM.versions(answer.bytes()).len() == 2, "{name}: {}", answer.status);
    }
    // A tarball is passed on as the bytes that its digest is of, whatever label it has.
    let labelled = Resource::file(fixture.bytes(SMALL).clone()).header("Content-Encoding", "x-unknown");
    upstream.set(&fixture.upstream_artifact(SMALL), labelled);
    let file = rig.get(&fixture.artifact(SMALL)).await;
    assert!(file.status == 502 || (file.bytes() == fixture.bytes(SMALL) && file.header("content-encoding").is_empty()));
}

use tests::Protocol as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_documents_keep_what_clients_check() {
    let (fixture, upstream, rig) = npm().await;
    let get = async |accept: &str| -> Value {
        let answer = rig.send(Ask::get(&fixture.metadata()).header("Accept", accept)).await.expect_status(200);
        serde_json::from_slice(answer.bytes()).unwrap()
    };
    let full = get("application/json").await;
    let mut expected: Value = serde_json::from_slice(fixture.document(&upstream).body()).unwrap();
    for version in ["1.0.0", "1.1.0"] {
        let link = format!("http://{}/npm/tiny-lab/-/tiny-lab-{version}.tgz", rig.data());
        expected["versions"][version]["dist"]["tarball"] = link.into();
    }
    assert_eq!(full, expected, "nothing but the links may change");
    let short = get("application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*").await;
    assert!(short["time"].is_null() && short["readme"].is_null() && short["modified"].is_string());
    assert_eq!(short["versions"]["1.0.0"]["dist"]["signatures"], full["versions"]["1.0.0"]["dist"]["signatures"]);
    assert_eq!(short["versions"]["1.0.0"]["dist"]["tarball"], full["versions"]["1.0.0"]["dist"]["tarball"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_pages_keep_what_clients_check() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&PYPI);
    fixture.install(&upstream);
    let rig = Rig::serve([Manifest::of(&PYPI, &upstream)]).await;
    let get =
        async |accept: &str| rig.send(Ask::get(&fixture.metadata()).header("Accept", accept)).await.expect_status(200);
    let json = get("application/vnd.pypi.simple.v1+json").await;
    let page: Value = serde_json::from_slice(json.bytes()).unwrap();
    let file = &page["files"][0];
    for key in ["filename", "hashes", "requires-python", "core-metadata", "size", "upload-time", "yanked"] {
        assert!(!file[key].is_null(), "{key} is gone: {file}");
    }
    assert_eq!(page["meta"]["api-version"], "1.1");
    assert_eq!(page["versions"], serde_json::json!(["1.0.0", "1.1.0"]));
    let html = get("text/html").await.text();
    let hash = file["hashes"]["sha256"].as_str().unwrap();
    for mark in [&format!("#sha256={hash}"), "data-requires-python=\"&gt;=3.8\"", "data-core-metadata=\"sha256="] {
        assert!(html.contains(mark), "{mark} is gone: {html}");
    }
    let metadata = format!("{}.metadata", fixture.artifact(SMALL));
    assert!(rig.get(&metadata).await.expect_status(200).text().starts_with("Metadata-Version"));
    let bare = rig.get("/pypi/simple/Tiny_Lab").await;
    assert!(matches!(bare.status.as_u16(), 200 | 301 | 308), "{}", bare.status);
    assert_eq!(upstream.count(&fixture.upstream_metadata()), 1, "one upstream document for both forms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_work_under_every_name_of_the_proxy() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let manifest = Manifest::of(&NPM, &upstream).with("externalURL", "https://packages.example/mirror/npm");
    let setup = Setup::default().manifest(manifest);
    let rig = setup
        .argument("--base")
        .argument("http://npm.builds.svc")
        .argument("--base")
        .argument("http://[::1]:8080")
        .start()
        .await;
    for (host, base) in [
        ("packages.example", "https://packages.example/mirror/npm/"),
        ("unknown.example", "https://packages.example/mirror/npm/"),
        ("npm.builds.svc", "http://npm.builds.svc/npm/"),
        ("[::1]:8080", "http://[::1]:8080/npm/"),
        ("localhost:1234", "http://localhost:1234/npm/"),
        ("127.0.0.1:4321", "http://127.0.0.1:4321/npm/"),
    ] {
        let answer = rig.send(Ask::get(&fixture.metadata()).header("Host", host)).await.expect_status(200);
        let link = NPM.link(&answer.text(), "", "tiny-lab", "1.0.0").unwrap();
        assert_eq!(link, format!("{base}tiny-lab/-/tiny-lab-1.0.0.tgz"), "{host}");
    }
    assert_eq!(upstream.count(&fixture.upstream_metadata()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_manifest_at_the_root() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Setup::default().manifest(Manifest::of(&NPM, &upstream)).argument("--root").start().await;
    let answer = rig.get("/tiny-lab").await.expect_status(200);
    let link = NPM.link(&answer.text(), "", "tiny-lab", "1.1.0").unwrap();
    let path = link.strip_prefix(&format!("http://{}", rig.data())).unwrap().to_owned();
    assert_eq!(path, "/tiny-lab/-/tiny-lab-1.1.0.tgz");
    assert!(Client::new(rig.data()).get(&path).await.bytes() == fixture.bytes(LARGE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_in_both_spellings_are_one_key() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    "@tiny/lab".clone_into(&mut fixture.package.name);
    fixture.install(&upstream);
    let rig = Rig::serve([Manifest::of(&NPM, &upstream)]).await;
    for path in ["/npm/@tiny/lab", "/npm/@tiny%2flab", "/npm/@tiny%2Flab"] {
        let answer = rig.get(path).await.expect_status(200);
        assert_eq!(NPM.versions(answer.bytes()), ["1.0.0", "1.1.0"]);
    }
    for path in ["/npm/@tiny/lab/-/lab-1.0.0.tgz", "/npm/@tiny%2flab/-/lab-1.0.0.tgz"] {
        assert!(rig.get(path).await.expect_status(200).bytes() == fixture.bytes(SMALL));
    }
    assert_eq!(upstream.count("/registry/one/@tiny/lab"), 1);
    assert_eq!(upstream.count("/registry/one/@tiny/lab/-/lab-1.0.0.tgz"), 1);
    // A name that only looks like the scoped one is another package.
    rig.get("/npm/tiny-lab").await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn escaped_slashes_in_links_are_rewritten_too() {
    let (fixture, upstream, rig) = npm().await;
    let text = String::from_utf8_lossy(fixture.document(&upstream).body()).replace('/', "\\/");
    upstream.set(&fixture.upstream_metadata(), Resource::new(text, "application/json"));
    let answer = rig.get(&fixture.metadata()).await.expect_status(200);
    let link = NPM.link(&answer.text(), "", "tiny-lab", "1.0.0").unwrap();
    assert!(link.starts_with(&format!("http://{}/npm/", rig.data())), "{link}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_never_mix() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let first = Fixture::new(&NPM);
    first.install(&one);
    let mut second = Fixture::new(&NPM);
    second.package.releases.clear();
    second.publish("8.0.0", 100);
    second.install(&two);
    let at = |name: &str, upstream: &Upstream| Manifest::at(name, "npm", &upstream.url(BASE));
    let rig = Rig::serve([at("one", &one), at("two", &two)]).await;
    for _ in 0..2 {
        assert_eq!(NPM.versions(rig.get("/one/tiny-lab").await.bytes()), ["1.0.0", "1.1.0"]);
        assert_eq!(NPM.versions(rig.get("/two/tiny-lab").await.bytes()), ["8.0.0"]);
        rig.get("/two/tiny-lab/-/tiny-lab-1.0.0.tgz").await.expect_status(404);
    }
}
