//! `cache.maxSize` holds against whoever tries: bodies without end, several owners, forms made to order.

use bytes::Bytes;
use serde_json::{Value, json};
use tests::bytes_of::seeded;
use tests::fixture::{BASE, CONTAINER, LARGE, NPM, SMALL};
use tests::wait::{until, within};
use tests::{Ask, Fixture, Gate, Manifest, Protocol as _, Reply, Resource, Rig, Upstream};

const MEBIBYTE: u64 = 1 << 20;

/// The most that the storage takes until it has come to rest.
async fn peak_until_rest(rig: &Rig) -> u64 {
    let (mut peak, mut last, mut quiet) = (0, 0, 0);
    within("the storage to come to rest", async {
        while quiet < 100 {
            let now = rig.disk_use();
            quiet = if now == last { quiet + 1 } else { 0 };
            last = now;
            peak = peak.max(now);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    peak
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_end_does_not_fill_the_disk() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    let release = fixture.publish("9.0.0", 100);
    fixture.install(&upstream);
    let piece = seeded(NPM.magic(), 7, 1 << 20);
    let end = Gate::shut();
    let endless = (0..80).fold(Reply::new(200), |reply, _| reply.bytes(piece.clone())).hold(&end).chunked();
    upstream.set(&fixture.upstream_artifact(release), endless);
    let manifest = Manifest::of(&NPM, &upstream).with("cache.maxSize", "16Mi").with("upstream.idleTimeout", "5s");
    let rig = Rig::serve([manifest]).await;
    rig.get(&fixture.metadata()).await.expect_status(200);
    let mut client = rig.client().open(Ask::get(&fixture.artifact(release))).await.unwrap();
    assert!(client.read(2 << 20).await);
    drop(client);
    let peak = peak_until_rest(&rig).await / MEBIBYTE;
    assert!(peak <= 20, "{peak} MiB on the disk of a cache of 16");
    for release in [SMALL, LARGE] {
        let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
        assert!(answer.bytes() == fixture.bytes(release));
    }
    end.open();
}

/// What is only announced pushes nothing out: it may never come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_alone_pushes_nothing_out() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    let kept: Vec<usize> = (0..8).map(|number| fixture.publish(&format!("2.{number}.0"), 1 << 20)).collect();
    let announced = fixture.publish("9.0.0", 14 << 20);
    fixture.install(&upstream);
    let (begun, rest) = (Gate::shut(), Gate::shut());
    let body = fixture.bytes(announced);
    let reply = Reply::new(200).bytes(body.slice(..1 << 20)).hold(&begun).bytes(body.slice(1 << 20..)).hold(&rest);
    upstream.set(&fixture.upstream_artifact(announced), reply);
    let rig = Rig::serve([Manifest::of(&NPM, &upstream).with("cache.maxSize", "16Mi")]).await;
    rig.get(&fixture.metadata()).await.expect_status(200);
    for release in &kept {
        rig.get(&fixture.artifact(*release)).await.expect_status(200);
        rig.until_hit(&fixture.artifact(*release)).await;
    }
    // Their own promises have ended.
    rig.until_written().await;
    let mut client = rig.client().open(Ask::get(&fixture.artifact(announced))).await.unwrap();
    assert!(client.read(900 << 10).await);
    until("a promise", || async { (rig.status().await["storage"]["reserved"].as_u64() > Some(0)).then_some(()) }).await;
    let evicted = async || rig.metrics().await.sum("packageproxy_evictions_total", &[]);
    assert_eq!(evicted().await, 0, "for what has not arrived");
    assert!(rig.status().await["storage"]["reserved"].as_u64() <= Some(2 * MEBIBYTE));
    // What arrives takes its room.
    begun.open();
    until("eviction", || async { (evicted().await > 0).then_some(()) }).await;
    rest.open();
    assert!(client.equals(body).await);
    rig.until_hit(&fixture.artifact(announced)).await;
    assert!(rig.disk_use() <= 17 * MEBIBYTE, "{} bytes on the disk", rig.disk_use());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_of_the_same_files_share_one_limit() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    let releases: Vec<usize> = (0..9).map(|number| fixture.publish(&format!("2.{number}.0"), 1 << 20)).collect();
    fixture.install(&upstream);
    let manifest = |name: &str, owner: &str| {
        Manifest::at(name, "npm", &upstream.url(BASE)).with("owner", owner).with("cache.maxSize", "10Mi")
    };
    let rig = Rig::serve([manifest("one", "first"), manifest("two", "second")]).await;
    for _ in 0..2 {
        for release in &releases {
            for name in ["one", "two"] {
                let path = fixture.artifact(*release).replacen("/npm/", &format!("/{name}/"), 1);
                let answer = rig.get(&path).await.expect_status(200);
                assert!(answer.bytes() == fixture.bytes(*release), "{path}");
            }
        }
        // Each owner has blobs of its own: eighteen megabytes were written, and more than ten must not stay.
        until("eviction", || async { (rig.disk_use() <= 11 * MEBIBYTE).then_some(()) }).await;
    }
    // The last file may still be on its way to the disk, and push out another then.
    until("no more to be counted than there may be", || async {
        let metrics = rig.metrics().await;
        let counted = metrics.sum("packageproxy_store_bytes", &[]);
        (counted <= 10 * MEBIBYTE && metrics.sum("packageproxy_evictions_total", &[]) > 0).then_some(())
    })
    .await;
    // What is no longer counted may still be on its way from the disk.
    until("what is counted to be what there is", || async {
        let counted = rig.metrics().await.sum("packageproxy_store_bytes", &[]);
        (counted + MEBIBYTE >= rig.disk_use()).then_some(())
    })
    .await;
}

/// The packument with a readme of this many bytes that no coding makes much smaller.
fn with_readme(fixture: &Fixture, upstream: &Upstream, length: usize) -> Resource {
    let mut document: Value = serde_json::from_slice(fixture.document(upstream).body()).unwrap();
    let readme: String = seeded(&[], 3, length).iter().map(|byte| char::from(b' ' + 2 + byte % 92)).collect();
    document["readme"] = readme.replace('\\', "/").into();
    Resource::new(document.to_string(), "application/json")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_hosts_push_nothing_out() {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&NPM);
    let big = fixture.publish("2.0.0", 4 << 20);
    fixture.install(&upstream);
    upstream.set(&fixture.upstream_metadata(), with_readme(&fixture, &upstream, 600_000));
    let manifest = Manifest::of(&NPM, &upstream).with("cache.maxSize", "16Mi").with("cache.metadataTTL", "1h");
    let rig = Rig::serve([manifest]).await;
    for release in [SMALL, LARGE, big] {
        rig.get(&fixture.artifact(release)).await.expect_status(200);
        rig.until_hit(&fixture.artifact(release)).await;
    }
    for number in 0..60 {
        let host = format!("127.0.0.{}:{}", 2 + number % 30, 1 + number);
        let ask = Ask::get(&fixture.metadata()).header("Host", &host).header("Accept-Encoding", "gzip");
        let answer = rig.send(ask).await.expect_status(200);
        assert!(answer.text().contains(&format!("http://{host}/npm/")), "links for {host}");
    }
    rig.until_written().await;
    assert!(rig.disk_use() <= 12 * MEBIBYTE, "{} bytes for one document and five of files", rig.disk_use());
    for release in [SMALL, LARGE, big] {
        let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
        assert!(answer.is_hit() && answer.bytes() == fixture.bytes(release), "release {release} was pushed out");
        assert_eq!(upstream.count(&fixture.upstream_artifact(release)), 1);
    }
    assert_eq!(rig.metrics().await.sum("packageproxy_evictions_total", &[]), 0);
    assert_eq!(upstream.count(&fixture.upstream_metadata()), 1);
}

/// Lists of which a client can make any number, each a document of its own, push out nothing but each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_lists_take_no_more_than_their_part() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&CONTAINER);
    fixture.install(&upstream);
    let repository = format!("{BASE}v2/{}/", fixture.package.name);
    let manifest = Manifest::of(&CONTAINER, &upstream).with("cache.maxSize", "4Mi").with("cache.metadataTTL", "1h");
    let mut rig = Rig::serve([manifest]).await;
    let files = [fixture.artifact(SMALL), fixture.artifact(LARGE)];
    rig.get(&fixture.metadata()).await.expect_status(200);
    for file in &files {
        rig.get(file).await.expect_status(200);
        rig.until_hit(file).await;
    }
    rig.until_written().await;
    let before = rig.stored_files().len();
    for round in 0..2 {
        for number in 0..500 {
            let tags = json!({"name": fixture.package.name, "tags": [format!("{round}-{number}")]}).to_string();
            upstream.set(&format!("{repository}tags/list"), Resource::new(tags, "application/json"));
            let list = format!("/container/v2/{}/tags/list?n=10&last=made-up-{number}", fixture.package.name);
            rig.get(&list).await.expect_status(200);
        }
        rig.until_written().await;
        // A quarter of four megabytes in blocks of four kilobytes: as many records, and a blob each.
        until("eviction", || async { (rig.stored_files().len() <= before + 2 * 256).then_some(()) }).await;
        for file in &files {
            assert!(rig.get(file).await.expect_status(200).is_hit(), "{file} was pushed out");
        }
        let records = rig.metrics().await.sum("packageproxy_store_records", &[]);
        assert!((200..=256 + 8).contains(&records), "{records} records");
        // Another process counts what it finds.
        rig.restart().await;
        until("the survey", || async {
            (rig.metrics().await.sum("packageproxy_store_records", &[]) >= 200).then_some(())
        })
        .await;
    }
}

/// Many cold names of which each is a 404 take neither disk nor room in the index.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_names_take_no_disk() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Rig::serve([Manifest::of(&NPM, &upstream)]).await;
    rig.get(&fixture.metadata()).await.expect_status(200);
    rig.until_hit(&fixture.metadata()).await;
    rig.until_written().await;
    let before = (rig.stored_files().len(), rig.disk_use());
    for number in 0..300 {
        rig.get(&format!("/npm/made-up-{number}")).await.expect_status(404);
    }
    rig.until_written().await;
    assert_eq!((rig.stored_files().len(), rig.disk_use()), before);
    let kept = rig.get(&fixture.metadata()).await.expect_status(200);
    assert!(kept.is_hit() && kept.bytes() != &Bytes::new());
}
