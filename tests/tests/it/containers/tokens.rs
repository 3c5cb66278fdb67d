//! Registries that send their clients to a token server.

use serde_json::json;
use tests::fixture::CONTAINER;
use tests::fixture::container::{digest, image};
use tests::rig::Setup;
use tests::wait::until;
use tests::{Ask, Gate, Manifest, Reply, Resource, Rig, Upstream};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{at, blob, tag};

const CANARY: &str = "CANARY-51c9e0";
const TOKEN: &str = "TOKEN-8f2a77";

/// A registry that takes nothing but [`TOKEN`], the token server that it names, and the program in front of it.
async fn serve(tune: impl FnOnce(Manifest) -> Manifest, secrets: &[(&str, &str)]) -> (Upstream, Upstream, Rig) {
    let (registry, realm) = (Upstream::start().await, Upstream::start().await);
    registry.require(&[&format!("Bearer {TOKEN}")]);
    registry.challenge(&format!(
        "Bearer realm=\"{}\",service=\"registry.example\",scope=\"repository:team/a:pull,pull\"",
        realm.url("/token")
    ));
    realm.set("/token", Reply::ok(json!({"token": TOKEN, "expires_in": 300}).to_string()));
    let manifest = Manifest::of(&CONTAINER, &registry).allowing_loopback().with("upstream.retry.attempts", 0);
    let mut setup = Setup::default().manifest(tune(manifest)).environment("RUST_LOG", "trace");
    setup = setup.environment("PACKAGEPROXY_LOG_LEVEL", "trace");
    for (key, value) in secrets {
        setup = setup.secret("account", key, value);
    }
    (registry, realm, setup.start().await)
}

fn basic(manifest: Manifest) -> Manifest {
    let auth = json!({"type": "Basic", "secretRef": {"name": "account"}});
    manifest.with("upstream.allowPlaintextAuth", true).with("upstream.auth", auth)
}

/// Fails if a secret is in a log line or in a request to somebody who must not have it.
fn assert_kept(rig: &Rig, strangers: &[&Upstream]) {
    for line in rig.logs() {
        assert!(!line.contains(CANARY) && !line.contains(TOKEN), "{line}");
    }
    for request in strangers.iter().flat_map(|stranger| stranger.requests()) {
        assert!(!request.mentions(CANARY) && !request.mentions(TOKEN), "{request:?}");
        assert_eq!(request.header("authorization"), None, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_for_everybody_need_no_account() {
    let (registry, realm, rig) = serve(|manifest| manifest, &[]).await;
    let latest = tag(&registry, "team/a", "x", &image("a", &[("1", b"layer")]));
    let cdn = Upstream::start().await;
    cdn.set("/signed", Resource::file("layer"));
    registry.set(&at(&format!("team/a/blobs/{}", digest(b"layer"))), Reply::redirect(&cdn.url("/signed?signature=x")));
    let answer = rig.get("/v2/team/a/manifests/x").await.expect_status(200);
    assert_eq!(answer.header("docker-content-digest"), latest);
    let layer = rig.get(&format!("/v2/team/a/blobs/{}", digest(b"layer"))).await.expect_status(200);
    assert_eq!(layer.text(), "layer");
    assert_eq!(realm.total(), 1, "one token serves the repository");
    let asked = &realm.requests()[0];
    assert!(asked.target.contains("service=registry.example&scope=repository%3Ateam%2Fa%3Apull%2Cpull"), "{asked:?}");
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(registry.total(), 3, "one 401 at the start: {:?}", registry.requests());
    assert_kept(&rig, &[&cdn, &realm]);
    assert!(answer.header("www-authenticate").is_empty());
}

/// Whoever leaves while something is asked on its behalf takes no place among the requests to the registry with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_before_its_token_comes_takes_no_place_with_it() {
    let (registry, realm, rig) = serve(|manifest| manifest.with("upstream.maxConcurrentRequests", 1), &[]).await;
    let latest = tag(&registry, "team/b", "x", &image("b", &[]));
    let path = blob(&registry, "team/a", b"layer");
    let gate = Gate::shut();
    let token = json!({"token": TOKEN, "expires_in": 300}).to_string();
    realm.set("/token", Reply::ok(token).hold_head(&gate));
    let mut client = TcpStream::connect(rig.data()).await.expect("the server accepts");
    client.write_all(format!("HEAD /v2/{path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.expect("sent");
    gate.reached(1).await;
    drop(client);
    rig.logged(&["\"status\":499", "\"method\":\"HEAD\"", "\"complete\":false"]).await;
    gate.open();
    let answer = rig.get("/v2/team/b/manifests/x").await.expect_status(200);
    assert_eq!(answer.header("docker-content-digest"), latest);
    let labels = [("ecosystem", "none"), ("outcome", "client_left"), ("cache", "bypass")];
    assert_eq!(rig.metrics().await.sum("packageproxy_requests_total", &labels), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_may_not_learns_nothing_and_it_is_not_kept() {
    let (registry, realm, rig) = serve(|manifest| manifest.with("cache.negativeTTL", "1h"), &[]).await;
    registry.require(&["nobody"]);
    let blob = format!("team/a/blobs/{}", digest(b"layer"));
    // One to be told where tokens are, and one with a token; from then on the token is known.
    for (path, code, expected) in [
        ("team/a/manifests/x", "MANIFEST_UNKNOWN", 2),
        ("team/a/manifests/x", "MANIFEST_UNKNOWN", 3),
        (&blob, "BLOB_UNKNOWN", 4),
    ] {
        let answer = rig.get(&format!("/v2/{path}")).await.expect_status(404);
        assert!(answer.text().contains(code), "{}", answer.text());
        assert!(answer.header("www-authenticate").is_empty(), "the token server is not the client's affair");
        assert_eq!(registry.total(), expected, "{:?}", registry.requests());
    }
    assert_eq!(realm.total(), 1, "another token would not help");
    registry.require(&[&format!("Bearer {TOKEN}")]);
    tag(&registry, "team/a", "x", &image("a", &[]));
    rig.get("/v2/team/a/manifests/x").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forbidden_to_everybody_is_not_there() {
    let (registry, _realm, rig) = serve(|manifest| manifest.with("cache.negativeTTL", "1h"), &[]).await;
    let blob = format!("team/a/blobs/{}", digest(b"layer"));
    for path in ["team/a/manifests/x", &blob] {
        registry.set(&at(path), Reply::new(403));
        for _ in 0..2 {
            let before = registry.total();
            let answer = rig.get(&format!("/v2/{path}")).await.expect_status(404);
            assert!(answer.text().contains("that this proxy may see"), "{}", answer.text());
            assert!(registry.total() > before, "it is not kept");
        }
    }
    tag(&registry, "team/a", "x", &image("a", &[]));
    rig.get("/v2/team/a/manifests/x").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_server_that_refuses_strangers() {
    let (registry, realm, rig) = serve(|manifest| manifest.with("cache.negativeTTL", "1s"), &[]).await;
    tag(&registry, "team/a", "x", &image("a", &[]));
    for (number, refusal) in [401, 403].into_iter().enumerate() {
        realm.set("/token", Reply::new(refusal));
        // Asked, and remembered.
        for _ in 0..2 {
            let answer = rig.get(&format!("/v2/team/b{number}/manifests/x")).await.expect_status(404);
            assert!(answer.text().contains("MANIFEST_UNKNOWN"), "{}", answer.text());
            assert!(answer.header("www-authenticate").is_empty());
        }
    }
    let token = json!({"token": TOKEN, "expires_in": 300}).to_string();
    realm.set("/token", Reply::ok(token));
    until("a token for everybody", || async {
        let answer = rig.get("/v2/team/a/manifests/x").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Some registries answer every HEAD of a blob with 401, whatever the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_refused_says_nothing_of_the_token() {
    let (registry, realm, rig) = serve(|manifest| manifest, &[]).await;
    tag(&registry, "team/a", "x", &image("a", &[]));
    rig.get("/v2/team/a/manifests/x").await.expect_status(200);
    let path = blob(&registry, "team/a", b"layer");
    let challenge = format!(
        "Bearer realm=\"{}\",service=\"registry.example\",scope=\"repository:team/a:pull,pull\"",
        realm.url("/token")
    );
    // One with the token that is known, and one with another.
    for _ in 0..2 {
        registry.then(&at(&path), Reply::new(401).header("WWW-Authenticate", &challenge));
    }
    let head = rig.send(Ask::head(&format!("/v2/{path}"))).await.expect_status(200);
    assert_eq!(head.header("content-length"), "5");
    let methods: Vec<_> = registry.requests_of(&at(&path)).into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["HEAD", "HEAD", "GET"]);
    // From then on it is known that another token would not help.
    registry.then(&at(&path), Reply::new(401).header("WWW-Authenticate", &challenge));
    rig.send(Ask::head(&format!("/v2/{path}"))).await.expect_status(200);
    assert_eq!(registry.count(&at(&path)), 5);
    assert_eq!(realm.total(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_opened_nothing_is_replaced_after_a_while() {
    let (registry, realm, rig) = serve(|manifest| manifest.with("cache.negativeTTL", "1s"), &[]).await;
    registry.require(&["nobody"]);
    until("another token", || async {
        rig.get("/v2/team/a/manifests/x").await.expect_status(404);
        (realm.total() > 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_gets_a_token_and_is_shown_where_it_belongs() {
    let secret = [("username", "alice"), ("password", CANARY), ("hosts", "127.0.0.1")];
    let (registry, realm, rig) = serve(basic, &secret).await;
    tag(&registry, "team/a", "x", &image("a", &[]));
    rig.get("/v2/team/a/manifests/x").await.expect_status(200);
    let asked = &realm.requests()[0];
    let coded = data_encoding::BASE64.encode(format!("alice:{CANARY}").as_bytes());
    assert_eq!(asked.header("authorization"), Some(format!("Basic {coded}").as_str()));
    assert!(asked.target.contains("account=alice"), "{asked:?}");
    assert_kept(&rig, &[]);
    // What the account may read is not for shared caches on the way.
    let answer = rig.get("/v2/team/a/manifests/x").await.expect_status(200);
    assert!(answer.header("cache-control").contains("private"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_refused_is_told_apart() {
    let secret = [("username", "alice"), ("password", CANARY), ("hosts", "127.0.0.1")];
    let (registry, realm, rig) = serve(basic, &secret).await;
    tag(&registry, "team/a", "x", &image("a", &[]));
    realm.set("/token", Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""));
    let answer = rig.get("/v2/team/a/manifests/x").await.expect_status(502);
    assert!(answer.text().contains("rejected credentials"), "{}", answer.text());
    realm.set("/token", Reply::ok(json!({"token": "other"}).to_string()));
    let answer = rig.get("/v2/team/a/manifests/x").await.expect_status(502);
    assert!(answer.text().contains("rejected credentials"), "{}", answer.text());
    assert_kept(&rig, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_an_account_may_not_see_says_nothing_of_the_account() {
    let secret = [("username", "alice"), ("password", CANARY), ("hosts", "127.0.0.1")];
    let (registry, realm, rig) = serve(basic, &secret).await;
    tag(&registry, "team/a", "x", &image("a", &[]));
    let challenge = format!("Bearer realm=\"{}\",service=\"registry.example\"", realm.url("/token"));
    let refusal = Reply::new(401).header("WWW-Authenticate", &format!("{challenge},error=\"insufficient_scope\""));
    registry.set(&at("team/mistyped/manifests/x"), refusal);
    for _ in 0..2 {
        rig.get("/v2/team/a/manifests/x").await.expect_status(200);
        let answer = rig.get("/v2/team/mistyped/manifests/x").await.expect_status(404);
        assert!(answer.text().contains("MANIFEST_UNKNOWN"), "{}", answer.text());
        let status = rig.status().await;
        let proxy = &status["proxies"][0];
        assert_eq!(
            (&proxy["credentials"]["rejected"], &proxy["upstream"]["reason"]),
            (&json!(false), &json!("Probed"))
        );
    }
    assert_kept(&rig, &[]);
}

/// The realm is whatever the registry says: a host that nobody named gets neither the account nor, if its address is
/// a private one, a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_realm_of_somebody_else() {
    let (registry, _, rig) = serve(basic, &[("username", "alice"), ("password", CANARY)]).await;
    let evil = Upstream::start().await;
    evil.set("/token", Reply::ok(json!({"token": TOKEN}).to_string()));
    let port = evil.address().port();
    for realm in [
        evil.url("/token"),
        format!("http://localhost:{port}/token"),
        format!("http://127.0.0.2:{port}/token"),
        "https://evil.example/token".to_owned(),
    ] {
        registry.challenge(&format!("Bearer realm=\"{realm}\",service=\"s\""));
        let answer = rig.get("/v2/team/a/manifests/x").await;
        assert!(answer.status.is_server_error(), "{realm}: {}", answer.status);
        assert!(!answer.text().contains(CANARY));
    }
    assert_eq!(evil.total(), 0);
    assert_kept(&rig, &[&evil]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_realm_that_leads_on() {
    let secret = [("username", "alice"), ("password", CANARY), ("hosts", "127.0.0.1")];
    let (_registry, realm, rig) = serve(basic, &secret).await;
    let evil = Upstream::start().await;
    let away = format!("http://localhost:{}/token", evil.address().port());
    realm.set("/token", Reply::redirect(&away));
    rig.get("/v2/team/b/manifests/x").await;
    assert_eq!(evil.count("/token"), 1);
    assert_kept(&rig, &[&evil]);
    let before = realm.total();
    realm.set("/token", Reply::redirect(&realm.url("/token")));
    rig.get("/v2/team/c/manifests/x").await.expect_status(502);
    // The second answer leads where the first one did.
    assert_eq!(realm.total(), before + 2, "a circle");
    // One that wants a token itself, from itself.
    let again = format!("Bearer realm=\"{}\"", realm.url("/token"));
    realm.set("/token", Reply::new(401).header("WWW-Authenticate", &again));
    rig.get("/v2/team/d/manifests/x").await.expect_status(502);
    assert_eq!(realm.total(), before + 3, "a loop");
    // Nor is the account tried again at once: some servers count that.
    rig.get("/v2/team/d/manifests/y").await.expect_status(502);
    assert_eq!(realm.total(), before + 3, "an account that was refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn realms_on_private_addresses() {
    let registry = Upstream::start().await;
    let evil = Upstream::start_at([127, 0, 0, 3].into()).await;
    registry.require(&["nobody"]);
    registry.challenge(&format!("Bearer realm=\"https://127.0.0.3:{}/token\"", evil.address().port()));
    let rig = Rig::serve([Manifest::of(&CONTAINER, &registry)]).await;
    rig.get("/v2/a/manifests/x").await.expect_status(502);
    registry.challenge(&format!("Bearer realm=\"http://127.0.0.1:{}/token\"", evil.address().port()));
    rig.get("/v2/b/manifests/x").await.expect_status(502);
    assert_eq!(evil.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_servers_in_trouble() {
    let (registry, realm, rig) = serve(|manifest| manifest.with("cache.metadataTTL", "0s"), &[]).await;
    tag(&registry, "team/a", "x", &image("a", &[]));
    let bomb = json!({"token": "x".repeat(1 << 20)}).to_string();
    for (reply, status) in [
        (Reply::ok(bomb), 502),
        (Reply::ok("<html>"), 502),
        (Reply::ok(json!({"token": "a\r\nX-Evil: b"}).to_string()), 502),
        (Reply::new(500), 502),
        (Reply::ok("{\"token\":\"x").reset(), 502),
    ] {
        realm.set("/token", reply);
        rig.get("/v2/team/a/manifests/x").await.expect_status(status);
    }
    realm.set("/token", Reply::ok(json!({"access_token": TOKEN}).to_string()));
    rig.get("/v2/team/a/manifests/x").await.expect_status(200);
    rig.until_written().await;
    // The tag that is held is served while no token is to be had.
    registry.require(&["another"]);
    realm.set("/token", Reply::new(503));
    let stale = rig.get("/v2/team/a/manifests/x").await.expect_status(200);
    assert!(stale.cache_status().contains("stale-if-error"), "{}", stale.cache_status());
    blob(&registry, "team/a", b"x");
}
