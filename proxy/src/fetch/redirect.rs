//! Follows redirects, each hop a request of its own: with its own credential, its own filter and its own breaker.

use http::header::LOCATION;
use http::{Method, StatusCode};
use url::Url;

use super::credential::Scope;
use super::{Ask, BoxFuture, Fetch, FetchError, Reply, SafeUrl};

/// Redirects that are followed for one request.
const HOPS: usize = 5;

/// Hands out final answers of a fetcher that hands out redirects.
pub struct Redirects<F>(F);

impl<F> Redirects<F> {
    /// Follows what `inner` answers.
    pub fn new(inner: F) -> Self {
        Self(inner)
    }
}

impl<F: Fetch> Fetch for Redirects<F> {
    fn fetch(&self, mut ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        Box::pin(async move {
            let mut seen = vec![ask.url.expose().clone()];
            loop {
                // Dropping the reply of a redirect leaves its body unread.
                let reply = self.0.fetch(ask.clone()).await?;
                if !follows(reply.status) {
                    return Ok(reply);
                }
                let next = target(&reply)?;
                let unusable =
                    |reason: &str| FetchError::Protocol { origin: reply.url.origin(), reason: reason.to_owned() };
                if seen.contains(&next) {
                    return Err(unusable("its redirects go in a circle"));
                }
                if seen.len() > HOPS {
                    return Err(unusable("it redirects more than 5 times"));
                }
                seen.push(next.clone());
                ask = redirected(ask, reply.status, next);
            }
        })
    }

    fn forget(&self) {
        self.0.forget();
    }
}

/// The redirects with one target (RFC 9110 §15.4). 300 offers a choice and 304 is no redirect at all.
fn follows(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, without user info.
fn target(reply: &Reply) -> Result<Url, FetchError> {
    let from = reply.url.expose();
    let unusable = |reason: &str| FetchError::Protocol { origin: reply.url.origin(), reason: reason.to_owned() };
    let location = reply.headers.get(LOCATION).ok_or_else(|| unusable("it redirects without saying where"))?;
    let text = std::str::from_utf8(location.as_bytes()).map_err(|_| unusable("its Location is not text"))?;
    let mut next = from.join(text).map_err(|_| unusable("its Location is not an address"))?;
    let refused = |reason: &str| FetchError::Forbidden { url: SafeUrl::from(next.clone()), reason: reason.to_owned() };
    match (from.scheme(), next.scheme()) {
        ("https", "http") => return Err(refused("a redirect from https to http")),
        (_, "http" | "https") => {}
        _ => return Err(refused("a redirect to another scheme than http and https")),
    }
    let _ = next.set_username("");
    let _ = next.set_password(None);
    next.set_fragment(None);
    Ok(next)
}

/// The request for the next hop: 303, and 301 and 302 for POST, turn into a GET without body (RFC 9110 §15.4.4).
fn redirected(ask: Ask, status: StatusCode, next: Url) -> Ask {
    let stays = Scope::below(ask.url.expose()).same_origin(&next);
    let ask = Ask { authorization: ask.authorization.clone().filter(|_| stays), ..ask };
    let posted = ask.method == Method::POST;
    if posted && !matches!(status.as_u16(), 307 | 308) {
        return Ask { url: next.into(), method: Method::GET, body: None, ..ask };
    }
    Ask { url: next.into(), ..ask }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::testing::{Fake, ask, reply_with};

    /// Redirects as a table: path, status, Location.
    fn site(table: &'static [(&'static str, u16, &'static str)]) -> Redirects<std::sync::Arc<Fake>> {
        Redirects::new(Fake::new(move |ask| {
            let path = ask.url.expose().path().to_owned();
            let found = table.iter().find(|(from, ..)| *from == path);
            let (status, location) = found.map_or((200, ""), |(_, status, location)| (*status, *location));
            let headers = if location.is_empty() { vec![] } else { vec![("location", location)] };
            Ok(reply_with(ask, status, &headers, "body"))
        }))
    }

    #[tokio::test]
    async fn where_redirects_lead() {
        let table: &[(&str, u16, &str)] = &[
            ("/relative", 302, "cdn/x?y#z"),
            ("/root", 301, "/cdn/x"),
            ("/away", 307, "https://user:canary@files.registry.example/x"),
            ("/same-scheme", 308, "//files.registry.example/x"),
            ("/1", 302, "/2"),
            ("/2", 302, "/3"),
            ("/3", 302, "/4"),
            ("/4", 302, "/5"),
            ("/5", 302, "/6"),
            ("/0", 302, "/1"),
            ("/circle", 302, "/circle-back"),
            ("/circle-back", 302, "/circle"),
            ("/self", 302, "/self"),
            ("/nowhere", 302, ""),
            ("/garbage", 302, "https://[::"),
            ("/down", 302, "http://registry.example/x"),
            ("/file", 302, "FILE:/etc/passwd"),
            ("/gopher", 302, "gopher://registry.example/"),
            ("/choice", 300, "/x"),
        ];
        let site = site(table);
        for (from, expected) in [
            ("/relative", Ok("https://registry.example/cdn/x?y")),
            ("/root", Ok("https://registry.example/cdn/x")),
            ("/away", Ok("https://files.registry.example/x")),
            ("/same-scheme", Ok("https://files.registry.example/x")),
            ("/choice", Ok("https://registry.example/choice")),
            ("/1", Ok("https://registry.example/6")),
            ("/0", Err("Protocol")),
            ("/circle", Err("Protocol")),
            ("/self", Err("Protocol")),
            ("/nowhere", Err("Protocol")),
            ("/garbage", Err("Protocol")),
            ("/down", Err("Forbidden")),
            ("/file", Err("Forbidden")),
            ("/gopher", Err("Forbidden")),
        ] {
            let found = site.fetch(ask(&format!("https://registry.example{from}"))).await;
            match (found, expected) {
                (Ok(reply), Ok(expected)) => assert_eq!(reply.url.expose().as_str(), expected, "{from}"),
                (Err(error), Err(expected)) => {
                    assert!(format!("{error:?}").starts_with(expected), "{from}: {error:?}");
                    assert!(!error.to_string().contains("canary"));
                }
                (found, expected) => panic!("{from}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_a_request_is_authorized_with_stays_with_its_origin() {
        for (location, stays) in [
            ("/b", true),
            ("https://registry.example:443/b", true),
            ("https://registry.example:444/b", false),
            ("https://files.example/b", false),
            ("//registry.example.evil.example/b", false),
        ] {
            let fake = Fake::new(move |ask| {
                let first = ask.url.expose().path() == "/a";
                Ok(reply_with(ask, if first { 307 } else { 200 }, &[("location", location)], ""))
            });
            let authorization = Some(http::HeaderValue::from_static("Bearer canary"));
            let request = Ask { authorization, ..ask("https://registry.example/a") };
            Redirects::new(std::sync::Arc::clone(&fake)).fetch(request).await.unwrap();
            assert_eq!(fake.asked().pop().unwrap().authorization.is_some(), stays, "{location}");
        }
    }

    #[tokio::test]
    async fn a_post_becomes_a_get_unless_told_to_stay_one() {
        for (status, method) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
            let fake = Fake::new(move |ask| {
                let first = ask.url.expose().path() == "/a";
                Ok(reply_with(ask, if first { status } else { 200 }, &[("location", "/b")], ""))
            });
            let body = crate::fetch::AskBody { content_type: None, content_encoding: None, bytes: "x".into() };
            let post = Ask { method: Method::POST, body: Some(body), ..ask("https://registry.example/a") };
            Redirects::new(std::sync::Arc::clone(&fake)).fetch(post).await.unwrap();
            let last = fake.asked().pop().unwrap();
            assert_eq!((last.method.as_str(), last.body.is_some()), (method, method == "POST"), "{status}");
        }
    }
}
