//! What the token challenge does with a registry and a token server that answer from functions.

use std::sync::atomic::{AtomicU64, Ordering};

use http::header::RETRY_AFTER;

use super::*;
use crate::fetch::credential::{Credential, Rules};
use crate::fetch::testing::{Fake, ask, reply_with};
use crate::secrets::Secrets;

mod withheld;

const BASE: &str = "https://registry.example/";
const MANIFEST: &str = "https://registry.example/v2/team/a/manifests/x";
const REFUSED: Duration = Duration::from_secs(30);
const CANARY: &str = "canary-of-the-tests";

/// A registry that wants a token for everything, and the token server that its challenge names.
fn registry(challenge: &'static str, answer: &'static str) -> Arc<Fake> {
    let counted = AtomicU64::new(0);
    Fake::new(move |ask| {
        let url = ask.url.expose();
        if url.path().starts_with("/token") {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            return Ok(reply_with(ask, 200, &[], &answer.replace('#', &number.to_string())));
        }
        match ask.authorization.as_ref().and_then(|value| value.to_str().ok()) {
            Some(value) if value.starts_with("Bearer good") => Ok(reply_with(ask, 200, &[], "a manifest")),
            _ => Ok(reply_with(ask, 401, &[("www-authenticate", challenge)], "")),
        }
    })
}

fn anonymous(fake: &Arc<Fake>) -> TokenChallenge<Arc<Fake>> {
    TokenChallenge::new(Arc::clone(fake), Url::parse(BASE).unwrap(), Account::Anonymous, REFUSED)
}

fn account(hosts: Option<&str>) -> Account {
    let mut keys = vec![("username", "alice"), ("password", CANARY)];
    keys.extend(hosts.map(|hosts| ("hosts", hosts)));
    let mut secrets = Secrets::default();
    for (key, value) in keys {
        secrets.insert("account", key, value.into());
    }
    let auth = crds::AuthSettings { kind: crds::AuthKind::Basic, secret: "account".into() };
    let base = Url::parse(BASE).unwrap();
    Credential::resolve(&auth, &base, Rules::default(), &secrets).unwrap().account().clone()
}

/// Every request so far: address and what was shown.
fn seen(fake: &Fake) -> Vec<(String, String)> {
    let shown =
        |ask: &Ask| ask.authorization.as_ref().map_or(String::new(), |value| value.to_str().unwrap().to_owned());
    fake.asked().iter().map(|ask| (ask.url.expose().to_string(), shown(ask))).collect()
}

const ELSEWHERE: &str =
    r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:team/a:pull""#;

#[tokio::test]
async fn a_challenge_is_answered_once_and_the_token_kept() {
    let fake = registry(ELSEWHERE, r#"{"token":"good-#","expires_in":300}"#);
    let stack = anonymous(&fake);
    for _ in 0..3 {
        assert_eq!(stack.fetch(ask(MANIFEST)).await.unwrap().status, 200);
    }
    let token = "https://auth.example/token?service=registry.example&scope=repository%3Ateam%2Fa%3Apull";
    let good = "Bearer good-0".to_owned();
    let manifest = || MANIFEST.to_owned();
    assert_eq!(
        seen(&fake),
        [
            (manifest(), String::new()),
            (token.to_owned(), String::new()),
            (manifest(), good.clone()),
            (manifest(), good.clone()),
            (manifest(), good),
        ]
    );
    let shown = format!("{:?}", fake.asked());
    assert!(!shown.contains("good-"), "a token is shown in {shown}");
}

#[tokio::test]
async fn a_scope_is_built_where_the_challenge_has_none() {
    let fake = registry(r#"Bearer realm="https://auth.example/token?a=b""#, r#"{"access_token":"good"}"#);
    let stack = anonymous(&fake);
    stack.fetch(ask("https://registry.example/v2/a/blobs/blobs/sha256:x")).await.unwrap();
    assert_eq!(seen(&fake)[1].0, "https://auth.example/token?a=b&scope=repository%3Aa%2Fblobs%3Apull");
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_and_another_is_fetched() {
    for (answer, lifetime) in [
        (r#"{"token":"good-#"}"#, 60),
        (r#"{"token":"good-#","expires_in":10}"#, 10),
        (r#"{"token":"good-#","expires_in":99999999}"#, 3600),
    ] {
        let fake = registry(ELSEWHERE, answer);
        let stack = anonymous(&fake);
        let tokens = || seen(&fake).iter().filter(|(url, _)| url.contains("/token")).count();
        stack.fetch(ask(MANIFEST)).await.unwrap();
        tokio::time::advance(Duration::from_secs(lifetime) * 3 / 4).await;
        stack.fetch(ask(MANIFEST)).await.unwrap();
        assert_eq!(tokens(), 1, "{answer}");
        tokio::time::advance(Duration::from_secs(lifetime) / 4).await;
        assert_eq!(stack.fetch(ask(MANIFEST)).await.unwrap().status, 200);
        assert_eq!(tokens(), 2, "{answer}");
    }
}

#[tokio::test]
async fn many_requests_share_one_token() {
    let fake = registry(ELSEWHERE, r#"{"token":"good"}"#);
    let stack = anonymous(&fake);
    let asks = (0..50).map(|_| stack.fetch(ask(MANIFEST)));
    for reply in futures_util::future::join_all(asks).await {
        assert_eq!(reply.unwrap().status, 200);
    }
    assert_eq!(seen(&fake).iter().filter(|(url, _)| url.contains("/token")).count(), 1);
}

/// How many requests there are until a request for an address is answered, which it is with 401.
async fn cost(stack: &TokenChallenge<Arc<Fake>>, fake: &Fake, url: &str) -> usize {
    let before = fake.asked().len();
    assert_eq!(stack.fetch(ask(url)).await.unwrap().status, 401);
    fake.asked().len() - before
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_replaced_once_a_while() {
    const BESIDE: &str = "https://registry.example/v2/team/a/manifests/y";
    let state = Arc::new(AtomicU64::new(0));
    let (number, may) = (Arc::clone(&state), Arc::new(AtomicU64::new(u64::MAX)));
    let allowed = Arc::clone(&may);
    let refused = Fake::new(move |ask| {
        if ask.url.expose().path() == "/token" {
            let number = number.fetch_add(1, Ordering::Relaxed);
            return Ok(reply_with(ask, 200, &[], &format!(r#"{{"token":"t{number}","expires_in":3600}}"#)));
        }
        // What a token allows was decided when it was given.
        let shown = ask.authorization.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer t"));
        match shown.map(|number| number.parse::<u64>().unwrap()) {
            Some(number) if number >= may.load(Ordering::Relaxed) => Ok(reply_with(ask, 200, &[], "")),
            _ => Ok(reply_with(ask, 401, &[("www-authenticate", ELSEWHERE)], "")),
        }
    });
    let stack = anonymous(&refused);
    assert_eq!(cost(&stack, &refused, MANIFEST).await, 3);
    for url in [MANIFEST, BESIDE] {
        assert_eq!(cost(&stack, &refused, url).await, 1, "the token is known to allow nothing");
    }
    for _ in 0..3 {
        tokio::time::advance(REFUSED).await;
        assert_eq!(cost(&stack, &refused, MANIFEST).await, 2, "another token, and no third request");
        assert_eq!(cost(&stack, &refused, MANIFEST).await, 1);
    }
    // Published meanwhile: seen with the next token, long before the one before ends.
    allowed.store(state.load(Ordering::Relaxed), Ordering::Relaxed);
    tokio::time::advance(REFUSED).await;
    assert_eq!(stack.fetch(ask(MANIFEST)).await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_good_and_is_refused_is_replaced_at_once() {
    let first = Arc::new(AtomicU64::new(0));
    let good = Arc::clone(&first);
    let tokens = AtomicU64::new(0);
    let fake = Fake::new(move |ask| {
        if ask.url.expose().path() == "/token" {
            let number = tokens.fetch_add(1, Ordering::Relaxed);
            return Ok(reply_with(ask, 200, &[], &format!(r#"{{"token":"t{number}"}}"#)));
        }
        let expected = format!("Bearer t{}", good.load(Ordering::Relaxed));
        if ask.authorization.as_ref().is_some_and(|shown| *shown == expected) {
            return Ok(reply_with(ask, 200, &[], ""));
        }
        Ok(reply_with(ask, 401, &[("www-authenticate", ELSEWHERE)], ""))
    });
    let stack = anonymous(&fake);
    for revoked in 0..3 {
        first.store(revoked, Ordering::Relaxed);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(stack.fetch(ask(MANIFEST)).await.unwrap().status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_server_that_gives_nobody_a_token_is_left_alone_for_a_while() {
    let willing = Arc::new(AtomicU64::new(0));
    let gives = Arc::clone(&willing);
    let fake = Fake::new(move |ask| match (ask.url.expose().path(), gives.load(Ordering::Relaxed)) {
        ("/token", 0) => Ok(reply_with(ask, 403, &[], "")),
        ("/token", _) => Ok(reply_with(ask, 200, &[], r#"{"token":"good"}"#)),
        _ if ask.authorization.is_some() => Ok(reply_with(ask, 200, &[], "")),
        _ => Ok(reply_with(ask, 401, &[("www-authenticate", ELSEWHERE)], "")),
    });
    let stack = anonymous(&fake);
    assert_eq!(cost(&stack, &fake, MANIFEST).await, 2);
    assert_eq!(cost(&stack, &fake, MANIFEST).await, 0);
    tokio::time::advance(REFUSED).await;
    assert!(cost(&stack, &fake, MANIFEST).await <= 2);
    willing.store(1, Ordering::Relaxed);
    tokio::time::advance(REFUSED).await;
    assert_eq!(stack.fetch(ask(MANIFEST)).await.unwrap().status, 200);
    // An account as well: some lock it after some tries, and for all who use it.
    willing.store(0, Ordering::Relaxed);
    let stack = TokenChallenge::new(
        Arc::clone(&fake),
        Url::parse(BASE).unwrap(),
        account(Some("registry.example,auth.example")),
        REFUSED,
    );
    assert_eq!(cost(&stack, &fake, MANIFEST).await, 2);
    assert_eq!(cost(&stack, &fake, MANIFEST).await, 0);
    willing.store(1, Ordering::Relaxed);
    tokio::time::advance(REFUSED).await;
    assert_eq!(stack.fetch(ask(MANIFEST)).await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_server_that_says_later_is_asked_later() {
    const ANY: &str = r#"Bearer realm="https://auth.example/token",service="registry.example""#;
    let tokens = |fake: &Fake| seen(fake).iter().filter(|(url, _)| url.contains("/token?")).count();
    for (status, told, pause) in
        [(429, Some("60"), 60), (429, None, 5), (503, Some("60"), 60), (429, Some("9000"), 300)]
    {
        let fake = Fake::new(move |ask| match ask.url.expose().path() {
            "/token" => {
                Ok(reply_with(ask, status, &told.map(|told| ("retry-after", told)).into_iter().collect::<Vec<_>>(), ""))
            }
            _ => Ok(reply_with(ask, 401, &[("www-authenticate", ANY)], "")),
        });
        let stack = anonymous(&fake);
        for (passed, left, cost) in [(0, pause, 2), (pause - 1, 1, 2), (1, pause, 4)] {
            tokio::time::advance(Duration::from_secs(passed)).await;
            let reply = stack.fetch(ask(MANIFEST)).await.unwrap();
            let shown = reply.headers[RETRY_AFTER].to_str().unwrap();
            assert_eq!((reply.status.as_u16(), shown), (status, &*left.to_string()), "{told:?}");
            assert!(fake.asked().len() <= cost && fake.asked().len() + 1 >= cost, "{status} {told:?}");
        }
        // For another repository it is the same server.
        let before = tokens(&fake);
        let other = stack.fetch(ask("https://registry.example/v2/team/b/manifests/x")).await.unwrap();
        assert_eq!((other.status.as_u16(), tokens(&fake)), (status, before), "{told:?}");
    }
}

#[tokio::test]
async fn our_account_goes_to_the_registry_and_to_named_hosts_only() {
    let basic = format!("Basic {}", data_encoding::BASE64.encode(format!("alice:{CANARY}").as_bytes()));
    for (realm, hosts, shown) in [
        ("https://registry.example/token", None, true),
        ("https://registry.example:8443/token", None, false),
        ("https://registry.example:8443/token", Some("registry.example,registry.example:8443"), true),
        ("https://auth.example/token", Some("registry.example, auth.example"), true),
        ("https://auth.example/token", None, false),
        ("https://registry.example.evil.example/token", None, false),
        ("https://evilregistry.example/token", Some("*.registry.example,registry.example"), false),
    ] {
        let challenge: &'static str = Box::leak(format!("Bearer realm=\"{realm}\"").into_boxed_str());
        let fake = registry(challenge, r#"{"token":"good"}"#);
        let stack = TokenChallenge::new(Arc::clone(&fake), Url::parse(BASE).unwrap(), account(hosts), REFUSED);
        let found = stack.fetch(ask(MANIFEST)).await;
        let requests = seen(&fake);
        if shown {
            assert_eq!(found.unwrap().status, 200, "{realm}");
            assert!(requests[1].0.contains("account=alice"), "{requests:?}");
            assert_eq!(requests[1].1, basic, "{realm}");
        } else {
            let error = found.unwrap_err();
            assert!(matches!(error, FetchError::Credential { .. }), "{realm}: {error}");
            assert!(error.to_string().contains("`hosts` of secret `account`"), "{error}");
            assert_eq!(requests.len(), 1, "{realm}: an anonymous token is not what was asked for");
        }
        assert!(requests.iter().all(|(url, value)| value != &basic || url.starts_with(realm)), "{requests:?}");
    }
}

#[tokio::test]
async fn realms_that_are_not_visited() {
    for (realm, base, visited) in [
        ("http://registry.example/token", BASE, false),
        ("http://registry.example/token", "http://registry.example/", true),
        ("http://registry.example:81/token", "http://registry.example/", true),
        ("http://auth.example/token", "http://registry.example/", false),
        ("https://auth.example/token", "http://registry.example/", true),
        ("file:///token", BASE, false),
        ("/token", BASE, false),
        ("https://user:canary@auth.example/token", BASE, true),
    ] {
        let challenge: &'static str = Box::leak(format!("Bearer realm=\"{realm}\"").into_boxed_str());
        let fake = registry(challenge, r#"{"token":"good"}"#);
        let stack = TokenChallenge::new(Arc::clone(&fake), Url::parse(base).unwrap(), Account::Anonymous, REFUSED);
        let found = stack.fetch(ask(&format!("{base}v2/a/manifests/x"))).await;
        assert_eq!(found.is_ok(), visited, "{realm} of {base}");
        assert_eq!(fake.asked().len() > 1, visited, "{realm} of {base}");
        assert!(seen(&fake).iter().all(|(url, _)| !url.contains("canary")));
    }
}

#[tokio::test]
async fn a_redirect_of_the_realm_takes_no_account_along() {
    let fake = Fake::new(|ask| {
        let url = ask.url.expose();
        match (url.host_str().unwrap(), url.path()) {
            (_, "/token") => Ok(reply_with(ask, 307, &[("location", "https://evil.example/take")], "")),
            ("evil.example", _) => Ok(reply_with(ask, 200, &[], r#"{"token":"good"}"#)),
            _ => Ok(reply_with(
                ask,
                401,
                &[("www-authenticate", r#"Bearer realm="https://registry.example/token""#)],
                "",
            )),
        }
    });
    let stack = TokenChallenge::new(Arc::clone(&fake), Url::parse(BASE).unwrap(), account(None), REFUSED);
    let _ = stack.fetch(ask(MANIFEST)).await;
    let requests = seen(&fake);
    assert!(requests.iter().any(|(url, _)| url.starts_with("https://evil.example/")), "{requests:?}");
    for (url, shown) in requests.iter().filter(|(url, _)| url.starts_with("https://evil.example/")) {
        assert_eq!(shown, "", "{url}");
    }
}

#[tokio::test]
async fn token_servers_that_give_none() {
    let long: &'static str = Box::leak(format!(r#"{{"token":"{}"}}"#, "x".repeat(ANSWER_LIMIT)).into_boxed_str());
    for answer in ["", "<html>", r#"{"token":""}"#, r#"{"token":7}"#, r#"{"token":"a\nb"}"#, "{}", long] {
        let fake = registry(ELSEWHERE, answer);
        let error = anonymous(&fake).fetch(ask(MANIFEST)).await.unwrap_err();
        assert!(matches!(error, FetchError::Protocol { .. }), "{error}");
        assert!(!error.to_string().contains("a\nb"));
    }
    for (status, expected) in [(401, 401), (403, 401), (404, 502), (429, 429), (500, 500), (503, 503)] {
        let fake = Fake::new(move |ask| match ask.url.expose().path() {
            "/token" => Ok(reply_with(ask, status, &[("retry-after", "7")], "no")),
            _ => Ok(reply_with(ask, 401, &[("www-authenticate", ELSEWHERE)], "")),
        });
        let reply = anonymous(&fake).fetch(ask(MANIFEST)).await.unwrap();
        assert_eq!(reply.status.as_u16(), expected, "{status}");
        assert_eq!(reply.headers.contains_key(RETRY_AFTER), expected != 401, "{status}");
    }
}

#[tokio::test]
async fn a_token_server_that_has_moved_is_found_again() {
    const MOVED: &str = r#"Bearer realm="https://new.example/token",service="s",scope="repository:team/a:pull""#;
    let moved = Arc::new(AtomicU64::new(0));
    let state = Arc::clone(&moved);
    let fake = Fake::new(move |ask| {
        let (host, is_new) = (ask.url.expose().host_str(), state.load(Ordering::Relaxed) > 0);
        match (host, ask.authorization.as_ref().and_then(|value| value.to_str().ok())) {
            (Some("auth.example"), _) if is_new => Ok(reply_with(ask, 404, &[], "")),
            (Some("auth.example"), _) => Ok(reply_with(ask, 200, &[], r#"{"token":"old","expires_in":0}"#)),
            (Some("new.example"), _) => Ok(reply_with(ask, 200, &[], r#"{"token":"new"}"#)),
            (_, Some("Bearer old")) if !is_new => Ok(reply_with(ask, 200, &[], "")),
            (_, Some("Bearer new")) if is_new => Ok(reply_with(ask, 200, &[], "")),
            _ => Ok(reply_with(ask, 401, &[("www-authenticate", if is_new { MOVED } else { ELSEWHERE })], "")),
        }
    });
    let stack = anonymous(&fake);
    assert_eq!(stack.fetch(ask(MANIFEST)).await.unwrap().status, 200);
    moved.store(1, Ordering::Relaxed);
    assert_eq!(stack.fetch(ask(MANIFEST)).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_not_the_registrys_gets_no_token() {
    let fake = registry(ELSEWHERE, r#"{"token":"good"}"#);
    let stack = anonymous(&fake);
    stack.fetch(ask(MANIFEST)).await.unwrap();
    for url in ["https://files.example/v2/team/a/blobs/x", "https://registry.example:444/v2/team/a/blobs/x"] {
        assert_eq!(stack.fetch(ask(url)).await.unwrap().status, 401);
        assert_eq!(seen(&fake).last().unwrap(), &(url.to_owned(), String::new()));
    }
    // A credential of another kind is not exchanged for what everybody gets.
    let other = TokenChallenge::new(Arc::clone(&fake), Url::parse(BASE).unwrap(), Account::Other, REFUSED);
    assert_eq!(other.fetch(ask(MANIFEST)).await.unwrap().status, 401);
}

#[test]
fn repositories_of_addresses() {
    for (path, expected) in [
        ("/v2/a/manifests/x", Some("a")),
        ("/prefix/v2/a/b/blobs/sha256:x", Some("a/b")),
        ("/v2/blobs/manifests/tags/list", Some("blobs/manifests")),
        ("/v2/a/referrers/x", Some("a")),
        ("/v2/", None),
        ("/v2/manifests/x", None),
        ("/a/manifests/x", None),
    ] {
        assert_eq!(repository(path).as_deref(), expected, "{path}");
    }
}
