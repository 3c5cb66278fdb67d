//! Several addresses of one registry, each with an account of its own.

use tests::fixture::{BASE, GO};
use tests::{Ask, Gate};

use super::*;

const FIRST: &str = "CANARY-of-the-first-61a0";
const SECOND: &str = "CANARY-of-the-second-93c4";

fn account(kind: &str, secret: &str) -> serde_json::Value {
    let name = (kind == "Header").then_some("PRIVATE-TOKEN");
    let mut auth = json!({"type": kind, "secretRef": {"name": secret}});
    if let Some(name) = name {
        auth["headerName"] = name.into();
    }
    auth
}

/// Two servers, of which the second one has everything, behind one proxy.
async fn start_two(
    protocol: &'static dyn Protocol,
    when: &str,
    first_auth: Option<&str>,
    second_auth: Option<&str>,
) -> (Fixture, [Upstream; 2], Rig) {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let fixture = Fixture::new(protocol);
    fixture.install(&second);
    if when == "Unavailable" {
        first.fail_with(Reply::new(503));
    }
    let mut fallback = json!({"url": second.url(BASE), "when": when});
    if let Some(kind) = second_auth {
        fallback["auth"] = account(kind, "second");
    }
    let mut manifest = Manifest::of(protocol, &first)
        .allowing_loopback()
        .with("upstream.checksumDatabase", json!(null))
        .with("upstream.allowPlaintextAuth", true)
        .with("upstream.retry.attempts", 0)
        .with("upstream.fallbacks", json!([fallback]));
    if let Some(kind) = first_auth {
        manifest = manifest.with("upstream.auth", account(kind, "first"));
    }
    let setup = Setup::default().manifest(manifest).environment("PACKAGEPROXY_LOG_LEVEL", "trace");
    let rig = setup.secret("first", "token", FIRST).secret("second", "token", SECOND).start().await;
    (fixture, [first, second], rig)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_address_sees_its_own_token_alone() {
    let kinds = [
        (Some("Bearer"), Some("Bearer")),
        (Some("Header"), Some("Bearer")),
        (Some("Bearer"), Some("Header")),
        (Some("Header"), None),
        (None, Some("Header")),
    ];
    let whens = ["NotFound", "Unavailable"];
    let protocols = [&GO as &'static dyn Protocol, &MAVEN];
    for (protocol, when, (first_auth, second_auth)) in protocols
        .into_iter()
        .flat_map(|protocol| whens.into_iter().flat_map(move |when| kinds.map(|kinds| (protocol, when, kinds))))
    {
        let what = format!("{}, {when}, {first_auth:?}, {second_auth:?}", protocol.name());
        let (fixture, [first, second], rig) = start_two(protocol, when, first_auth, second_auth).await;
        // The second one sends its clients to a third server.
        let cdn = Upstream::start().await;
        cdn.set("/cdn", Resource::file(fixture.bytes(LARGE).clone()));
        second.set(&fixture.upstream_artifact(LARGE), Reply::redirect(&cdn.url("/cdn")));
        rig.get(&fixture.metadata()).await.expect_status(200);
        for release in [SMALL, LARGE] {
            let answer = rig.get(&fixture.artifact(release)).await.expect_status(200);
            assert!(answer.bytes() == fixture.bytes(release), "{what}");
        }
        for (server, token, other, auth) in [(&first, FIRST, SECOND, first_auth), (&second, SECOND, FIRST, second_auth)]
        {
            assert!(server.total() >= 3, "{what}: not everything was asked of both");
            for request in server.requests() {
                assert!(!request.mentions(other), "{what}: the other one's token: {request:?}");
                assert_eq!(request.mentions(token), auth.is_some(), "{what}: {request:?}");
                let sent = (request.header("authorization"), request.header("private-token"));
                let bearer = format!("Bearer {token}");
                let expected = match auth {
                    Some("Header") => (None, Some(token)),
                    Some(_) => (Some(bearer.as_str()), None),
                    None => (None, None),
                };
                assert_eq!(sent, expected, "{what}");
            }
        }
        assert_eq!(cdn.total(), 1, "{what}");
        assert!(cdn.requests().iter().all(|request| !request.mentions(FIRST) && !request.mentions(SECOND)), "{what}");
        for text in [rig.status().await.to_string(), rig.metrics().await.text().to_owned(), rig.logs().join("\n")] {
            assert!(!text.contains(FIRST) && !text.contains(SECOND), "{what}: a token is told");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_another_address_rejects_is_our_fault_too() {
    for when in ["NotFound", "Unavailable"] {
        let (fixture, [first, second], rig) = start_two(&GO, when, Some("Bearer"), Some("Bearer")).await;
        let is_rejected = async || rig.status().await["proxies"][0]["credentials"]["rejected"] == true;
        second.fail_with(Reply::new(401).header("WWW-Authenticate", "Bearer"));
        for path in [fixture.metadata(), fixture.artifact(SMALL)] {
            let answer = rig.get(&path).await.expect_status(502);
            assert!(answer.text().contains("rejected credentials"), "{when}: {}", answer.text());
            assert!(answer.header("www-authenticate").is_empty());
        }
        assert!(is_rejected().await, "{when}");
        // That the first one takes its own says nothing of the other's.
        first.recover();
        first.set(&fixture.upstream_artifact(LARGE), Resource::file(fixture.bytes(LARGE).clone()));
        rig.get(&fixture.artifact(LARGE)).await.expect_status(200);
        assert!(is_rejected().await, "{when}");
        assert_eq!(rig.status().await["proxies"][0]["upstream"]["reason"], "Unauthorized", "{when}");
        second.recover();
        if when == "Unavailable" {
            first.fail_with(Reply::new(503));
        }
        rig.get(&fixture.metadata()).await.expect_status(200);
        assert!(!is_rejected().await, "{when}");
    }
    // Where we have no account the client's may do.
    let (fixture, [_first, second], rig) = start_two(&GO, "NotFound", Some("Bearer"), None).await;
    second.fail_with(Reply::new(401));
    rig.get(&fixture.metadata()).await.expect_status(401);
    assert_eq!(rig.status().await["proxies"][0]["credentials"]["rejected"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_account_may_have_been_needed_for_is_private() {
    for (first_auth, second_auth) in [(Some("Bearer"), None), (None, Some("Bearer")), (None, None)] {
        let (fixture, [_first, second], rig) = start_two(&MAVEN, "NotFound", first_auth, second_auth).await;
        let is_private = first_auth.or(second_auth).is_some();
        let check = |what: &str, control: Option<&str>| {
            let visibility = control.and_then(|control| control.split(',').next()).unwrap_or_default();
            assert_eq!(
                visibility,
                if is_private { "private" } else { "public" },
                "{what}: {first_auth:?} {second_auth:?}"
            );
        };
        // Still on its way, and then held.
        let (gate, resource) = (Gate::shut(), Resource::file(fixture.bytes(LARGE).clone()));
        let (begin, rest) = (resource.body().slice(..100_000), resource.body().slice(100_000..));
        second.set(&fixture.upstream_artifact(LARGE), resource.head().bytes(begin).hold(&gate).bytes(rest));
        let open = rig.client().open(Ask::get(&fixture.artifact(LARGE))).await.unwrap();
        let control = open.headers.get("cache-control").and_then(|value| value.to_str().ok());
        check("a file that flows", control);
        gate.open();
        assert!(open.equals(fixture.bytes(LARGE)).await);
        let file = rig.until_hit(&fixture.artifact(LARGE)).await;
        check("a file", Some(file.header("cache-control")));
        for path in
            [fixture.metadata(), format!("{}.sha1", fixture.metadata()), format!("{}.sha1", fixture.artifact(LARGE))]
        {
            check(&path, Some(rig.get(&path).await.expect_status(200).header("cache-control")));
        }
    }
}
