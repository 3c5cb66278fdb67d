use http::HeaderValue;

use super::*;
use crate::fetch::testing::{Fake, ask, broken, reply, reply_with};

const BASE: &str = "https://registry.example/npm/";
const TTL: Duration = Duration::from_secs(30);

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
        (500, vec![(200, NotFound)], "0"),
        (0, vec![(200, NotFound)], "0"),
        (429, vec![(200, NotFound)], "0"),
        (500, vec![(200, NotFound), (404, Unavailable), (200, NotFound)], "02"),
        (410, vec![(200, Unavailable), (200, NotFound)], "02"),
        (403, vec![(200, NotFound)], "0"),
        (401, vec![(200, NotFound)], "0"),
        (304, vec![(200, NotFound)], "0"),
        (1, vec![(200, NotFound)], "0"),
        (0, vec![(0, Unavailable), (503, Unavailable), (200, Unavailable)], "0123"),
        (0, vec![(404, Unavailable), (200, Unavailable)], "012"),
        (0, vec![(0, Unavailable); 6], "01234"),
    ] {
        let primary = answering(first);
        let fakes: Vec<_> = others.iter().map(|(status, _)| answering(*status)).collect();
        let list = others.iter().zip(&fakes).enumerate();
        let list = list.map(|(index, ((_, on), fake))| fallback(fake, index, *on)).collect();
        let all = Fallbacks::new(Url::parse(BASE).unwrap(), Arc::clone(&primary) as Arc<dyn Fetch>, list, TTL);
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
    let all = Fallbacks::new(Url::parse(BASE).unwrap(), Arc::clone(&primary) as Arc<dyn Fetch>, list, TTL);
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
        TTL,
    );
    for url in ["https://files.registry.example/npm/a", "https://registry.example/npm-evil/a"] {
        assert_eq!(all.fetch(ask(url)).await.unwrap().status.as_u16(), 500);
    }
    assert!(mirror.asked().is_empty());
}

/// All of them, with what they answer. Each may be told to answer otherwise later.
fn chain(statuses: &[(u16, FallbackOn)]) -> (Fallbacks, Vec<Arc<Fake>>) {
    let fakes: Vec<_> = statuses.iter().map(|(status, _)| answering(*status)).collect();
    let others = fakes[1..].iter().zip(&statuses[1..]).enumerate();
    let others = others.map(|(index, (fake, (_, on)))| fallback(fake, index, *on)).collect();
    let first = Arc::clone(&fakes[0]) as Arc<dyn Fetch>;
    (Fallbacks::new(Url::parse(BASE).unwrap(), first, others, TTL), fakes)
}

fn counts(fakes: &[Arc<Fake>]) -> Vec<usize> {
    fakes.iter().map(|fake| fake.asked().len()).collect()
}

fn mirror(index: usize) -> Url {
    Url::parse(&format!("https://mirror{index}.example/a/b/")).unwrap()
}

#[tokio::test]
async fn what_one_that_does_not_answer_lacks_is_not_known() {
    use FallbackOn::{NotFound, Unavailable};
    for (statuses, expected) in [
        (vec![(503, Unavailable), (200, NotFound)], 503),
        (vec![(404, Unavailable), (503, NotFound), (404, NotFound)], 503),
        (vec![(503, Unavailable), (404, NotFound), (200, Unavailable)], 200),
        (vec![(404, Unavailable), (503, NotFound)], 503),
        (vec![(404, Unavailable), (503, NotFound), (200, NotFound)], 503),
        // A mirror that stands in may hold less than what it stands in for.
        (vec![(503, Unavailable), (404, Unavailable)], 503),
        (vec![(503, Unavailable), (410, Unavailable), (200, NotFound)], 503),
        (vec![(503, Unavailable), (404, Unavailable), (200, Unavailable)], 200),
        (vec![(404, Unavailable), (503, NotFound), (404, Unavailable)], 503),
        (vec![(404, Unavailable), (410, NotFound)], 410),
    ] {
        let (all, _) = chain(&statuses);
        let reply = all.fetch(ask("https://registry.example/npm/a")).await.unwrap();
        assert_eq!(reply.status.as_u16(), expected, "{statuses:?}");
    }
    for other in [(200, NotFound), (404, Unavailable)] {
        let (all, _) = chain(&[(0, Unavailable), other]);
        assert!(all.fetch(ask("https://registry.example/npm/a")).await.is_err(), "{other:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_said_no_is_left_alone_for_a_while() {
    let (all, fakes) = chain(&[(404, FallbackOn::Unavailable), (200, FallbackOn::NotFound)]);
    let fetch = |path: &str| all.fetch(ask(&format!("https://registry.example/npm/{path}")));
    for _ in 0..3 {
        let reply = fetch("a").await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.fallback), (200, Some(mirror(0))));
    }
    assert_eq!(counts(&fakes), [1, 3]);
    fetch("b").await.unwrap();
    assert_eq!(counts(&fakes), [2, 4], "another address");
    tokio::time::advance(TTL).await;
    fetch("a").await.unwrap();
    assert_eq!(counts(&fakes), [3, 5], "after its time");
    all.forget();
    fetch("a").await.unwrap();
    assert_eq!(counts(&fakes), [4, 6], "after a purge");
    for number in 0..ABSENCES * 2 {
        let forward = Ask { purpose: Purpose::Forward, ..ask(&format!("https://registry.example/npm/{number}")) };
        all.fetch(if number % 2 == 0 { forward } else { ask(&format!("https://registry.example/npm/{number}")) })
            .await
            .unwrap();
    }
    assert!(all.absent.len() <= ABSENCES);
}

#[tokio::test]
async fn what_is_absent_by_one_method_may_be_there_by_another() {
    let first = Fake::new(|ask| Ok(reply(ask, if ask.method == Method::HEAD { 404 } else { 200 })));
    let other = answering(200);
    let list = vec![fallback(&other, 0, FallbackOn::NotFound)];
    let all = Fallbacks::new(Url::parse(BASE).unwrap(), Arc::clone(&first) as Arc<dyn Fetch>, list, TTL);
    let head = Ask { method: Method::HEAD, ..ask("https://registry.example/npm/a") };
    assert_eq!(all.fetch(head).await.unwrap().fallback, Some(mirror(0)));
    assert_eq!(all.fetch(ask("https://registry.example/npm/a")).await.unwrap().fallback, None);
}

#[tokio::test]
async fn one_may_be_asked_for_by_name() {
    use FallbackOn::{NotFound, Unavailable};
    use Instead::{Anyone, Nobody, SameRegistry};
    let unknown = Url::parse("https://gone.example/").unwrap();
    for (fallback, instead, statuses, expected, count) in [
        (Some(mirror(0)), Nobody, [200, 200, 200], Ok(200), [0, 1, 0]),
        (Some(mirror(0)), Nobody, [200, 404, 200], Ok(404), [0, 1, 0]),
        (Some(mirror(1)), Nobody, [200, 200, 0], Err(()), [0, 0, 1]),
        (Some(mirror(1)), Anyone, [200, 200, 0], Ok(200), [1, 0, 1]),
        (Some(mirror(1)), Anyone, [503, 200, 503], Ok(503), [1, 0, 1]),
        (Some(mirror(1)), Anyone, [404, 200, 503], Ok(200), [1, 1, 1]),
        (Some(mirror(1)), Anyone, [200, 200, 404], Ok(200), [1, 0, 1]),
        (None, Nobody, [404, 200, 200], Ok(404), [1, 0, 0]),
        (None, Nobody, [503, 200, 200], Ok(503), [1, 0, 0]),
        (None, Anyone, [404, 200, 200], Ok(200), [1, 1, 0]),
        (Some(unknown), Nobody, [200, 200, 200], Ok(200), [1, 0, 0]),
        // What adds to the registry may have another package of the name; what stands in for it has not.
        (Some(mirror(0)), SameRegistry, [200, 404, 200], Ok(404), [0, 1, 0]),
        (Some(mirror(1)), SameRegistry, [200, 200, 404], Ok(200), [1, 0, 1]),
        (Some(mirror(1)), SameRegistry, [404, 200, 404], Ok(404), [1, 0, 1]),
        (Some(mirror(1)), SameRegistry, [503, 200, 404], Ok(503), [1, 0, 1]),
        (None, SameRegistry, [503, 200, 200], Ok(200), [1, 0, 1]),
        (None, SameRegistry, [404, 200, 200], Ok(404), [1, 0, 0]),
    ] {
        let (all, fakes) = chain(&[(statuses[0], Unavailable), (statuses[1], NotFound), (statuses[2], Unavailable)]);
        let source = Some(Wanted { fallback: fallback.clone(), instead });
        let reply = all.fetch(Ask { source, ..ask("https://registry.example/npm/a") }).await;
        let found = reply.as_ref().map(|reply| reply.status.as_u16()).map_err(|_| ());
        assert_eq!(
            (found, counts(&fakes).as_slice()),
            (expected, count.as_slice()),
            "{fallback:?} {instead:?} {statuses:?}"
        );
    }
}
