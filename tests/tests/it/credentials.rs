//! The upstream's credential: where it goes, in which form, and where it must never be seen.

use serde_json::json;
use tests::fixture::{LARGE, MAVEN, NPM, SMALL};
use tests::rig::Setup;
use tests::{Fixture, Manifest, Protocol, Reply, Resource, Rig, Upstream};

mod addresses;

const CANARY: &str = "CANARY-7d40b1";

async fn start(auth: serde_json::Value, secrets: &[(&str, &str)]) -> (Fixture, Upstream, Rig) {
    start_of(&NPM, auth, secrets).await
}

async fn start_of(
    protocol: &'static dyn Protocol,
    auth: serde_json::Value,
    secrets: &[(&str, &str)],
) -> (Fixture, Upstream, Rig) {
    let upstream = Upstream::start().await;
    let fixture = Fixture::new(protocol);
    fixture.install(&upstream);
    let manifest = Manifest::of(protocol, &upstream)
        .always_revalidating()
        .allowing_loopback()
        .with("upstream.allowPlaintextAuth", true)
        .with("upstream.retry.attempts", 0)
        .with("upstream.auth", auth);
    let mut setup = Setup::default().manifest(manifest).environment("PACKAGEPROXY_LOG_LEVEL", "trace");
    setup = setup.environment("RUST_LOG", "trace");
    for (key, value) in secrets {
        setup = setup.secret("account", key, value);
    }
    (fixture, upstream, setup.start().await)
}

fn bearer() -> serde_json::Value {
    json!({"type": "Bearer", "secretRef": {"name": "account"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_goes_out_as_it_should() {
    let basic = json!({"type": "Basic", "secretRef": {"name": "account"}});
    let header = json!({"type": "Header", "headerName": "PRIVATE-TOKEN", "secretRef": {"name": "account"}});
    for (auth, secrets, name, value) in [
        (bearer(), vec![("token", "t0ken")], "authorization", "Bearer t0ken"),
        (bearer(), vec![("token", "with-newline\n")], "authorization", "Bearer with-newline"),
        (basic, vec![("username", "user"), ("password", "pass")], "authorization", "Basic dXNlcjpwYXNz"),
        (header, vec![("token", "t0ken")], "private-token", "t0ken"),
    ] {
        let (fixture, upstream, rig) = start(auth, &secrets).await;
        rig.get(&fixture.metadata()).await.expect_status(200);
        let file = rig.get(&fixture.artifact(SMALL)).await.expect_status(200);
        assert!(file.bytes() == fixture.bytes(SMALL));
        assert!(upstream.requests().iter().all(|request| request.header(name) == Some(value)), "{value}");
        let kept = rig.until_hit(&fixture.artifact(SMALL)).await;
        assert!(kept.header("cache-control").contains("private"), "{:?}", kept.headers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_its_own_stays_with_its_origin_too() {
    for protocol in [&NPM as &'static dyn Protocol, &MAVEN] {
        let header = json!({"type": "Header", "headerName": "PRIVATE-TOKEN", "secretRef": {"name": "account"}});
        let (fixture, upstream, rig) = start_of(protocol, header, &[("token", CANARY)]).await;
        let other = Upstream::start().await;
        other.set("/cdn", Resource::file(fixture.bytes(LARGE).clone()));
        upstream.set(&fixture.upstream_artifact(LARGE), Reply::redirect(&other.url("/cdn")));
        let answer = rig.get(&fixture.artifact(LARGE)).await.expect_status(200);
        assert!(answer.bytes() == fixture.bytes(LARGE), "{}", protocol.name());
        assert!(other.requests().iter().all(|request| !request.mentions(CANARY)), "{}", protocol.name());
        assert_eq!(other.total(), 1, "{}", protocol.name());
        let sent = upstream.requests();
        assert!(!sent.is_empty() && sent.iter().all(|request| request.header("private-token") == Some(CANARY)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_never_seen() {
    let (fixture, upstream, rig) = start(bearer(), &[("token", CANARY)]).await;
    let mut seen = Vec::new();
    rig.get(&fixture.metadata()).await.expect_status(200);
    let failures = [
        Reply::new(500).text("x"),
        Reply::new(401).header("WWW-Authenticate", "Basic"),
        Reply::new(403),
        Reply::new(429).header("Retry-After", "1"),
        Reply::new(200).reset_head(),
        Reply::redirect("http://127.0.0.1:1/"),
        Reply::redirect("http://registry.example.invalid/"),
        Reply::redirect("ftp://x/"),
    ];
    for (number, reply) in failures.into_iter().enumerate() {
        upstream.set(&format!("{}bad-{number}", tests::fixture::BASE), reply);
        let answer = rig.get(&format!("/npm/bad-{number}")).await;
        seen.push(format!("{:?} {}", answer.headers, answer.text()));
    }
    assert!(upstream.requests().iter().all(|request| request.mentions(CANARY)), "the token was not used at all");
    upstream.stop().await;
    let answer = rig.get("/npm/gone").await;
    seen.push(format!("{:?} {}", answer.headers, answer.text()));
    seen.push(rig.status().await.to_string());
    seen.push(rig.metrics().await.text().to_owned());
    seen.extend(rig.logs());
    for text in seen {
        assert!(!text.contains(CANARY), "{text}");
    }
    for path in rig.stored_files() {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(CANARY), "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_credential_is_our_fault_not_the_clients() {
    let (fixture, upstream, rig) = start(bearer(), &[("token", "wrong")]).await;
    upstream.fail_with(Reply::new(401).header("WWW-Authenticate", "Bearer"));
    let answer = rig.get(&fixture.metadata()).await.expect_status(502);
    assert!(answer.text().contains("rejected credentials"), "{}", answer.text());
    assert!(answer.header("www-authenticate").is_empty());
    assert!(rig.status().await.to_string().contains("reject"), "{}", rig.status().await);
    upstream.recover();
    rig.get(&fixture.metadata()).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_empty_secret_asks_nobody() {
    for secrets in [vec![], vec![("token", "")], vec![("token", " \n")], vec![("other", "x")]] {
        let (fixture, upstream, rig) = start(bearer(), &secrets).await;
        let answer = rig.get(&fixture.metadata()).await;
        assert!(answer.status == 502 || answer.status == 503, "{secrets:?}: {}", answer.status);
        assert!(answer.text().contains("account"), "the answer names the secret: {}", answer.text());
        assert_eq!(upstream.total(), 0, "{secrets:?}: never anonymously");
        let status = rig.status().await["proxies"][0]["credentials"].to_string();
        assert!(status.contains("account"), "{status}");
        rig.admin().get("/readyz").await.expect_status(200);
    }
}
