//! Names to addresses for every dial: a cache with bounded lifetimes, the last good answer while the name service is
//! down, and the address filter, so that the addresses screened are the ones dialled.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::Instant;

use super::BoxFuture;
use super::filter::AddressFilter;
pub use system::SystemLookup;

mod system;

/// An answer is believed at least this long, so that a lifetime of zero does not make every dial ask.
const SHORTEST: Duration = Duration::from_secs(5);
/// An answer is believed at most this long.
const LONGEST: Duration = Duration::from_mins(5);
/// How long an old answer serves while no new one is to be had.
const LAST_GOOD: Duration = Duration::from_hours(1);
/// How long a failure is remembered: those who waited for it do not each ask again.
const FAILURE: Duration = Duration::from_secs(1);
/// How long one look-up may take. Below the usual connect limit, so that the last good answer can still be dialled.
const LOOKUP_LIMIT: Duration = Duration::from_secs(4);
/// Names that are remembered. Links in documents name few hosts; a hostile document may name many.
const NAMES: usize = 1024;

/// Asks the name service, without any cache of its own that matters.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of a name, IPv4 before IPv6.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Answer, LookupError>>;
}

/// What the name service said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// At least one.
    pub addresses: Vec<IpAddr>,
    /// How long they may be kept.
    pub lifetime: Duration,
}

/// The name has no address, or nobody answers.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct LookupError(pub String);

/// The process's name cache.
pub struct Resolver {
    lookup: Box<dyn Lookup>,
    names: Mutex<HashMap<String, Arc<Slot>>>,
}

/// One name. The lock is held while the name is asked for, so that one question serves all who wait.
type Slot = tokio::sync::Mutex<Known>;

#[derive(Default)]
struct Known {
    good: Option<Good>,
    failure: Option<(LookupError, Instant)>,
}

struct Good {
    addresses: Arc<[IpAddr]>,
    obtained: Instant,
    lifetime: Duration,
}

impl Known {
    /// What may be used without asking.
    fn remembered(&self, now: Instant) -> Option<Result<Arc<[IpAddr]>, LookupError>> {
        if let Some(good) = &self.good
            && now < good.obtained + good.lifetime
        {
            return Some(Ok(Arc::clone(&good.addresses)));
        }
        let (error, until) = self.failure.as_ref()?;
        (now < *until).then(|| self.last_good(now).ok_or_else(|| error.clone()))
    }

    fn last_good(&self, now: Instant) -> Option<Arc<[IpAddr]>> {
        let good = self.good.as_ref()?;
        (now < good.obtained + LAST_GOOD).then(|| Arc::clone(&good.addresses))
    }
}

impl Resolver {
    /// A cache over the name service that this machine is configured to use; `/etc/hosts` is honoured.
    pub fn system() -> Self {
        Self::over(SystemLookup::default())
    }

    /// A cache over anything that looks names up.
    pub fn over(lookup: impl Lookup) -> Self {
        Self { lookup: Box::new(lookup), names: Mutex::default() }
    }

    /// The addresses of a name, unscreened.
    pub async fn resolve(&self, name: &str) -> Result<Arc<[IpAddr]>, LookupError> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let slot = self.slot(&name);
        let mut known = slot.lock().await;
        if let Some(remembered) = known.remembered(Instant::now()) {
            return remembered;
        }
        let asked = tokio::time::timeout(LOOKUP_LIMIT, self.lookup.lookup(&name)).await;
        let now = Instant::now();
        let failure = match asked {
            Ok(Ok(answer)) if !answer.addresses.is_empty() => {
                let addresses: Arc<[IpAddr]> = answer.addresses.into();
                let lifetime = answer.lifetime.clamp(SHORTEST, LONGEST);
                known.good = Some(Good { addresses: Arc::clone(&addresses), obtained: now, lifetime });
                known.failure = None;
                return Ok(addresses);
            }
            Ok(Ok(_)) => LookupError(format!("{name} has no address")),
            Ok(Err(failure)) => failure,
            Err(_) => LookupError(format!("the name service did not answer for {name}")),
        };
        known.failure = Some((failure.clone(), now + FAILURE));
        let Some(addresses) = known.last_good(now) else { return Err(failure) };
        tracing::debug!(upstream.host = name, %failure, "using the last good address");
        Ok(addresses)
    }

    fn slot(&self, name: &str) -> Arc<Slot> {
        let mut names = self.names.lock();
        if names.len() >= NAMES && !names.contains_key(name) {
            // A slot that somebody waits for stays, and so does the lock that makes them one.
            names.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(names.entry(name.to_owned()).or_default())
    }
}

/// The resolver of one connection pool: with a filter for pools that dial what nobody configured.
pub(super) struct Screened {
    pub(super) resolver: Arc<Resolver>,
    pub(super) filter: Option<AddressFilter>,
}

impl Resolve for Screened {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, filter) = (Arc::clone(&self.resolver), self.filter.clone());
        Box::pin(async move {
            let addresses = resolver.resolve(name.as_str()).await?;
            if let Some(filter) = filter {
                filter.check_all(addresses.iter())?;
            }
            let dialled: Vec<SocketAddr> = addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(Box::new(dialled.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Refused;
    use super::*;

    /// Answers from a list, one a question; the last one for ever.
    struct Script(Mutex<Vec<Result<Answer, LookupError>>>, Arc<Mutex<usize>>);

    impl Lookup for Script {
        fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Answer, LookupError>> {
            *self.1.lock() += 1;
            let mut script = self.0.lock();
            let answer = if script.len() > 1 { script.remove(0) } else { script[0].clone() };
            Box::pin(async move {
                tokio::task::yield_now().await;
                answer
            })
        }
    }

    fn answer(addresses: &[&str], seconds: u64) -> Answer {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Answer { addresses, lifetime: Duration::from_secs(seconds) }
    }

    fn scripted(script: Vec<Result<Answer, LookupError>>) -> (Arc<Resolver>, Arc<Mutex<usize>>) {
        let asked = Arc::new(Mutex::new(0));
        (Arc::new(Resolver::over(Script(Mutex::new(script), Arc::clone(&asked)))), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn answers_live_within_bounds_and_one_question_serves_all() {
        for (seconds, lives) in [(0, SHORTEST), (60, Duration::from_mins(1)), (86_400, LONGEST)] {
            let (resolver, asked) = scripted(vec![Ok(answer(&["203.0.113.1"], seconds))]);
            let waiting = (0..20).map(|_| resolver.resolve("Files.registry.example."));
            futures_util::future::join_all(waiting).await.into_iter().for_each(|found| assert!(found.is_ok()));
            tokio::time::advance(lives.saturating_sub(Duration::from_millis(1))).await;
            resolver.resolve("files.registry.example").await.unwrap();
            assert_eq!(*asked.lock(), 1, "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
            resolver.resolve("files.registry.example").await.unwrap();
            assert_eq!(*asked.lock(), 2, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_answer_serves_for_an_hour() {
        let (resolver, asked) = scripted(vec![Ok(answer(&["203.0.113.1"], 60)), Err(LookupError("down".into()))]);
        resolver.resolve("registry.example").await.unwrap();
        tokio::time::advance(Duration::from_mins(59)).await;
        assert_eq!(resolver.resolve("registry.example").await.unwrap()[0].to_string(), "203.0.113.1");
        resolver.resolve("registry.example").await.unwrap();
        assert_eq!(*asked.lock(), 2, "a failure is remembered for a moment");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(resolver.resolve("registry.example").await.unwrap_err().to_string(), "down");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_name_service_is_given_up() {
        struct Silent;
        impl Lookup for Silent {
            fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Answer, LookupError>> {
                Box::pin(std::future::pending())
            }
        }
        let begun = Instant::now();
        assert!(Resolver::over(Silent).resolve("registry.example").await.is_err());
        assert_eq!(begun.elapsed(), LOOKUP_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rebound_name_is_refused_when_it_is_dialled() {
        let rebinding = vec![Ok(answer(&["203.0.113.1"], 5)), Ok(answer(&["203.0.113.1", "127.0.0.1"], 5))];
        let (resolver, _) = scripted(rebinding);
        let screened = Screened { resolver, filter: Some(AddressFilter::default()) };
        let dial = || screened.resolve("registry.example".parse().unwrap());
        assert_eq!(dial().await.unwrap().count(), 1);
        tokio::time::advance(Duration::from_secs(5)).await;
        let error = dial().await.err().unwrap();
        assert_eq!(error.downcast_ref::<Refused>().unwrap().range, "loopback");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hostile_document_cannot_fill_memory_with_names() {
        let (resolver, _) = scripted(vec![Ok(answer(&["203.0.113.1"], 60))]);
        for index in 0..NAMES * 2 {
            resolver.resolve(&format!("n{index}.registry.example")).await.unwrap();
        }
        assert!(resolver.names.lock().len() <= NAMES);
    }
}
