use std::time::Duration;

use crds::{AuthKind, BreakerSettings, FallbackOn, RetrySettings, TrustSettings};
use url::Url;

use super::*;
use crate::fetch::references::{references, with_last_good};
use crate::fetch::testing::{Server, Step, ask, collect, send, shared, whole};
use crate::fetch::{Phase, State, resuming};

fn settings(base: &str) -> UpstreamSettings {
    UpstreamSettings {
        retry: RetrySettings { attempts: 2, base: Duration::from_millis(1), cap: Duration::from_secs(1) },
        idle_timeout: Duration::from_secs(1),
        ..UpstreamSettings::at(Url::parse(base).unwrap())
    }
}

#[tokio::test]
async fn failures_are_repeated_and_then_told() {
    let server = Server::start(|head, number| match head.split(' ').nth(1).unwrap() {
        "/mended" if number < 2 => whole("503 Service Unavailable", ""),
        "/down" => whole("500 Internal Server Error", ""),
        _ => whole("200 OK", "x"),
    })
    .await;
    let shared = shared();
    let stack = build(&settings(&server.url("/")), Duration::ZERO, &Secrets::default(), &shared, false).unwrap();
    let reply = stack.fetch(ask(&server.url("/mended"))).await.unwrap();
    assert_eq!((reply.status.as_u16(), server.requests().len()), (200, 3));
    collect(reply.body).await;
    assert_eq!(stack.fetch(ask(&server.url("/down"))).await.unwrap().status.as_u16(), 500);
    assert_eq!(server.requests().len(), 6);
    let state = shared.origins.state(&SafeUrl::from(Url::parse(&server.url("/")).unwrap()).origin()).unwrap();
    assert_eq!((state.state, state.consecutive_failures), (State::Closed, 1), "three attempts of one key are one");
}

/// The site of the link is down, the registry that redirected there is not.
#[tokio::test]
async fn each_hop_counts_for_its_own_origin() {
    let files = Server::start(|_, _| whole("500 Internal Server Error", "")).await;
    let away = files.url("/x");
    let server = Server::start(move |_, _| {
        vec![send(format!("HTTP/1.1 302 Found\r\nlocation: {away}\r\ncontent-length: 0\r\n\r\n"))]
    })
    .await;
    let mut settings = settings(&server.url("/"));
    settings.allowed_cidrs = vec!["127.0.0.0/8".parse().unwrap()];
    settings.breaker = BreakerSettings { failures: 2, ..BreakerSettings::default() };
    let shared = shared();
    let stack = build(&settings, Duration::ZERO, &Secrets::default(), &shared, false).unwrap();
    for number in 0..3 {
        let _ = stack.fetch(ask(&server.url(&format!("/{number}")))).await;
    }
    let state = |server: &Server| shared.origins.state(&format!("http://{}", server.address)).unwrap();
    assert_eq!(state(&files).state, State::Open);
    assert_eq!((state(&server).state, state(&server).consecutive_failures), (State::Closed, 0));
}

#[tokio::test]
async fn a_missing_credential_asks_nothing_until_it_is_there() {
    let server = Server::start(|_, _| whole("200 OK", "x")).await;
    let mut settings = settings(&server.url("/"));
    settings.auth = Some(AuthSettings { kind: AuthKind::Bearer, secret: "account".into() });
    settings.allow_plaintext_auth = true;
    let shared = shared();
    let mut secrets = Secrets::default();
    for (value, problem) in [
        (None, Some(CredentialError::SecretNotFound { secret: "account".into() })),
        (Some(" \n"), Some(CredentialError::KeyEmpty { secret: "account".into(), key: "token" })),
        (Some("t0ken"), None),
    ] {
        if let Some(value) = value {
            secrets.insert("account", "token", value.as_bytes().to_vec());
        }
        let report = references(&settings, &secrets, &shared);
        assert_eq!((report.len(), &report[0].defect), (1, &problem.clone().map(Into::into)));
        let found =
            build(&settings, Duration::ZERO, &secrets, &shared, false).unwrap().fetch(ask(&server.url("/"))).await;
        match problem {
            Some(problem) => {
                assert!(matches!(found, Err(FetchError::Credential { reason }) if reason == problem.to_string()));
                assert!(server.requests().is_empty());
            }
            None => assert!(found.is_ok()),
        }
    }
    assert!(server.requests()[0].contains("authorization: Bearer t0ken\r\n"));
}

#[tokio::test]
async fn a_fallback_has_its_own_account() {
    let mirror = Server::start(|_, _| whole("200 OK", "mirrored")).await;
    let server = Server::start(|_, _| vec![Step::Close]).await;
    let mut settings = settings(&server.url("/npm/"));
    settings.auth = Some(AuthSettings { kind: AuthKind::Bearer, secret: "account".into() });
    settings.allow_plaintext_auth = true;
    let auth = Some(AuthSettings { kind: AuthKind::Header("x-key".into()), secret: "mirror".into() });
    let url = Url::parse(&mirror.url("/m/")).unwrap();
    settings.fallbacks = vec![FallbackSettings { url, auth, trust: None, on: FallbackOn::Unavailable }];
    let mut secrets = Secrets::default();
    secrets.insert("account", "token", b"first".to_vec());
    secrets.insert("mirror", "token", b"second".to_vec());
    let stack = build(&settings, Duration::ZERO, &secrets, &shared(), false).unwrap();
    let reply = stack.fetch(ask(&server.url("/npm/a"))).await.unwrap();
    assert_eq!(collect(reply.body).await.0, b"mirrored");
    let sent = mirror.requests().pop().unwrap();
    assert!(sent.starts_with("GET /m/a HTTP/1.1") && sent.contains("x-key: second") && !sent.contains("first"));
    assert_eq!(references(&settings, &secrets, &shared()).len(), 2);
}

#[tokio::test]
async fn without_its_bundle_nothing_is_asked_and_the_key_is_named() {
    let server = Server::start(|_, _| whole("200 OK", "x")).await;
    let mut settings = settings(&server.url("/"));
    settings.trust = Some(TrustSettings { name: "authority".into(), key: "ca.crt".into() });
    let shared = shared();
    let mut secrets = Secrets::default();
    let authority = rcgen::generate_simple_self_signed(["registry.example".to_owned()]).unwrap().cert.pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (key, value, problem) in [
        (None, "", Some(("SecretNotFound", None))),
        (Some("other"), "x", Some(("KeyMissing", Some("ca.crt")))),
        (Some("ca.crt"), " \n", Some(("KeyEmpty", Some("ca.crt")))),
        (Some("ca.crt"), "nonsense", Some(("SecretUnreadable", Some("ca.crt")))),
        (Some("ca.crt"), broken, Some(("SecretUnreadable", Some("ca.crt")))),
        (Some("ca.crt"), &authority, None),
    ] {
        if let Some(key) = key {
            secrets.insert("authority", key, value.as_bytes().to_vec());
        }
        let report = references(&settings, &secrets, &shared).remove(0);
        let found = report.defect.as_ref().map(|defect| (defect.reason, defect.key.as_deref()));
        assert_eq!((report.secret.as_str(), found), ("authority", problem), "{value}");
        let reply =
            build(&settings, Duration::ZERO, &secrets, &shared, false).unwrap().fetch(ask(&server.url("/"))).await;
        match report.defect {
            Some(defect) => {
                assert!(matches!(reply, Err(FetchError::Trust { reason }) if reason == defect.text), "{value}");
                assert!(server.requests().is_empty());
            }
            None => assert!(reply.is_ok()),
        }
    }
}

#[test]
fn the_last_good_object_stands_in_unless_it_is_withdrawn() {
    let mut settings = settings("https://registry.example/");
    settings.auth = Some(AuthSettings { kind: AuthKind::Basic, secret: "account".into() });
    let secrets = |keys: &[(&str, &str)]| {
        let mut secrets = Secrets::default();
        for (key, value) in keys {
            secrets.insert("account", key, value.as_bytes().to_vec());
        }
        secrets
    };
    let before = secrets(&[("username", "me"), ("password", "old"), ("hosts", "registry.example")]);
    let (old, new) = (Some("old"), Some("new"));
    for (now, password) in [
        (&[][..], old),
        (&[("username", "me")], old),
        (&[("username", ""), ("password", "new")], old),
        (&[("username", "me"), ("password", "")], Some("")),
        (&[("username", "me"), ("password", "new")], new),
        (&[("username", "me"), ("password", "new"), ("hosts", "other.example")], new),
        (&[("username", "me"), ("password", "new"), ("hosts", "")], new),
    ] {
        let kept = with_last_good(&settings, &secrets(now), &before, &shared());
        let found = kept.get("account", "password").map(|bytes| std::str::from_utf8(bytes).unwrap());
        assert_eq!(found, password, "{now:?}");
    }
    // What was never good stands in for nothing.
    let empty = secrets(&[("username", ""), ("password", "old")]);
    assert_eq!(with_last_good(&settings, &secrets(&[]), &empty, &shared()), secrets(&[]));
}

/// A stall, a reset and a short body, each continued where it stopped.
#[tokio::test]
async fn a_body_is_resumed_over_the_wire() {
    const TRUE: &str = "0123456789";
    let server = Server::start(|head, number| {
        let from = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.trim_end_matches('-').parse().ok());
        let from: usize = from.unwrap_or(0);
        let rest = &TRUE[from..];
        let status = match from {
            0 => "200 OK".to_owned(),
            _ => format!("206 Partial Content\r\ncontent-range: bytes {from}-9/10"),
        };
        let head = format!("HTTP/1.1 {status}\r\netag: \"v\"\r\ncontent-length: {}\r\n\r\n", rest.len());
        let part = |length: usize| send(format!("{head}{}", &rest[..length]));
        match number {
            0 => vec![part(3), Step::Stall],
            1 => vec![part(2), Step::Close],
            _ => vec![part(rest.len())],
        }
    })
    .await;
    let stack = build(&settings(&server.url("/")), Duration::ZERO, &Secrets::default(), &shared(), false).unwrap();
    let request = ask(&server.url("/a.tgz"));
    let first = stack.fetch(request.clone()).await.unwrap();
    let (read, error) = collect(resuming(stack, request, first, false).body).await;
    assert!(read == TRUE.as_bytes() && error.is_none(), "{error:?}");
    let sent = server.requests();
    assert!(sent[1].contains("range: bytes=3-\r\n") && sent[1].contains("if-range: \"v\"\r\n"));
    assert!(sent[2].contains("range: bytes=5-\r\n"));
}

#[tokio::test]
async fn an_unresumable_stall_is_told() {
    let server =
        Server::start(|_, _| vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), Step::Stall]).await;
    let stack = build(&settings(&server.url("/")), Duration::ZERO, &Secrets::default(), &shared(), false).unwrap();
    let request = ask(&server.url("/a.tgz"));
    let first = stack.fetch(request.clone()).await.unwrap();
    let (read, error) = collect(resuming(stack, request, first, false).body).await;
    assert_eq!(read, b"half");
    assert!(matches!(error, Some(FetchError::Timeout { phase: Phase::Idle, .. })));
    assert_eq!(server.requests().len(), 1);
}
