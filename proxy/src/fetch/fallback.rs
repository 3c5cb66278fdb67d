//! Several addresses of one registry, asked in turn.

use std::sync::Arc;

use crds::FallbackOn;
use http::StatusCode;
use http::header::{ETAG, LAST_MODIFIED};
use url::Url;

use super::credential::Scope;
use super::{Ask, BoxFuture, Fetch, FetchError, Reply, SafeUrl, Validators};

/// The most fallbacks that one upstream has.
pub const LIMIT: usize = 4;

/// The first upstream and those that are asked where it fails.
pub struct Fallbacks {
    base: Url,
    first: Arc<dyn Fetch>,
    others: Vec<Fallback>,
}

/// One further address of the same registry.
pub struct Fallback {
    /// Its base; ends in `/`.
    pub base: Url,
    /// What makes it be asked.
    pub on: FallbackOn,
    /// Asks it, with its own credential.
    pub fetch: Arc<dyn Fetch>,
}

impl Fallbacks {
    /// Asks `first`, whose base is `base`, then `others` in their order.
    pub fn new(base: Url, first: Arc<dyn Fetch>, mut others: Vec<Fallback>) -> Self {
        others.truncate(LIMIT);
        Self { base, first, others }
    }
}

impl Fetch for Fallbacks {
    fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
        Box::pin(async move {
            let mut last = self.first.fetch(ask.clone()).await;
            // A link to another origin has no counterpart below a fallback's base.
            for fallback in &self.others {
                let Some(url) = rebase(ask.url.expose(), &self.base, &fallback.base) else { break };
                if !leads_on(&last, fallback.on) {
                    continue;
                }
                // The reply holds a place among the requests to its upstream.
                drop(last);
                last = fallback.fetch.fetch(elsewhere(&ask, url)).await.map(without_validators);
            }
            last
        })
    }
}

/// Whether an outcome sends the request to a fallback. What was refused here, for want of a credential or by the
/// filter, is an error to be mended, not to be covered up.
fn leads_on(outcome: &Result<Reply, FetchError>, on: FallbackOn) -> bool {
    match outcome {
        Ok(reply) => match reply.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => on == FallbackOn::NotFound,
            // What the next request would get as a pause.
            StatusCode::TOO_MANY_REQUESTS => true,
            status => status.is_server_error(),
        },
        Err(FetchError::Forbidden { .. } | FetchError::Credential { .. } | FetchError::Trust { .. }) => false,
        Err(_) => true,
    }
}

/// The same place below another base.
fn rebase(url: &Url, from: &Url, to: &Url) -> Option<SafeUrl> {
    if !Scope::below(from).covers(url) {
        return None;
    }
    let below = url.path().strip_prefix(from.path()).unwrap_or_default();
    let mut rebased = to.clone();
    rebased.set_path(&format!("{}{below}", to.path()));
    rebased.set_query(url.query());
    Some(SafeUrl::from(rebased))
}

/// The request as a fallback gets it: the validators are another server's, which may use the same ones for other bytes.
fn elsewhere(ask: &Ask, url: SafeUrl) -> Ask {
    let mut ask = Ask { url, validators: Validators::default(), ..ask.clone() };
    if let Some(resume) = &mut ask.resume {
        resume.if_range = None;
    }
    ask
}

/// And the other way round: what a fallback calls a version must never be sent to the first upstream.
fn without_validators(mut reply: Reply) -> Reply {
    reply.headers.remove(ETAG);
    reply.headers.remove(LAST_MODIFIED);
    reply
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::fetch::testing::{Fake, ask, broken, reply, reply_with};

    const BASE: &str = "https://registry.example/npm/";

    /// An upstream that answers with one status, or not at all (0), or refuses for want of a credential (1).
    fn answering(status: u16) -> Arc<Fake> {
        Fake::new(move |ask| match status {
            0 => Err(broken(ask)),
            1 => Err(FetchError::Credential { reason: "no secret".into() }),
            _ => Ok(reply_with(ask, status, &[("etag", "\"theirs\""), ("last-modified", "x")], "")),
        })
    }

    fn fallback(fake: &Arc<Fake>, index: usize, on: FallbackOn) -> Fallback {
        let base = Url::parse(&format!("https://mirror{index}.example/a/b/")).unwrap();
        Fallback { base, on, fetch: Arc::clone(fake) as Arc<dyn Fetch> }
    }

    #[tokio::test]
    async fn who_is_asked() {
        use FallbackOn::{NotFound, Unavailable};
        for (first, others, expected) in [
            (200, vec![(200, Unavailable)], "0"),
            (500, vec![(200, Unavailable)], "01"),
            (0, vec![(200, Unavailable)], "01"),
            (429, vec![(200, Unavailable)], "01"),
            (404, vec![(200, Unavailable)], "0"),
            (404, vec![(200, NotFound)], "01"),
            (410, vec![(200, Unavailable), (200, NotFound)], "02"),
            (403, vec![(200, NotFound)], "0"),
            (401, vec![(200, NotFound)], "0"),
            (304, vec![(200, NotFound)], "0"),
            (1, vec![(200, NotFound)], "0"),
            (0, vec![(0, Unavailable), (503, Unavailable), (200, Unavailable)], "0123"),
            (0, vec![(404, Unavailable), (200, Unavailable)], "01"),
            (0, vec![(0, Unavailable); 6], "01234"),
        ] {
            let primary = answering(first);
            let fakes: Vec<_> = others.iter().map(|(status, _)| answering(*status)).collect();
            let list = others.iter().zip(&fakes).enumerate();
            let list = list.map(|(index, ((_, on), fake))| fallback(fake, index, *on)).collect();
            let all = Fallbacks::new(Url::parse(BASE).unwrap(), Arc::clone(&primary) as Arc<dyn Fetch>, list);
            let _ = all.fetch(ask("https://registry.example/npm/@scope%2fname?x=y")).await;
            let asked: String = std::iter::once(&primary)
                .chain(&fakes)
                .enumerate()
                .filter(|(_, fake)| !fake.asked().is_empty())
                .map(|(index, _)| index.to_string())
                .collect();
            assert_eq!(asked, expected, "{first} {others:?}");
            if let Some(sent) = fakes[0].asked().first() {
                assert_eq!(sent.url.expose().as_str(), "https://mirror0.example/a/b/@scope%2fname?x=y");
            }
        }
    }

    #[tokio::test]
    async fn validators_stay_with_who_gave_them() {
        let (primary, mirror) = (answering(0), answering(200));
        let list = vec![fallback(&mirror, 0, FallbackOn::Unavailable)];
        let all = Fallbacks::new(Url::parse(BASE).unwrap(), Arc::clone(&primary) as Arc<dyn Fetch>, list);
        let mut conditional = ask("https://registry.example/npm/a");
        conditional.validators.etag = Some(HeaderValue::from_static("\"ours\""));
        let found = all.fetch(conditional).await.unwrap();
        assert!(found.headers.is_empty());
        assert!(primary.asked()[0].validators.etag.is_some());
        assert_eq!(mirror.asked()[0].validators, Validators::default());
    }

    #[tokio::test]
    async fn a_link_elsewhere_has_no_fallback() {
        let mirror = answering(200);
        let all = Fallbacks::new(
            Url::parse(BASE).unwrap(),
            Fake::new(|ask| Ok(reply(ask, 500))),
            vec![fallback(&mirror, 0, FallbackOn::Unavailable)],
        );
        for url in ["https://files.registry.example/npm/a", "https://registry.example/npm-evil/a"] {
            assert_eq!(all.fetch(ask(url)).await.unwrap().status.as_u16(), 500);
        }
        assert!(mirror.asked().is_empty());
    }
}
