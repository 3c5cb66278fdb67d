//! Refusals of what not everybody, or no HEAD, may see.

use super::*;

/// A registry whose token server, and which itself to a token, answers with these.
async fn is_withheld(account: Account, realm: u16, registry: u16) -> (u16, bool) {
    let fake = Fake::new(move |ask| match ask.url.expose().path() {
        "/token" => Ok(reply_with(ask, realm, &[], r#"{"token":"good"}"#)),
        _ if ask.authorization.is_some() => Ok(reply_with(ask, registry, &[], "")),
        _ => Ok(reply_with(ask, 401, &[("www-authenticate", r#"Bearer realm="https://registry.example/token""#)], "")),
    });
    let stack = TokenChallenge::new(Arc::clone(&fake), Url::parse(BASE).unwrap(), account, REFUSED);
    let reply = stack.fetch(ask(MANIFEST)).await.unwrap();
    (reply.status.as_u16(), is_insufficient_scope(&reply.headers))
}

#[tokio::test]
async fn what_everybody_is_refused_is_withheld() {
    for (realm, registry, status, withheld) in [
        (200, 200, 200, false),
        (200, 403, 403, true),
        (200, 404, 404, false),
        (200, 500, 500, false),
        (401, 200, 401, true),
        (403, 200, 401, true),
        (500, 200, 500, false),
    ] {
        assert_eq!(is_withheld(Account::Anonymous, realm, registry).await, (status, withheld), "{realm} {registry}");
        assert_eq!(is_withheld(account(None), realm, registry).await, (status, false), "{realm} {registry}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_refuses_every_head_has_a_good_token() {
    let fake = Fake::new(|ask| match ask.url.expose().path() {
        "/token" => Ok(reply_with(ask, 200, &[], r#"{"token":"good","expires_in":3600}"#)),
        _ if ask.authorization.is_some() && ask.method != Method::HEAD => Ok(reply_with(ask, 200, &[], "")),
        _ => Ok(reply_with(ask, 401, &[("www-authenticate", ELSEWHERE)], "")),
    });
    let stack = anonymous(&fake);
    assert_eq!(stack.fetch(Ask { method: Method::HEAD, ..ask(MANIFEST) }).await.unwrap().status, 401);
    tokio::time::advance(REFUSED).await;
    let before = fake.asked().len();
    assert_eq!(stack.fetch(ask(MANIFEST)).await.unwrap().status, 200);
    assert_eq!(fake.asked().len(), before + 1, "the token is kept");
}
