//! The proxies that a process serves: which of them a path means, and what belongs to each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crds::Settings;
use http::HeaderMap;
use http::header::HOST;
use parking_lot::Mutex;

use crate::cache::Cache;
use crate::ecosystem::{self, Ecosystem};
use crate::links::{self, Bases, Chosen};
use crate::secrets::Secrets;

mod registries;

/// Longest Host that is remembered.
const LONGEST_HOST: usize = 255;

/// One proxy.
pub struct Site {
    /// Its settings.
    pub settings: Arc<Settings>,
    /// Its protocol.
    pub protocol: &'static dyn Ecosystem,
    /// Its cache.
    pub cache: Arc<Cache>,
    /// The secrets that it uses: those that there are, and for those that are gone the last known ones.
    pub secrets: Secrets,
    /// The secrets that there are; compared to see whether a reload concerns it.
    pub present: Secrets,
    /// What was asked of it since the process started.
    pub traffic: Arc<Traffic>,
    bases: Bases,
    unlisted: Mutex<Unlisted>,
}

/// Requests whose Host is no address of a proxy, since its settings changed.
#[derive(Clone, Debug, Default)]
pub struct Unlisted {
    /// How many.
    pub requests: u64,
    /// The last such Host, if it could be one.
    pub last: Option<String>,
}

/// Counts of one proxy. They outlive its settings.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    hits: AtomicU64,
}

impl Traffic {
    /// Counts a request, and whether it was answered from the store.
    pub fn count(&self, hit: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.hits.fetch_add(u64::from(hit), Ordering::Relaxed);
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Those that were answered from the store, fresh or stale.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Site").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

impl Site {
    /// A proxy whose links begin with one of `bases`.
    pub fn new(cache: Arc<Cache>, secrets: Secrets, present: Secrets, bases: Bases) -> Self {
        let settings = Arc::clone(cache.settings());
        let protocol = ecosystem::of(settings.ecosystem);
        Self { protocol, settings, cache, secrets, present, traffic: Arc::default(), bases, unlisted: Mutex::default() }
    }

    /// The same proxy after a change: it goes on counting.
    #[must_use]
    pub fn continuing(self, before: Option<&Self>) -> Self {
        Self { traffic: before.map_or_else(Arc::default, |before| Arc::clone(&before.traffic)), ..self }
    }

    /// The base of links for the client that sent these headers from this address, with its final slash.
    pub fn base(&self, headers: &HeaderMap, client: IpAddr) -> Chosen {
        let chosen = self.bases.choose(headers, client);
        if !chosen.listed {
            self.cache.engine().metrics.unlisted_hosts.get_or_create(&self.cache.ecosystem_label()).inc();
            let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let last = Some(host).filter(|host| host.len() <= LONGEST_HOST).and_then(links::understood);
            let mut unlisted = self.unlisted.lock();
            *unlisted = Unlisted { requests: unlisted.requests + 1, last };
        }
        chosen
    }

    /// What clients sent as Host that is on no list.
    pub fn unlisted(&self) -> Unlisted {
        self.unlisted.lock().clone()
    }

    /// The base for links in general, with its final slash.
    pub fn first_base(&self) -> String {
        self.bases.first()
    }
}

/// A proxy and what is asked of it.
#[derive(Debug)]
pub struct Routed<'a> {
    /// The proxy.
    pub site: Arc<Site>,
    /// The raw path below it, without a leading slash.
    pub path: Cow<'a, str>,
    /// The registry that the client named beside the path.
    pub namespace: Option<String>,
}

/// A request that means no proxy.
pub struct Unrouted {
    /// Why.
    pub reason: String,
    /// Whose clients sent it, if that is clear.
    pub protocol: Option<&'static dyn Ecosystem>,
}

/// All proxies of a process.
#[derive(Debug, Default)]
pub struct Sites {
    by_name: BTreeMap<String, Arc<Site>>,
    at_root: bool,
}

impl Sites {
    /// `at_root`: the one proxy lies at `/` instead of at `/name/`.
    pub fn new(sites: Vec<Arc<Site>>, at_root: bool) -> Self {
        Self { by_name: sites.into_iter().map(|site| (site.settings.name.clone(), site)).collect(), at_root }
    }

    /// The proxy that a raw path and query mean.
    pub fn route<'a>(&self, path: &'a str, query: Option<&str>) -> Result<Routed<'a>, Unrouted> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let routed =
            |site: &Arc<Site>, path: &'a str| Ok(Routed { site: Arc::clone(site), path: path.into(), namespace: None });
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        let at_root = self.by_name.values().next().filter(|_| self.at_root);
        match at_root {
            _ if name == registries::VERSION && self.registries().next().is_some() => self.registry(rest, query),
            Some(site) => routed(site, path),
            None => match self.by_name.get(name) {
                Some(site) => routed(site, rest),
                None => Err(Unrouted {
                    reason: format!("no proxy is served here; there are: {}", self.names()),
                    protocol: None,
                }),
            },
        }
    }

    /// The proxy of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<Site>> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.by_name.values()
    }

    /// Their paths, for people.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.by_name.keys().map(|name| format!("/{name}/")).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}
