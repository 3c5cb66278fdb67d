//! Addresses that an upstream gives: which are visited, and with whose credential.

use tests::fixture::{BASE, LARGE, SMALL};
use tests::rig::Setup;
use tests::{Fixture, Manifest, Protocol, Reply, Resource, Rig, Upstream};

use super::Case;

/// A credential that must not be seen where it does not belong.
const CANARY: &str = "CANARY-2f1c9a";

pub(super) async fn redirects_are_followed(protocol: &'static dyn Protocol) {
    let case = Case::new(protocol).await;
    let path = case.fixture.upstream_artifact(LARGE);
    let folder = path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).expect("a path");
    case.upstream.set(&path, Reply::redirect("cdn/one"));
    case.upstream.set(&format!("{folder}/cdn/one"), Reply::redirect("/elsewhere/two").header("X-Ignored", "1"));
    case.upstream.set("/elsewhere/two", Resource::file(case.fixture.bytes(LARGE).clone()));
    case.assert_true_bytes(&case.artifact(LARGE).await, LARGE);
}

pub(super) async fn redirects_to_filtered_addresses(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, |manifest| manifest.with("upstream.retry.attempts", 0)).await;
    let sentinel = Upstream::start().await;
    sentinel.set("/", Resource::file(case.fixture.bytes(SMALL).clone()));
    let port = sentinel.address().port();
    for location in [
        format!("http://127.0.0.1:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://user:pass@127.0.0.1:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        "file:///etc/passwd".to_owned(),
        format!("gopher://127.0.0.1:{port}/"),
        "http://".to_owned(),
        "\\\\127.0.0.1\\share".to_owned(),
    ] {
        case.upstream.set(&case.fixture.upstream_artifact(SMALL), Reply::redirect(&location));
        let answer = case.artifact(SMALL).await;
        assert!(answer.status.as_u16() == 502 || answer.status.as_u16() == 404, "{location}: {}", answer.status);
        assert!(!answer.text().contains("root:"), "{location}");
    }
    assert_eq!(sentinel.connections(), 0, "a filtered address was visited");
    case.fixture.install(&case.upstream);
    case.assert_true_bytes(&case.artifact(SMALL).await, SMALL);
}

pub(super) async fn redirect_loops(protocol: &'static dyn Protocol) {
    let case = Case::with(protocol, |manifest| manifest.with("upstream.retry.attempts", 0)).await;
    let path = case.fixture.upstream_artifact(SMALL);
    case.upstream.set(&path, Reply::redirect(&path));
    case.artifact(SMALL).await.expect_status(502);
    assert!(case.asked_for(SMALL) <= 6, "at most five hops");
    case.upstream.set(&path, Reply::new(302));
    case.artifact(SMALL).await.expect_status(502);
}

/// A registry that wants a bearer token, and a proxy that has it.
async fn with_token(protocol: &'static dyn Protocol, files: Option<&Upstream>) -> Case {
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(protocol);
    fixture.files = files.map(|files| files.url(BASE));
    fixture.install(&upstream);
    let manifest = Manifest::of(protocol, &upstream).allowing_loopback().bearer("token");
    let rig: Rig = Setup::default()
        .manifest(manifest)
        .secret("token", "token", CANARY)
        .environment("PACKAGEPROXY_LOG_LEVEL", "trace")
        .environment("RUST_LOG", "trace")
        .start()
        .await;
    Case { fixture, upstream, rig }
}

/// Fails if the canary is anywhere but in requests to the upstream.
async fn assert_canary_is_kept(case: &Case, others: &[&Upstream]) {
    for other in others {
        for request in other.requests() {
            assert!(!request.mentions(CANARY), "the credential went to another origin: {request:?}");
            assert_eq!(request.header("authorization"), None);
            assert_eq!(request.header("referer"), None);
        }
    }
    let leak = case.rig.logs().into_iter().find(|line| line.contains(CANARY));
    assert_eq!(leak, None, "the credential is in the log");
    assert!(!case.rig.status().await.to_string().contains(CANARY), "the credential is on /status");
    assert!(!case.rig.metrics().await.text().contains(CANARY), "the credential is on /metrics");
}

pub(super) async fn credentials_stay_with_their_origin(protocol: &'static dyn Protocol) {
    let mut case = with_token(protocol, None).await;
    let other = Upstream::start().await;
    let named = case.fixture.publish("1.2.0", 2_000);
    case.fixture.install(&case.upstream);
    let path = case.fixture.upstream_artifact(LARGE);
    other.set("/cdn", Resource::file(case.fixture.bytes(LARGE).clone()));
    let bytes = case.fixture.bytes(SMALL).clone();
    case.upstream.set(&path, Reply::redirect(&other.url("/cdn")));
    case.assert_true_bytes(&case.artifact(LARGE).await, LARGE);
    // The same server under another name is another origin.
    let renamed = format!("http://localhost:{}/cdn", case.upstream.address().port());
    case.upstream.set("/cdn", Resource::file(case.fixture.bytes(named).clone()));
    case.upstream.set(&case.fixture.upstream_artifact(named), Reply::redirect(&renamed));
    case.assert_true_bytes(&case.artifact(named).await, named);
    // Same origin, but outside the path prefix that the credential was given for.
    let beside = format!("{}-evil/file", BASE.trim_end_matches('/'));
    case.upstream.set(&beside, Resource::file(bytes));
    case.upstream.set(&case.fixture.upstream_artifact(SMALL), Reply::redirect(&beside));
    case.assert_true_bytes(&case.artifact(SMALL).await, SMALL);
    assert!(case.upstream.requests_of(&beside).iter().all(|request| !request.mentions(CANARY)));
    let authorization = format!("Bearer {CANARY}");
    let asked = case.upstream.requests_of(&path);
    assert!(asked.iter().all(|request| request.header("authorization") == Some(&authorization)), "{asked:?}");
    for request in case.upstream.requests_of("/cdn") {
        assert!(!request.mentions(CANARY), "another host name is another origin");
    }
    assert_canary_is_kept(&case, &[&other]).await;
}

pub(super) async fn links_to_another_origin(protocol: &'static dyn Protocol) {
    let other = Upstream::start().await;
    let case = with_token(protocol, Some(&other)).await;
    for release in [SMALL, LARGE] {
        other.set(&case.fixture.upstream_artifact(release), Resource::file(case.fixture.bytes(release).clone()));
        // Whoever sends the token after a file must not find it at the registry.
        case.upstream.unset(&case.fixture.upstream_artifact(release));
    }
    case.metadata().await.expect_status(200);
    for release in [SMALL, LARGE] {
        case.assert_true_bytes(&case.artifact(release).await, release);
    }
    assert_canary_is_kept(&case, &[&other]).await;
}

pub(super) async fn links_to_filtered_addresses(protocol: &'static dyn Protocol) {
    let sentinel = Upstream::start().await;
    let upstream = Upstream::start().await;
    let mut fixture = Fixture::new(protocol);
    fixture.files = Some(sentinel.url(BASE));
    fixture.install_documents(&upstream);
    sentinel.set(&fixture.upstream_artifact(SMALL), Resource::file(fixture.bytes(SMALL).clone()));
    let rig = Rig::serve([Manifest::of(protocol, &upstream)]).await;
    rig.get(&fixture.metadata()).await.expect_status(200);
    let answer = rig.get(&fixture.artifact(SMALL)).await;
    assert!(answer.status.is_client_error() || answer.status == 502, "{}", answer.status);
    assert_eq!(sentinel.connections(), 0, "a link in a document led to a filtered address");
}
