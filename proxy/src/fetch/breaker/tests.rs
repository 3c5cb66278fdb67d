use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::fetch::Source;
use crate::fetch::testing::{Fake, ask, body, broken, collect, reply, reply_with};

const ORIGIN: &str = "https://registry.example:443";

fn guard(fake: &Arc<Fake>) -> (CircuitBreaker<Arc<Fake>>, Arc<Origins>) {
    let origins = Arc::new(Origins::default());
    let guarded = CircuitBreaker::new(Arc::clone(fake), Arc::clone(&origins), BreakerSettings::default());
    (guarded, origins)
}

fn file(number: usize) -> Ask {
    ask(&format!("https://registry.example/{number}"))
}

async fn use_up(breaker: &CircuitBreaker<Arc<Fake>>, from: usize, count: usize) {
    for number in from..from + count {
        if let Ok(reply) = breaker.fetch(file(number)).await {
            collect(reply.body).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn five_failures_open_it_and_a_probe_closes_it() {
    let healthy = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&healthy);
    let fake = Fake::new(move |ask| Ok(reply(ask, if seen.load(Ordering::Relaxed) { 200 } else { 500 })));
    let (breaker, origins) = guard(&fake);
    use_up(&breaker, 0, 4).await;
    assert_eq!(origins.state(ORIGIN).unwrap().state, State::Closed);
    use_up(&breaker, 4, 1).await;
    let state = origins.state(ORIGIN).unwrap();
    assert_eq!((state.state, state.consecutive_failures), (State::Open, 5));
    assert_eq!(state.last_error.as_deref(), Some("it answered 500"));
    assert_eq!(state.last_success, None);

    let refused = breaker.fetch(file(9)).await.unwrap_err();
    assert!(matches!(refused, FetchError::CircuitOpen { retry_after, .. } if retry_after <= Duration::from_secs(5)));
    assert_eq!(fake.asked().len(), 5, "an open circuit asks nothing");

    healthy.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(5)).await;
    let probe = breaker.fetch(file(10)).await.unwrap();
    assert_eq!(origins.state(ORIGIN).unwrap().state, State::Closed, "the head is enough");
    drop(probe);
    use_up(&breaker, 11, 3).await;
    assert_eq!(fake.asked().len(), 9);
    assert!(origins.state(ORIGIN).unwrap().last_success.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_has_failed() {
    struct Hanging(AtomicBool);
    impl Fetch for Hanging {
        fn fetch(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, FetchError>> {
            Box::pin(async move {
                if self.0.load(Ordering::Relaxed) { std::future::pending().await } else { Err(broken(&ask)) }
            })
        }
    }
    let origins = Arc::new(Origins::default());
    let inner = Arc::new(Hanging(AtomicBool::new(false)));
    let breaker = CircuitBreaker::new(Arc::clone(&inner), Arc::clone(&origins), BreakerSettings::default());
    for number in 0..5 {
        breaker.fetch(file(number)).await.unwrap_err();
    }
    inner.0.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(5)).await;
    let mut probe = breaker.fetch(file(6));
    assert!(futures_util::poll!(&mut probe).is_pending());
    assert_eq!(origins.state(ORIGIN).unwrap().state, State::HalfOpen);
    assert!(matches!(breaker.fetch(file(7)).await, Err(FetchError::CircuitOpen { .. })), "one probe at a time");
    drop(probe);
    let state = origins.state(ORIGIN).unwrap();
    assert_eq!(state.state, State::Open);
    assert!(state.retry_after.unwrap() > Duration::from_secs(5), "it waits longer than the first time");
}

type Answer = Box<dyn Fn(&Ask) -> Result<Reply, FetchError> + Send + Sync>;

#[tokio::test(start_paused = true)]
async fn what_counts() {
    let cut = |ask: &Ask| {
        let pieces = vec![Ok("half".into()), Err(broken(ask))];
        Ok(Reply { body: body(pieces), ..reply(ask, 200) })
    };
    let status = |code| -> Answer { Box::new(move |ask| Ok(reply(ask, code))) };
    let cases: Vec<(&str, Answer, bool)> = vec![
        ("500", status(500), true),
        ("502", status(502), true),
        ("503 without Retry-After", status(503), true),
        ("broken", Box::new(|ask| Err(broken(ask))), true),
        ("broken inside the body", Box::new(cut), true),
        ("timeout", Box::new(|ask| Err(timeout(ask, Phase::Head))), true),
        ("no free place", Box::new(|ask| Err(timeout(ask, Phase::Queue))), false),
        ("400", status(400), false),
        ("401", status(401), false),
        ("403", status(403), false),
        ("404", status(404), false),
        ("410", status(410), false),
        ("304", status(304), false),
        ("302", status(302), false),
        (
            "forbidden",
            Box::new(|ask| Err(FetchError::Forbidden { url: ask.url.clone(), reason: String::new() })),
            false,
        ),
        ("credential", Box::new(|_| Err(FetchError::Credential { reason: String::new() })), false),
        ("certificate", Box::new(|ask| Err(tls(ask, "its certificate has expired"))), false),
        ("handshake", Box::new(|ask| Err(tls(ask, tls::HANDSHAKE))), true),
    ];
    for (name, answer, opens) in cases {
        let (breaker, origins) = guard(&Fake::new(answer));
        use_up(&breaker, 0, 5).await;
        assert_eq!(origins.state(ORIGIN).unwrap().state == State::Open, opens, "{name}");
    }
}

fn timeout(ask: &Ask, phase: Phase) -> FetchError {
    FetchError::Timeout { origin: ask.url.origin(), phase }
}

fn tls(ask: &Ask, reason: &'static str) -> FetchError {
    FetchError::Tls { origin: ask.url.origin(), reason, source: Arc::new(std::io::Error::other("x")) }
}

#[tokio::test(start_paused = true)]
async fn one_broken_key_is_not_a_broken_registry() {
    let (breaker, origins) = guard(&Fake::new(|ask| Err(broken(ask))));
    for _ in 0..20 {
        breaker.fetch(file(1)).await.unwrap_err();
    }
    let state = origins.state(ORIGIN).unwrap();
    assert_eq!((state.state, state.consecutive_failures), (State::Closed, 1));
}

#[tokio::test(start_paused = true)]
async fn a_success_at_the_end_of_a_body_starts_the_count_anew() {
    let fake = Fake::numbered(|ask, number| if number == 4 { Ok(reply(ask, 200)) } else { Err(broken(ask)) });
    let (breaker, origins) = guard(&fake);
    use_up(&breaker, 0, 9).await;
    let state = origins.state(ORIGIN).unwrap();
    assert_eq!((state.state, state.consecutive_failures), (State::Closed, 4));
}

#[tokio::test(start_paused = true)]
async fn the_origin_s_own_pause() {
    for (status, header, pause) in [
        (429, Some("20"), Some(20)),
        (429, None, Some(5)),
        (429, Some("86400"), Some(300)),
        (503, Some("20"), Some(20)),
        (503, None, None),
    ] {
        let fake = Fake::new(move |ask| {
            let headers: Vec<_> = header.iter().map(|value| ("retry-after", *value)).collect();
            Ok(reply_with(ask, status, &headers, ""))
        });
        let (breaker, origins) = guard(&fake);
        assert_eq!(breaker.fetch(file(1)).await.unwrap().status.as_u16(), status);
        let next = breaker.fetch(file(2)).await;
        let Some(seconds) = pause else {
            assert!(next.is_ok());
            continue;
        };
        let wait = Duration::from_secs(seconds);
        assert!(matches!(next, Err(FetchError::Paused { retry_after, .. }) if retry_after == wait), "{next:?}");
        let state = origins.state(ORIGIN).unwrap();
        assert_eq!((state.state, state.retry_after, state.consecutive_failures), (State::Paused, Some(wait), 0));
        tokio::time::advance(wait).await;
        assert!(breaker.fetch(file(3)).await.is_ok());
        assert_eq!(fake.asked().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn passed_through_calls_neither_count_nor_pause() {
    let fake = Fake::numbered(|ask, number| Ok(reply(ask, if number < 20 { 500 } else { 429 })));
    let (breaker, origins) = guard(&fake);
    for number in 0..25 {
        let forward = Ask { purpose: Purpose::Forward, ..file(number) };
        breaker.fetch(forward).await.unwrap();
    }
    assert_eq!(origins.state(ORIGIN).unwrap().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn origins_are_apart() {
    let (breaker, origins) = guard(&Fake::new(|ask| Err(broken(ask))));
    use_up(&breaker, 0, 5).await;
    assert!(matches!(breaker.fetch(ask("https://registry.example:8443/x")).await, Err(FetchError::Broken { .. })));
    assert_eq!(origins.snapshot().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_kind_of_trouble_is_known_until_a_success() {
    let source = || -> Source { Arc::new(std::io::Error::other("x")) };
    let dns = move |ask: &Ask| Err(FetchError::Dns { origin: ask.url.origin(), source: source() });
    let connect = move |ask: &Ask| Err(FetchError::Connect { origin: ask.url.origin(), source: source() });
    let cases: Vec<(&str, Answer, Option<Trouble>, bool)> = vec![
        ("name", Box::new(dns), Some(Trouble::Dns), false),
        ("refused", Box::new(connect), Some(Trouble::Connect), false),
        ("dial", Box::new(|ask| Err(timeout(ask, Phase::Connect))), Some(Trouble::Connect), false),
        ("stall", Box::new(|ask| Err(timeout(ask, Phase::Head))), Some(Trouble::Answer), false),
        ("certificate", Box::new(|ask| Err(tls(ask, "its certificate has expired"))), Some(Trouble::Tls), false),
        ("handshake", Box::new(|ask| Err(tls(ask, tls::HANDSHAKE))), Some(Trouble::Tls), false),
        ("500", Box::new(|ask| Ok(reply(ask, 500))), Some(Trouble::Answer), false),
        ("queue", Box::new(|ask| Err(timeout(ask, Phase::Queue))), None, false),
        ("401", Box::new(|ask| Ok(reply(ask, 401))), None, true),
        ("basic", Box::new(|ask| Ok(reply_with(ask, 401, &[("www-authenticate", "Basic realm=x")], ""))), None, true),
        ("token", Box::new(|ask| Ok(reply_with(ask, 401, &[("www-authenticate", "Bearer realm=x")], ""))), None, false),
        ("404", Box::new(|ask| Ok(reply(ask, 404))), None, false),
    ];
    for (name, answer, trouble, unauthorized) in cases {
        let fake = Fake::numbered(move |ask, number| if number == 0 { answer(ask) } else { Ok(reply(ask, 404)) });
        let (breaker, origins) = guard(&fake);
        let _ = breaker.fetch(file(1)).await;
        let state = origins.state(ORIGIN).unwrap();
        assert_eq!((state.trouble, state.unauthorized), (trouble, unauthorized), "{name}");
        breaker.fetch(file(1)).await.unwrap();
        let state = origins.state(ORIGIN).unwrap();
        assert_eq!((state.trouble, state.unauthorized), (None, false), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_way_of_asking_is_another_matter() {
    let fake = Fake::numbered(|ask, number| match number {
        0 => Ok(reply(ask, 401)),
        _ => Err(tls(ask, "its certificate has expired")),
    });
    let (breaker, origins) = guard(&fake);
    let known = || origins.state(ORIGIN).map(|state| (state.trouble, state.unauthorized));
    origins.reconsider(ORIGIN);
    assert_eq!(known(), None);
    breaker.fetch(file(1)).await.unwrap();
    breaker.fetch(file(1)).await.unwrap_err();
    assert_eq!(known(), Some((Some(Trouble::Tls), true)));
    origins.reconsider(ORIGIN);
    assert_eq!(known(), Some((None, false)));
}
