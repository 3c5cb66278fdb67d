//! A purge that comes between: what was asked for before it is neither kept nor given to whoever asks after it.

use tests::fixture::container::{digest, image, manifest};
use tests::fixture::{BASE, CONTAINER, LARGE, NPM};
use tests::wait::within;
use tests::{Ask, Fixture, Gate, Manifest, Reply, Resource, Rig, Upstream};

async fn purge(rig: &Rig, proxy: &str, package: &str) {
    let arguments = ["purge", "--proxy", proxy, "--package", package, "--admin", "{admin}"];
    let (code, printed) = rig.command(&arguments).await;
    assert_eq!(code, Some(0), "{printed}");
}

/// A GET that goes on beside the test.
fn beside(rig: &Rig, path: &str) -> tokio::task::JoinHandle<tests::Answer> {
    let (client, ask) = (rig.client(), Ask::get(path));
    tokio::spawn(async move { client.send(ask).await })
}

async fn npm(tune: impl FnOnce(Manifest) -> Manifest) -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(&NPM);
    fixture.install(&upstream);
    let rig = Rig::serve([tune(Manifest::of(&NPM, &upstream))]).await;
    (fixture, upstream, rig)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_document_names_is_not_noted_after_a_purge() {
    const LAYER: &[u8] = b"a layer that another repository brought";
    let upstream = Upstream::start().await;
    let rig = Rig::serve([Manifest::of(&CONTAINER, &upstream)]).await;
    let brought = format!("a/blobs/{}", digest(LAYER));
    upstream.set(&format!("{BASE}v2/{brought}"), Resource::file(LAYER));
    rig.get(&format!("/v2/{brought}")).await.expect_status(200);
    rig.until_hit(&format!("/v2/{brought}")).await;
    let document = manifest(&image("b", &[("1", LAYER)]));
    let gate = Gate::shut();
    let held = document.head().bytes(document.body().clone()).hold_head(&gate);
    upstream.set(&format!("{BASE}v2/b/manifests/x"), held);
    let asked = beside(&rig, "/v2/b/manifests/x");
    gate.reached(1).await;
    purge(&rig, "container", "b").await;
    gate.open();
    asked.await.unwrap().expect_status(200);
    rig.get(&format!("/v2/b/blobs/{}", digest(LAYER))).await.expect_status(404);
    assert_eq!(upstream.count(&format!("{BASE}v2/b/blobs/{}", digest(LAYER))), 1, "the registry decides");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_not_confirmed_after_a_purge() {
    let (fixture, upstream, rig) = npm(Manifest::always_revalidating).await;
    rig.get(&fixture.metadata()).await.expect_status(200);
    rig.until_written().await;
    let gate = Gate::shut();
    upstream.set(&fixture.upstream_metadata(), Reply::new(304).hold_head(&gate));
    let asked = beside(&rig, &fixture.metadata());
    gate.reached(1).await;
    purge(&rig, "npm", "tiny-lab").await;
    fixture.install(&upstream);
    gate.open();
    asked.await.unwrap().expect_status(200);
    rig.until_written().await;
    let answer = rig.get(&fixture.metadata()).await.expect_status(200);
    assert!(answer.cache_status().contains("fwd=uri-miss"), "{}", answer.cache_status());
    let requests = upstream.requests_of(&fixture.upstream_metadata());
    assert_eq!(requests.last().unwrap().header("if-none-match"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_after_a_purge_gets_no_answer_to_an_earlier_question() {
    let (fixture, upstream, rig) = npm(|manifest| manifest.with("cache.metadataTTL", "1h")).await;
    let paths = [
        (fixture.metadata(), fixture.upstream_metadata()),
        (fixture.artifact(LARGE), fixture.upstream_artifact(LARGE)),
    ];
    for (path, at_upstream) in &paths {
        let gate = Gate::shut();
        upstream.set(at_upstream, Reply::new(404).hold_head(&gate));
        let asked = beside(&rig, path);
        gate.reached(1).await;
        purge(&rig, "npm", "tiny-lab").await;
        fixture.install(&upstream);
        within("an answer of its own", rig.get(path)).await.expect_status(200);
        gate.open();
        assert_eq!(asked.await.unwrap().status, 404);
        // Nor does the late word that there is nothing count.
        rig.until_hit(path).await;
    }
}
