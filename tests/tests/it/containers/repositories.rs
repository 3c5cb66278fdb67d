//! Bytes are stored once and belong to those repositories in which the upstream has them.

use tests::fixture::container::{digest, image};
use tests::rig::Setup;
use tests::{Ask, Gate, Manifest, Reply, Resource, Upstream};

use super::{at, blob, serve, tag};

const LAYER: &[u8] = b"the layer of a private image";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_of_another_repository_is_not_revealed() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    let private = blob(&upstream, "private/a", LAYER);
    rig.get(&format!("/v2/{private}")).await.expect_status(200);
    rig.until_written().await;
    let elsewhere = format!("/v2/public/b/blobs/{}", digest(LAYER));
    for ask in [Ask::get(&elsewhere), Ask::head(&elsewhere), Ask::get(&elsewhere).header("Range", "bytes=0-3")] {
        let answer = rig.send(ask).await.expect_status(404);
        assert!(!answer.text().contains("the layer"));
    }
    // Neither is its length: an absent blob answers alike.
    let absent = rig.get(&format!("/v2/public/b/blobs/{}", digest(b"nothing"))).await.expect_status(404);
    let refused = rig.get(&elsewhere).await;
    let names: Vec<_> = refused.headers.keys().collect();
    assert_eq!(names, absent.headers.keys().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_s_word_is_enough_and_the_bytes_come_once() {
    let (upstream, rig) = serve(|manifest| manifest.with("cache.negativeTTL", "0s")).await;
    let layer = vec![5; 400_000];
    let first = blob(&upstream, "a", &layer);
    assert!(rig.get(&format!("/v2/{first}")).await.expect_status(200).bytes() == &layer);
    rig.until_written().await;
    // The second repository's answer never comes to its end, and need not.
    let second = at(&format!("b/blobs/{}", digest(&layer)));
    let shut = Gate::shut();
    upstream.set(&second, Resource::file(layer.clone()).head().bytes(layer[..1000].to_vec()).hold(&shut));
    let answer = rig.get(&format!("/v2/b/blobs/{}", digest(&layer))).await.expect_status(200);
    assert!(answer.bytes() == &layer);
    assert_eq!(upstream.count(&second), 1);
    rig.until_hit(&format!("/v2/b/blobs/{}", digest(&layer))).await;
    assert_eq!(upstream.count(&second), 1);
    assert_eq!(rig.stored_copies(&layer).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_of_the_repository_is_enough() {
    let (upstream, mut rig) = serve(|manifest| manifest).await;
    let layers: [(&str, &[u8]); 1] = [("1", LAYER)];
    tag(&upstream, "b", "x", &image("b", &layers));
    tag(&upstream, "c", "x", &image("c", &layers));
    let first = blob(&upstream, "a", LAYER);
    // One manifest before the bytes, one after them.
    rig.get("/v2/b/manifests/x").await.expect_status(200);
    rig.get(&format!("/v2/{first}")).await.expect_status(200);
    rig.until_written().await;
    rig.get("/v2/c/manifests/x").await.expect_status(200);
    rig.until_written().await;
    for round in ["at once", "after a restart"] {
        for name in ["b", "c"] {
            let path = format!("/v2/{name}/blobs/{}", digest(LAYER));
            assert_eq!(rig.get(&path).await.expect_status(200).bytes(), LAYER, "{name} {round}");
            let head = rig.send(Ask::head(&path)).await.expect_status(200);
            assert_eq!(head.header("content-length"), LAYER.len().to_string());
            assert_eq!(upstream.count(&at(&format!("{name}/blobs/{}", digest(LAYER)))), 0, "{name} {round}");
        }
        rig.restart().await;
    }
    // And not for those that no manifest names it in.
    rig.get(&format!("/v2/d/blobs/{}", digest(LAYER))).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_is_no_key_to_what_another_owner_has() {
    let upstream = Upstream::start().await;
    let proxy = |name: &str, owner: &str| {
        Manifest::at(name, "container", &upstream.url(tests::fixture::BASE)).with("owner", owner)
    };
    let rig = Setup::default().manifest(proxy("one", "team-one")).manifest(proxy("two", "team-two")).start().await;
    let path = blob(&upstream, "a", LAYER);
    rig.get(&format!("/v2/one/{path}")).await.expect_status(200);
    rig.until_written().await;
    // The second owner's manifest names it, but nobody has given it to the second owner.
    upstream.unset(&at(&path));
    tag(&upstream, "a", "x", &image("a", &[("1", LAYER)]));
    rig.get("/v2/two/a/manifests/x").await.expect_status(200);
    rig.get(&format!("/v2/two/{path}")).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_lies_about_sizes_damages_nothing() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    let first = blob(&upstream, "a", LAYER);
    rig.get(&format!("/v2/{first}")).await.expect_status(200);
    rig.until_written().await;
    let mut document = image("b", &[("1", LAYER)]);
    document["layers"][0]["size"] = 1.into();
    tag(&upstream, "b", "x", &document);
    rig.get("/v2/b/manifests/x").await.expect_status(200);
    // What has another length than the manifest says may have been cut: the upstream is asked.
    blob(&upstream, "b", LAYER);
    let named = rig.get(&format!("/v2/b/blobs/{}", digest(LAYER))).await.expect_status(200);
    assert_eq!(named.bytes(), LAYER);
    assert!(rig.get(&format!("/v2/{first}")).await.is_hit());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_that_the_disk_has_cut_is_given_to_no_repository() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    let layer = bytes::Bytes::from(vec![7; 300_000]);
    let first = blob(&upstream, "a", &layer);
    rig.get(&format!("/v2/{first}")).await.expect_status(200);
    tag(&upstream, "b", "x", &image("b", &[("1", &layer)]));
    rig.get("/v2/b/manifests/x").await.expect_status(200);
    rig.until_written().await;
    let copies = rig.stored_copies(&layer);
    assert_eq!(copies.len(), 1);
    std::fs::File::options().write(true).open(&copies[0]).unwrap().set_len(70_000).unwrap();
    let second = format!("/v2/{}", blob(&upstream, "b", &layer));
    assert!(rig.get(&second).await.expect_status(200).bytes() == &layer);
    rig.until_written().await;
    assert!(rig.get(&format!("/v2/{first}")).await.expect_status(200).bytes() == &layer);
    assert!(rig.get(&second).await.expect_status(200).bytes() == &layer);
}

/// Some registries refuse a HEAD of a blob, and signed addresses are for one method.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_refuses_a_head_is_asked_by_get() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    for (number, refusal) in [400, 401, 403, 405, 501].into_iter().enumerate() {
        let layer = [LAYER, &[number as u8]].concat();
        let path = blob(&upstream, "a", &layer);
        upstream.then(&at(&path), Reply::new(refusal));
        let head = rig.send(Ask::head(&format!("/v2/{path}"))).await.expect_status(200);
        assert_eq!(head.header("content-length"), layer.len().to_string(), "{refusal}");
        let methods: Vec<_> = upstream.requests_of(&at(&path)).into_iter().map(|request| request.method).collect();
        assert_eq!(methods, ["HEAD", "GET"], "{refusal}");
        rig.until_written().await;
        assert!(rig.stored_copies(&layer).is_empty(), "nothing is fetched for a HEAD");
    }
}
