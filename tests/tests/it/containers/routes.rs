//! Which registry a request means, where clients know a host and no path.

use tests::fixture::container::image;
use tests::rig::Setup;
use tests::{Ask, Manifest, Rig, Upstream};

use super::{serve, tag};

fn proxy(name: &str, upstream: &Upstream) -> Manifest {
    Manifest::at(name, "container", &upstream.url(tests::fixture::BASE))
}

/// The `title` of the manifest that a path answers with.
async fn title(rig: &Rig, path: &str) -> String {
    let answer = rig.get(path).await;
    if answer.status != 200 {
        return format!("{} {}", answer.status.as_u16(), answer.text().split('"').nth(5).unwrap_or_default());
    }
    let document: serde_json::Value = serde_json::from_slice(answer.bytes()).unwrap();
    document["annotations"]["org.opencontainers.image.title"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_root_for_all_registries() {
    let (one, two, npm) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    for (upstream, name) in [(&one, "one"), (&two, "two")] {
        tag(upstream, "team/a", "x", &image(name, &[]));
        tag(upstream, "two/a", "x", &image(&format!("{name}/two/a"), &[]));
    }
    let rig = Rig::serve([
        proxy("one", &one).with("upstream.namespace", "one.example"),
        proxy("two", &two),
        Manifest::at("npm", "npm", &npm.url("/")),
    ])
    .await;
    let host = two.address();
    for (path, expected) in [
        ("/v2/team/a/manifests/x?ns=one.example".to_owned(), "one"),
        (format!("/v2/team/a/manifests/x?ns={host}"), "two"),
        (format!("/v2/team/a/manifests/x?ns={}", host.to_string().replace(':', "%3A")), "two"),
        ("/v2/one/team/a/manifests/x".to_owned(), "one"),
        ("/v2/two/team/a/manifests/x".to_owned(), "two"),
        ("/one/v2/team/a/manifests/x".to_owned(), "one"),
        ("/two/v2/team/a/manifests/x?ns=one.example".to_owned(), "two"),
        // The registry is named already: what looks like a proxy's name is a part of the repository's.
        ("/v2/two/a/manifests/x?ns=one.example".to_owned(), "one/two/a"),
        ("/v2/team/a/manifests/x".to_owned(), "404 NAME_UNKNOWN"),
        ("/v2/npm/team/a/manifests/x".to_owned(), "404 NAME_UNKNOWN"),
        ("/v2/team/a/manifests/x?ns=evil.example".to_owned(), "404 NAME_UNKNOWN"),
        ("/v2/team/a/manifests/x?ns=169.254.169.254".to_owned(), "404 NAME_UNKNOWN"),
        ("/v2/team/a/manifests/x?ns=one.example%23@evil.example".to_owned(), "404 NAME_UNKNOWN"),
        (format!("/v2/team/a/manifests/x?ns=http://{host}"), "404 NAME_UNKNOWN"),
        ("/v2/team/a/manifests/x?ns=".to_owned(), "404 NAME_UNKNOWN"),
        ("/v2/_catalog".to_owned(), "404 NAME_UNKNOWN"),
        ("/v2/one/_catalog".to_owned(), "404 NAME_UNKNOWN"),
    ] {
        assert_eq!(title(&rig, &path).await, expected, "{path}");
    }
    for request in one.requests().iter().chain(&two.requests()) {
        assert!(!request.target.contains("ns="), "{request:?}");
    }
    assert_eq!(npm.total(), 0);
    for path in ["/v2/", "/v2", "/v2/one/", "/v2/?ns=one.example", "/one/v2/", "/one/v2"] {
        let answer = rig.get(path).await.expect_status(200);
        assert_eq!(answer.text(), "{}", "{path}");
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0", "{path}");
    }
    let named = rig.get("/v2/team/a/manifests/x?ns=one.example").await;
    assert_eq!(named.header("oci-namespace"), "one.example");
    let refused = rig.get("/v2/team/b/manifests/x?ns=one.example").await.expect_status(404);
    assert_eq!(refused.header("oci-namespace"), "one.example");
    assert_eq!(rig.get("/v2/one/team/a/manifests/x").await.header("oci-namespace"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_registry_needs_no_name() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    tag(&upstream, "a", "x", &image("only", &[]));
    for path in ["/v2/a/manifests/x", "/v2/container/a/manifests/x", "/container/v2/a/manifests/x"] {
        assert_eq!(title(&rig, path).await, "only", "{path}");
    }
    let at_root = Setup::default().manifest(Manifest::of(&tests::fixture::CONTAINER, &upstream)).argument("--root");
    let rig = at_root.start().await;
    rig.get("/v2/").await.expect_status(200);
    assert_eq!(title(&rig, "/v2/a/manifests/x").await, "only");
    assert_eq!(title(&rig, "/v2/a/manifests/x?ns=evil.example").await, "404 NAME_UNKNOWN");
    // There a repository may begin with what the proxy is called.
    tag(&upstream, "container/a", "x", &image("below", &[]));
    assert_eq!(title(&rig, "/v2/container/a/manifests/x").await, "below");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_registry_there_is_no_root() {
    let upstream = Upstream::start().await;
    let rig = Rig::serve([Manifest::at("npm", "npm", &upstream.url("/"))]).await;
    rig.get("/v2/").await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_are_refused_in_the_words_of_the_protocol() {
    let (upstream, rig) = serve(|manifest| manifest).await;
    for (method, path) in [
        ("POST", "/v2/a/blobs/uploads/"),
        ("POST", "/v2/a/blobs/uploads/?mount=sha256:x&from=b"),
        ("PUT", "/v2/a/manifests/x"),
        ("PATCH", "/v2/a/blobs/uploads/1"),
        ("DELETE", "/v2/a/manifests/x"),
    ] {
        let answer = rig.send(Ask::new(method.parse().unwrap(), path)).await.expect_status(405);
        assert!(answer.text().contains("\"UNSUPPORTED\""), "{}", answer.text());
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
    assert_eq!(upstream.total(), 0);
}
