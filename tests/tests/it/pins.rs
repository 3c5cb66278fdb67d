//! Files without a published digest: the first bytes stay the right ones until somebody purges them.

use std::fs;

use tests::bytes_of::corrupted;
use tests::fixture::{BASE, NPM, PYPI, SMALL};
use tests::rig::Setup;
use tests::{Fixture, Manifest, Reply, Resource, Rig, Upstream};

mod republished;

/// Number of the release with a file of a megabyte.
const MEGABYTE: usize = 2;

fn without_digests(fixture: &Fixture, upstream: &Upstream) -> String {
    let anchor = |release: usize| {
        let path = fixture.upstream_artifact(release);
        let name = path.rsplit('/').next().unwrap().to_owned();
        format!("<a href=\"{}\">{name}</a><br/>\n", upstream.url(&path))
    };
    let anchors: String = (0..fixture.package.releases.len()).map(anchor).collect();
    format!("<!DOCTYPE html><html><body><h1>tiny-lab</h1>\n{anchors}</body></html>")
}

/// A page without hashes, its files seen once, and their blobs gone.
async fn start() -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(&PYPI);
    assert_eq!(fixture.publish("1.2.0", 1 << 20), MEGABYTE);
    fixture.install(&upstream);
    let page = Resource::new(without_digests(&fixture, &upstream), "text/html");
    upstream.set(&fixture.upstream_metadata(), page);
    let manifest = Manifest::of(&PYPI, &upstream).with("cache.negativeTTL", "0s").with("upstream.retry.attempts", 0);
    let rig = Setup::default().manifest(manifest).argument("--blob-memory").argument("0").start().await;
    rig.get(&fixture.metadata()).await.expect_status(200);
    for release in [SMALL, MEGABYTE] {
        let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
        assert!(answer.bytes() == fixture.bytes(release));
        rig.until_hit(&fixture.artifact(release)).await;
    }
    rig.until_written().await;
    (fixture, upstream, rig)
}

/// Takes the one copy of these bytes from the disk.
pub(crate) fn lose(rig: &Rig, bytes: &[u8]) {
    let copies = rig.stored_copies(bytes);
    assert_eq!(copies.len(), 1, "{copies:?}");
    fs::remove_file(&copies[0]).unwrap();
}

async fn purge(rig: &Rig, proxy: &str, package: &str) {
    let arguments = ["purge", "--proxy", proxy, "--package", package, "--admin", "{admin}"];
    let (code, printed) = rig.command(&arguments).await;
    assert_eq!(code, Some(0), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_bytes_stay_while_they_are_held() {
    let (fixture, upstream, mut rig) = start().await;
    for release in [SMALL, MEGABYTE] {
        upstream.set(&fixture.upstream_artifact(release), Resource::file(corrupted(fixture.bytes(release))));
        for restarted in [false, true] {
            if restarted {
                rig.restart().await;
            }
            let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
            assert!(answer.bytes() == fixture.bytes(release), "release {release}, restarted {restarted}");
        }
        assert_eq!(upstream.count(&fixture.upstream_artifact(release)), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_bytes_come_back_only_as_they_were() {
    let (fixture, upstream, rig) = start().await;
    for release in [SMALL, MEGABYTE] {
        lose(&rig, fixture.bytes(release));
        let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
        assert!(answer.bytes() == fixture.bytes(release));
        rig.until_hit(&fixture.artifact(release)).await;
        assert_eq!(upstream.count(&fixture.upstream_artifact(release)), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_bytes_are_refused_until_a_purge() {
    for release in [SMALL, MEGABYTE] {
        let (fixture, upstream, mut rig) = start().await;
        let (path, at) = (fixture.artifact(release), fixture.upstream_artifact(release));
        let changed = corrupted(fixture.bytes(release));
        lose(&rig, fixture.bytes(release));
        // A 404 in between is no reason to take whatever comes next.
        upstream.unset(&at);
        rig.get(&path).await.expect_status(404);
        upstream.set(&at, Resource::file(changed.clone()));
        for restarted in [false, true] {
            if restarted {
                rig.restart().await;
            }
            for round in 0..3 {
                let answer = rig.get(&path).await;
                assert!(!answer.is_complete_success(), "release {release}, round {round}: changed bytes were served");
                // A file that flows is cut; the others, and everyone from the second failure on, are told why.
                if release == SMALL || round == 2 {
                    let answer = answer.expect_status(502);
                    assert!(answer.text().contains("purge"), "{}", answer.text());
                }
            }
        }
        assert_eq!(upstream.count(&at), 1 + 1 + 2 + 2, "two tries, then a pause, in each run");
        rig.until_written().await;
        assert!(rig.stored_copies(&changed).is_empty(), "changed bytes were kept");
        // It lifts the pin and the pause.
        purge(&rig, "pypi", "tiny-lab").await;
        let answer = rig.get(&path).await.expect_status(200);
        assert!(answer.bytes() == &changed);
        let kept = rig.until_hit(&path).await;
        assert!(kept.bytes() == &changed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_lifts_the_pause_after_wrong_digests() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Rig::serve([Manifest::of(&NPM, &upstream)]).await;
    let at = fixture.upstream_artifact(SMALL);
    upstream.set(&at, Resource::file(corrupted(fixture.bytes(SMALL))));
    for _ in 0..3 {
        rig.get(&fixture.artifact(SMALL)).await.expect_status(502);
    }
    assert_eq!(upstream.count(&at), 2);
    fixture.install(&upstream);
    rig.get(&fixture.artifact(SMALL)).await.expect_status(502);
    purge(&rig, "npm", "tiny-lab").await;
    let answer = rig.get(&fixture.artifact(SMALL)).await.expect_status(200);
    assert!(answer.bytes() == fixture.bytes(SMALL));
    let (code, printed) =
        rig.command(&["purge", "--proxy", "nobody", "--package", "tiny-lab", "--admin", "{admin}"]).await;
    assert!(code != Some(0) && printed.contains("npm"), "a purge of no proxy: {code:?} {printed}");
}

/// The unmarked end of a body is no proof that it is whole: it is not kept, and so does not become a pin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_unknown_length_is_no_pin() {
    for (coding, release) in [("", SMALL), ("xchunked", SMALL), ("", MEGABYTE), ("xchunked", MEGABYTE)] {
        let upstream = Upstream::start().await;
        let mut fixture = Fixture::new(&PYPI);
        fixture.publish("1.2.0", 1 << 20);
        fixture.install(&upstream);
        let page = Resource::new(without_digests(&fixture, &upstream), "text/html");
        upstream.set(&fixture.upstream_metadata(), page);
        let rig = Rig::serve([Manifest::of(&PYPI, &upstream)]).await;
        rig.get(&fixture.metadata()).await.expect_status(200);
        let whole = fixture.bytes(release).clone();
        let part = whole.slice(..whole.len() / 2);
        let reply = Reply::ok(part.clone()).until_close();
        let reply = if coding.is_empty() { reply } else { reply.header("Transfer-Encoding", coding) };
        upstream.set(&fixture.upstream_artifact(release), reply);
        let _ = rig.client().open(tests::Ask::get(&fixture.artifact(release))).await.unwrap().finish().await;
        rig.until_written().await;
        assert!(rig.stored_copies(&part).is_empty(), "{coding:?}, release {release}: half a file was kept");
        upstream.set(&fixture.upstream_artifact(release), Resource::file(whole.clone()));
        let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
        assert!(answer.bytes() == &whole, "{coding:?}, release {release}");
        rig.until_hit(&fixture.artifact(release)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_page_of_unknown_length_is_not_kept() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&PYPI);
    fixture.install(&upstream);
    let rig = Rig::serve([Manifest::of(&PYPI, &upstream).with("cache.metadataTTL", "1h")]).await;
    let page = without_digests(&fixture, &upstream);
    let half = page[..page.find("tiny_lab-1.1.0").unwrap()].rfind("<a").unwrap();
    let cut = Reply::ok(page[..half].to_owned()).header("Content-Type", "text/html").until_close();
    upstream.set(&format!("{BASE}simple/tiny-lab/"), cut);
    let _ = rig.get(&fixture.metadata()).await;
    rig.until_written().await;
    upstream.set(&fixture.upstream_metadata(), Resource::new(page, "text/html"));
    let answer = rig.get(&fixture.metadata()).await.expect_status(200);
    assert_eq!(fixture.protocol.versions(answer.bytes()), ["1.0.0", "1.1.0"], "half a page was kept");
    rig.until_hit(&fixture.metadata()).await;
}
