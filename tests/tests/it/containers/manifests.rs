//! Manifests by tag and by digest: what is asked, what is served, and what is refused.

use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::Digest as _;
use tests::fixture::container::{digest, image, manifest};
use tests::wait::until;
use tests::{Ask, Manifest, Reply, Resource, Upstream};

use super::{at, blob, serve, tag};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn index(children: &[&str]) -> serde_json::Value {
    let child = |digest: &&str| json!({"mediaType": OCI, "digest": digest, "size": 1});
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children.iter().map(child).collect::<Vec<_>>()})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_and_its_digest_are_one_document() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    let child = tag(&upstream, "team/a", "amd64", &image("a", &[("1", b"layer")]));
    let latest = tag(&upstream, "team/a", "latest", &index(&[&child]));
    // As containerd does: a HEAD of the tag, then everything by digest.
    let head = rig.send(Ask::head("/v2/team/a/manifests/latest")).await.expect_status(200);
    let get = rig.get(&format!("/v2/team/a/manifests/{latest}")).await.expect_status(200);
    assert_eq!(digest(get.bytes()), latest);
    for answer in [&head, &get] {
        assert_eq!(answer.header("docker-content-digest"), latest);
        assert_eq!(answer.header("content-type"), INDEX);
        assert_eq!(answer.header("content-length"), get.bytes().len().to_string());
        assert_eq!(answer.header("etag"), format!("\"{latest}\""));
    }
    assert!(get.header("cache-control").contains("immutable") && !head.header("cache-control").contains("immutable"));
    assert_eq!(upstream.total(), 1, "{:?}", upstream.requests());
    let current = Ask::get("/v2/team/a/manifests/latest").header("If-None-Match", &format!("\"{latest}\""));
    rig.send(current).await.expect_status(304);
    let blob_path = blob(&upstream, "team/a", b"layer");
    let cold = rig.get(&format!("/v2/{blob_path}")).await.expect_status(200);
    assert_eq!((cold.header("docker-content-digest"), cold.text().as_str()), (digest(b"layer").as_str(), "layer"));
    let warm = rig.until_hit(&format!("/v2/{blob_path}")).await;
    assert_eq!(warm.header("etag"), format!("\"{}\"", digest(b"layer")));
    assert_eq!((warm.header("accept-ranges"), warm.header("content-type")), ("bytes", "application/octet-stream"));
    let head = rig.send(Ask::head(&format!("/v2/{blob_path}"))).await.expect_status(200);
    assert_eq!((head.header("content-length"), head.header("docker-content-digest")), ("5", digest(b"layer").as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_client_takes_the_upstream_is_asked_for_everything() {
    let (upstream, rig) = serve(Manifest::always_revalidating).await;
    let latest = tag(&upstream, "a", "x", &index(&[]));
    let six = [
        OCI,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        INDEX,
    ];
    let lines = six.iter().fold(Ask::get("/v2/a/manifests/x"), |ask, kind| ask.header("Accept", kind));
    for ask in [lines, Ask::get("/v2/a/manifests/x").header("Accept", OCI), Ask::get("/v2/a/manifests/x")] {
        let answer = rig.send(ask).await.expect_status(200);
        assert_eq!((answer.header("docker-content-digest"), answer.header("content-type")), (latest.as_str(), INDEX));
    }
    for request in upstream.requests() {
        let accept = request.header("accept").unwrap_or_default();
        assert!([OCI, INDEX, "manifest.list.v2", "manifest.v2"].iter().all(|kind| accept.contains(kind)), "{accept}");
        assert!(!accept.contains("distribution.manifest.v1") && !accept.contains('*'), "{accept}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_ever_coded() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    let layers: Vec<(String, Vec<u8>)> = (0..50).map(|n| (n.to_string(), n.to_string().into_bytes())).collect();
    let layers: Vec<(&str, &[u8])> = layers.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let document = image("a", &layers);
    let latest = tag(&upstream, "a", "x", &document);
    upstream.set(&at("a/manifests/x"), manifest(&document).gzipped());
    let path = blob(&upstream, "a", &[b'a'; 10_000]);
    for target in ["/v2/a/manifests/x".to_owned(), format!("/v2/a/manifests/{latest}"), format!("/v2/{path}")] {
        for _ in 0..2 {
            let answer = rig.send(Ask::get(&target).header("Accept-Encoding", "gzip, zstd")).await.expect_status(200);
            assert_eq!(answer.header("content-encoding"), "", "{target}");
            assert_eq!(digest(answer.bytes()), answer.header("docker-content-digest"), "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_is_confirmed_by_a_head() {
    let (upstream, rig) = serve(Manifest::always_revalidating).await;
    let (path, upstream_path) = ("/v2/a/manifests/x", at("a/manifests/x"));
    let first = tag(&upstream, "a", "x", &image("one", &[]));
    let asked =
        || upstream.requests_of(&upstream_path).iter().map(|request| request.method.clone()).collect::<Vec<_>>();
    let told = async |expected: &str| {
        let answer = rig.get(path).await.expect_status(200);
        assert_eq!(answer.header("docker-content-digest"), expected);
        assert_eq!(digest(answer.bytes()), expected);
        answer.cache_status().to_owned()
    };
    told(&first).await;
    assert_eq!(asked(), ["GET"]);
    let confirmed = until("the document to be held", || async {
        let status = told(&first).await;
        status.contains("fwd-status=304").then_some(status)
    })
    .await;
    assert!(confirmed.contains("fwd=stale"), "{confirmed}");
    let requests = asked();
    assert_eq!(requests.iter().filter(|method| *method == "GET").count(), 1, "a manifest that is held was fetched");
    // It moves: a HEAD tells, and a GET follows.
    let second = tag(&upstream, "a", "x", &image("two", &[]));
    told(&second).await;
    assert_eq!(asked()[requests.len()..], ["HEAD", "GET"]);
    // What was pulled by digest before stays.
    let old = rig.get(&format!("/v2/a/manifests/{first}")).await.expect_status(200);
    assert_eq!(digest(old.bytes()), first);
    // A registry that refuses a HEAD, knows none or says nothing in it, is asked in the ordinary way.
    for reply in [Reply::new(405), Reply::new(401), Reply::new(404), Reply::new(200)] {
        upstream.then(&upstream_path, reply);
        let before = asked().len();
        told(&second).await;
        assert_eq!(asked()[before..], ["HEAD", "GET"]);
    }
    // It is gone, and says so.
    upstream.unset(&upstream_path);
    rig.get(path).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_limits_us_gets_no_more_requests_and_the_tag_is_served() {
    let (upstream, rig) = serve(Manifest::always_revalidating).await;
    let latest = tag(&upstream, "a", "x", &image("one", &[]));
    rig.get("/v2/a/manifests/x").await.expect_status(200);
    rig.until_written().await;
    for (said, remaining) in [("3;w=21600", 3), ("0;w=21600", 0)] {
        upstream.then(&at("a/manifests/x"), Reply::new(304).header("RateLimit-Remaining", said));
        rig.get("/v2/a/manifests/x").await.expect_status(200);
        assert_eq!(rig.metrics().await.sum("packageproxy_upstream_ratelimit_remaining", &[]), remaining);
    }
    upstream.fail_with(Reply::new(429).header("Retry-After", "60"));
    let before = upstream.total();
    for _ in 0..3 {
        let answer = rig.get("/v2/a/manifests/x").await.expect_status(200);
        assert_eq!(answer.header("docker-content-digest"), latest);
        assert!(answer.cache_status().contains("stale-if-error"), "{}", answer.cache_status());
    }
    assert_eq!(upstream.total(), before + 1, "the registry asked for a pause");
    let cold = rig.get("/v2/a/manifests/other").await.expect_status(503);
    assert!(cold.header("retry-after").parse::<u64>().unwrap() <= 60);
    assert!(cold.text().contains("UNAVAILABLE"), "{}", cold.text());
    rig.get(&format!("/v2/a/manifests/{latest}")).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_what_a_digest_says() {
    let (upstream, rig) = serve(|manifest| manifest.with("cache.negativeTTL", "0s")).await;
    let (right, wrong) = (image("right", &[]), image("wrong", &[]));
    let expected = digest(right.to_string().as_bytes());
    let lying = || Reply::ok(wrong.to_string()).header("Docker-Content-Digest", &expected).header("Content-Type", OCI);
    // The header agrees with the name, and the bytes do not.
    upstream.set(&at(&format!("a/manifests/{expected}")), lying());
    let answer = rig.get(&format!("/v2/a/manifests/{expected}")).await.expect_status(502);
    assert!(answer.text().contains(&digest(wrong.to_string().as_bytes())), "{}", answer.text());
    // A tag whose header lies.
    upstream.set(&at("a/manifests/x"), lying());
    rig.get("/v2/a/manifests/x").await.expect_status(502);
    rig.until_written().await;
    assert!(rig.stored_copies(wrong.to_string().as_bytes()).is_empty());
    // The other algorithm is computed as well.
    let long = |document: &serde_json::Value| {
        format!("sha512:{}", HEXLOWER.encode(&sha2::Sha512::digest(document.to_string())))
    };
    let name = long(&right);
    for (document, status) in [(&wrong, 502), (&right, 200)] {
        upstream.set(&at(&format!("b/manifests/{name}")), Resource::new(document.to_string(), OCI));
        let answer = rig.get(&format!("/v2/b/manifests/{name}")).await.expect_status(status);
        assert!(status != 200 || answer.header("docker-content-digest") == name);
    }
    // Blobs: small and whole, or large and broken off.
    for length in [1_000, 300_000] {
        let bytes = vec![7; length];
        let path = format!("a/blobs/{}", digest(&bytes));
        let mut other = bytes.clone();
        other[length / 2] = 8;
        upstream.set(&at(&path), Resource::file(other));
        let open = rig.client().open(Ask::get(&format!("/v2/{path}"))).await.unwrap();
        assert!(!open.finish().await.is_complete_success(), "{length}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_moves_during_a_pull_gives_one_image() {
    let (upstream, rig) = serve(Manifest::always_revalidating).await;
    let one = tag(&upstream, "a", "x", &image("one", &[("1", b"first layer")]));
    let head = rig.send(Ask::head("/v2/a/manifests/x")).await.expect_status(200);
    blob(&upstream, "a", b"first layer");
    tag(&upstream, "a", "x", &image("two", &[("2", b"second layer")]));
    let two = rig.send(Ask::head("/v2/a/manifests/x")).await.expect_status(200);
    assert_eq!(head.header("docker-content-digest"), one);
    assert_ne!(two.header("docker-content-digest"), one);
    let document = rig.get(&format!("/v2/a/manifests/{one}")).await.expect_status(200);
    assert_eq!(digest(document.bytes()), one);
    rig.get(&format!("/v2/a/blobs/{}", digest(b"first layer"))).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_no_manifests() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    let large = image(&"x".repeat(4 << 20), &[]);
    let signed = json!({"schemaVersion": 1, "name": "a", "tag": "x", "fsLayers": [], "history": [], "signatures": []});
    let both = json!({"schemaVersion": 2, "layers": [], "manifests": []});
    for (number, reply) in [
        Reply::ok("<html>sign in</html>").header("Content-Type", "text/html"),
        Reply::ok("<html>sign in</html>").header("Content-Type", OCI),
        Reply::ok("{\"errors\":[]}").header("Content-Type", OCI),
        Reply::ok("").header("Content-Type", OCI),
        Reply::ok(large.to_string()).header("Content-Type", OCI),
        Reply::ok(signed.to_string()).header("Content-Type", "application/vnd.docker.distribution.manifest.v1+json"),
        Reply::ok(both.to_string()).header("Content-Type", OCI),
    ]
    .into_iter()
    .enumerate()
    {
        upstream.set(&at(&format!("a{number}/manifests/x")), reply);
        let answer = rig.get(&format!("/v2/a{number}/manifests/x")).await.expect_status(502);
        assert!(answer.text().starts_with("{\"errors\":["), "{}", answer.text());
    }
    let just = image(&"x".repeat((4 << 20) - 1000), &[]);
    tag(&upstream, "b", "x", &just);
    rig.get("/v2/b/manifests/x").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_down_leaves_what_is_held() {
    let (upstream, rig) =
        serve(|manifest| manifest.with("cache.metadataTTL", "1s").with("cache.staleWhileRevalidate", "0s")).await;
    let latest = tag(&upstream, "a", "x", &image("one", &[]));
    rig.get("/v2/a/manifests/x").await.expect_status(200);
    rig.until_written().await;
    upstream.stop().await;
    let stale = until("the tag to be stale", || async {
        let answer = rig.get("/v2/a/manifests/x").await.expect_status(200);
        answer.cache_status().contains("stale-if-error").then_some(answer)
    });
    let answer = tokio::time::timeout(Duration::from_secs(30), stale).await.unwrap();
    assert_eq!(answer.header("docker-content-digest"), latest);
    rig.get(&format!("/v2/a/manifests/{latest}")).await.expect_status(200);
    assert!((502..=504).contains(&rig.get("/v2/a/manifests/y").await.status.as_u16()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_pushed_a_moment_ago_can_be_pulled() {
    let (upstream, rig) = serve(|manifest| manifest.with("cache.negativeTTL", "1h")).await;
    let layers: [(&str, &[u8]); 1] = [("1", b"layer")];
    let document = image("a", &layers);
    let child = format!("/v2/a/manifests/{}", digest(document.to_string().as_bytes()));
    let layer = format!("/v2/a/blobs/{}", digest(b"layer"));
    // Somebody looks whether it is there: it is not, and that is remembered.
    for path in [&child, &layer] {
        for _ in 0..2 {
            rig.get(path).await.expect_status(404);
        }
    }
    assert_eq!(upstream.total(), 2);
    // A push brings the layers first and the manifest last: whoever sees the manifest must find the rest.
    blob(&upstream, "a", b"layer");
    let pushed = tag(&upstream, "a", "amd64", &document);
    assert!(child.ends_with(&pushed));
    tag(&upstream, "a", "latest", &index(&[&pushed]));
    rig.get("/v2/a/manifests/latest").await.expect_status(200);
    rig.get(&child).await.expect_status(200);
    assert_eq!(rig.get(&layer).await.expect_status(200).text(), "layer");
}

/// Whoever has the manifest knows that the layer is there, now or in a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_named_layer_is_absent_is_not_remembered() {
    let (upstream, rig) = serve(|manifest| manifest.with("cache.negativeTTL", "1h")).await;
    tag(&upstream, "a", "x", &image("a", &[("1", b"layer")]));
    rig.get("/v2/a/manifests/x").await.expect_status(200);
    let layer = format!("a/blobs/{}", digest(b"layer"));
    for method in ["HEAD", "GET", "HEAD", "GET"] {
        rig.send(Ask::new(method.parse().unwrap(), &format!("/v2/{layer}"))).await.expect_status(404);
    }
    assert_eq!(upstream.count(&at(&layer)), 4);
    blob(&upstream, "a", b"layer");
    assert_eq!(rig.get(&format!("/v2/{layer}")).await.expect_status(200).text(), "layer");
}

/// A manifest may say where else a layer lies: whoever follows that goes wherever a manifest sends him.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_addresses_of_a_layer_are_not_visited() {
    let sentinel = Upstream::start().await;
    // The filter of addresses would let them pass.
    let (upstream, rig) = serve(Manifest::allowing_loopback).await;
    let (held, foreign): (&[u8], &[u8]) = (b"a layer of the registry", b"a layer of somewhere else");
    let mut document = image("a", &[("1", held), ("2", foreign)]);
    for (number, bytes) in [held, foreign].into_iter().enumerate() {
        let path = format!("/blobs/{}", digest(bytes));
        sentinel.set(&path, Resource::file(bytes.to_vec()));
        document["layers"][number]["urls"] = json!([sentinel.url(&path)]);
        document["layers"][number]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".into();
    }
    let name = tag(&upstream, "a", "x", &document);
    blob(&upstream, "a", held);
    for path in ["/v2/a/manifests/x".to_owned(), format!("/v2/a/manifests/{name}")] {
        let answer = rig.get(&path).await.expect_status(200);
        assert!(answer.text().contains(&sentinel.url("/")), "it is passed on as it is");
    }
    let layer = async |bytes| rig.get(&format!("/v2/a/blobs/{}", digest(bytes))).await;
    assert_eq!(layer(held).await.expect_status(200).bytes(), held);
    layer(foreign).await.expect_status(404);
    assert_eq!(upstream.count(&at(&format!("a/blobs/{}", digest(foreign)))), 1, "the registry is asked");
    assert_eq!(sentinel.connections(), 0);
}
