//! Memory is bounded in total: a hundred large documents at once stay under half a gibibyte.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::future::join_all;
use tests::fixture::{BASE, NPM};
use tests::rig::Setup;
use tests::wait::until;
use tests::{Ask, Fixture, Gate, Manifest, Reply, Rig, Upstream};

use crate::disk::Tmpfs;

const MEBIBYTE: usize = 1 << 20;

/// The versions of a packument of about this length, as the inside of a JSON object.
fn versions(length: usize) -> Bytes {
    let mut text = String::with_capacity(length + 1024);
    let filler = "0123456789abcdef".repeat(40);
    let mut number = 0;
    while text.len() < length {
        let comma = if number == 0 { "" } else { "," };
        text += &serde_json::json!({ "name": "large", "version": format!("1.0.{number}"), "description": filler,
            "dist": {"tarball": format!("http://registry.example/large/-/large-1.0.{number}.tgz"),
                     "shasum": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}})
        .to_string()
        .replacen('{', &format!("{comma}\"1.0.{number}\":{{"), 1);
        number += 1;
    }
    text.into()
}

/// Publishes so many packuments that share their bytes in this process.
fn publish(upstream: &Upstream, documents: usize, length: usize) {
    let versions = versions(length);
    for number in 0..documents {
        let reply = Reply::new(200)
            .header("Content-Type", "application/json")
            .bytes(format!("{{\"_id\":\"large-{number}\",\"name\":\"large-{number}\",\"versions\":{{"))
            .bytes(versions.clone())
            .bytes("},\"dist-tags\":{\"latest\":\"1.0.0\"}}");
        upstream.set(&format!("{BASE}large-{number}"), reply);
    }
}

/// Asks until served: a full budget answers 503 with `Retry-After` after a while, which a client repeats.
async fn fetch(rig: &Rig, number: usize, least: usize) {
    for _ in 0..200 {
        let ask = Ask::get(&format!("/npm/large-{number}")).header("Accept-Encoding", "identity");
        let open = rig.client().open(ask).await.unwrap();
        if open.status == 503 {
            assert!(open.headers.contains_key("retry-after"));
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            continue;
        }
        assert_eq!(open.status, 200);
        assert!(open.drained().await.expect("a whole document") >= least);
        return;
    }
    panic!("document {number} was never served");
}

/// The optimised program, where there is one: forty-megabyte documents are no work for the other.
fn optimised() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("PACKAGEPROXY_BIN_RELEASE") {
        return Some(path.into());
    }
    let test = std::env::current_exe().ok()?;
    let path = test.ancestors().nth(3)?.join("release/packageproxy");
    path.exists().then_some(path)
}

async fn peak(documents: usize, length: usize, program: Option<PathBuf>) -> u64 {
    let upstream = Upstream::start().await;
    publish(&upstream, documents, length);
    let manifest = Manifest::at("npm", "npm", &upstream.url(BASE))
        .with("upstream.readTimeout", "300s")
        .with("upstream.idleTimeout", "300s")
        .with("upstream.queueTimeout", "60s");
    let mut setup = Setup::default().manifest(manifest);
    if let Some(program) = program {
        setup = setup.program(&program);
    }
    let rig = setup.start().await;
    join_all((0..documents).map(|number| fetch(&rig, number, length))).await;
    rig.peak_memory()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_large_packuments_at_once() {
    let Some(program) = optimised() else {
        eprintln!("skipped: no release build of the program");
        return;
    };
    let peak = peak(100, 40 * MEBIBYTE, Some(program)).await / MEBIBYTE as u64;
    assert!(peak < 512, "{peak} MiB resident");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_smaller_packuments_at_once() {
    let peak = peak(60, 4 * MEBIBYTE, None).await / MEBIBYTE as u64;
    assert!(peak < 512, "{peak} MiB resident");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_beyond_the_limit_is_refused_by_name() {
    let upstream = Upstream::start().await;
    publish(&upstream, 1, 2 * MEBIBYTE);
    let manifest = Manifest::at("npm", "npm", &upstream.url(BASE)).with("cache.maxMetadataSize", "1Mi");
    let rig = Rig::serve([manifest]).await;
    let answer = rig.get("/npm/large-0").await.expect_status(502);
    assert!(answer.text().contains("maxMetadataSize"), "{}", answer.text());
}

/// A rig on a disk that opens files and takes nothing of what is written, with this much memory for what it leaves.
async fn on_a_full_disk(manifest: Manifest, memory: &str) -> Option<(Tmpfs, Rig)> {
    let disk = Tmpfs::mount("size=4m")?;
    let ballast = std::fs::write(disk.path().join("ballast"), vec![0; 5 << 20]);
    assert!(ballast.is_err(), "the disk takes more than its size");
    let setup = Setup::default().manifest(manifest).storage(disk.path());
    let rig = setup.argument("--metadata-memory").argument(memory).start().await;
    Some((disk, rig))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_the_disk_does_not_take() {
    let upstream = Upstream::start().await;
    // All of them arrive at once, but for their ends.
    let (versions, ends) = (versions(6 * MEBIBYTE), Gate::shut());
    for number in 0..30 {
        let reply = Reply::new(200)
            .header("Content-Type", "application/json")
            .bytes(format!("{{\"_id\":\"large-{number}\",\"name\":\"large-{number}\",\"versions\":{{"))
            .bytes(versions.clone())
            .hold(&ends)
            .bytes("},\"dist-tags\":{\"latest\":\"1.0.0\"}}");
        upstream.set(&format!("{BASE}large-{number}"), reply);
    }
    let manifest = Manifest::at("npm", "npm", &upstream.url(BASE)).with("upstream.readTimeout", "300s");
    let Some((_disk, rig)) = on_a_full_disk(manifest, "48Mi").await else { return };
    let measured = async {
        until("documents to arrive", || async { (ends.arrived() >= 3).then_some(()) }).await;
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        let peak = rig.peak_memory() / MEBIBYTE as u64;
        ends.open();
        peak
    };
    let fetched = join_all((0..30).map(|number| fetch(&rig, number, 6 * MEBIBYTE)));
    let (peak, _) = tokio::join!(measured, fetched);
    assert!(peak < 150, "{peak} MiB resident");
    assert_eq!(upstream.total(), 30, "nobody was sent away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_the_disk_does_not_take_and_nobody_reads() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    let files: Vec<usize> = (0..60).map(|number| fixture.publish(&format!("2.{number}.0"), 5 << 20)).collect();
    fixture.install(&upstream);
    let Some((_disk, rig)) = on_a_full_disk(Manifest::of(&NPM, &upstream), "24Mi").await else { return };
    rig.get(&fixture.metadata()).await.expect_status(200);
    let opened = files.iter().map(|file| {
        let (client, ask) = (rig.client(), Ask::get(&fixture.artifact(*file)));
        tokio::spawn(async move { client.open(ask).await })
    });
    let mut opened: Vec<_> = opened.collect();
    until("files to begin", || async {
        (opened.iter().filter(|opened| opened.is_finished()).count() >= 5).then_some(())
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let peak = rig.peak_memory() / MEBIBYTE as u64;
    assert!(peak < 110, "{peak} MiB resident");
    // Whoever gives up gives others their turn.
    opened.drain(..).for_each(|opened| opened.abort());
    until("a file for who reads it", || async {
        let answer = rig.get(&fixture.artifact(files[59])).await;
        (answer.is_complete_success() && answer.bytes() == fixture.bytes(files[59])).then_some(())
    })
    .await;
}
