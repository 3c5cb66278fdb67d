//! What the steps share: stores, clients, and what is remembered of each proxy between two looks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crds::PackageProxyStatus;
use crds::class::PackageProxyClassSpec;
use kube::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::contest::Contests;
use super::plan::{Plan, Site};
use crate::args::RunArguments;
use crate::backoff::Backoff;
use crate::definitions::Definitions;
use crate::events::Events;
use crate::kinds::ChildKind;
use crate::metrics::Metrics;
use crate::poll::Poll;
use crate::rollouts::Rollouts;
use crate::scopes::Scopes;
use crate::store::{Key, Kind, Store};

/// The waits after failures of one proxy.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What the steps share.
pub struct Context {
    pub(super) client: Client,
    pub(super) site: Site,
    pub(super) built_in: Arc<PackageProxyClassSpec>,
    pub(super) poll: Poll,
    pub(super) contests: Contests,
    pub(super) rollouts: Rollouts,
    pub(super) events: Events,
    pub(super) definitions: Arc<Definitions>,
    pub(super) scopes: Arc<Scopes>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) resync: Duration,
    stores: BTreeMap<Kind, Arc<Store>>,
    memory: Mutex<HashMap<Key, Memory>>,
}

/// What is remembered of one proxy.
#[derive(Debug)]
pub(super) struct Memory {
    backoff: Backoff,
    /// The status that was written last: the watch may not have brought it yet.
    pub(super) written: Option<Written>,
    /// The uids of its children, as they were seen last.
    pub(super) children: HashSet<String>,
    /// That the API server takes no status of the object.
    pub(super) unwritable: Option<Unwritable>,
    /// When numbers of the cache were written last.
    pub(super) cache_written: Option<Instant>,
    /// What was resolved last.
    pub(super) resolved: Option<Resolved>,
    /// The object that was looked at last.
    seen: Option<Arc<Value>>,
}

/// A status that the API server refused.
#[derive(Clone, Debug)]
pub(super) struct Unwritable {
    /// `metadata.uid` of the object.
    pub(super) uid: String,
    /// Its generation.
    pub(super) generation: Option<i64>,
    /// The words of the API server.
    pub(super) message: String,
    /// When.
    pub(super) at: Instant,
}

/// A plan, and what it follows from.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) spec: Value,
    pub(super) class: Arc<PackageProxyClassSpec>,
    pub(super) owner_label: Option<String>,
    pub(super) plan: Plan,
}

impl Resolved {
    /// Whether the same would come of these.
    pub(super) fn is_of(&self, proxy: &Value, class: &Arc<PackageProxyClassSpec>, owner_label: Option<&str>) -> bool {
        let metadata = &proxy["metadata"];
        metadata["uid"] == self.plan.uid.as_str()
            && metadata["generation"].as_i64() == self.plan.settings.generation
            && self.owner_label.as_deref() == owner_label
            && (Arc::ptr_eq(&self.class, class) || self.class == *class)
            && proxy["spec"] == self.spec
    }
}

/// A status that was written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// `metadata.uid` of the object.
    pub(super) uid: String,
    /// The status.
    pub(super) status: PackageProxyStatus,
    /// What the API server made of it: an older definition drops fields.
    pub(super) kept: PackageProxyStatus,
    /// When.
    pub(super) at: Instant,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            written: None,
            children: HashSet::new(),
            unwritable: None,
            cache_written: None,
            resolved: None,
            seen: None,
        }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Context").field("site", &self.site).finish_non_exhaustive()
    }
}

impl Context {
    /// With nothing in its stores.
    pub fn new(
        client: Client,
        arguments: &RunArguments,
        built_in: PackageProxyClassSpec,
        (definitions, scopes): (Arc<Definitions>, Arc<Scopes>),
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut kinds: Vec<Kind> = ChildKind::ALL.into_iter().map(Kind::Child).collect();
        kinds.extend([Kind::Proxy, Kind::Pod]);
        if arguments.classes {
            kinds.push(Kind::Class);
        }
        let stores: BTreeMap<Kind, Arc<Store>> =
            kinds.into_iter().map(|kind| (kind, Arc::new(Store::new(kind)))).collect();
        let pods = stores.get(&Kind::Pod).map_or_else(|| Arc::new(Store::new(Kind::Pod)), Arc::clone);
        let instance = arguments.election.identity.clone().unwrap_or_else(|| "packageproxy-operator".to_owned());
        Self {
            site: Site::from(&arguments.site),
            built_in: Arc::new(built_in),
            poll: Poll::new(arguments.poll_interval.0, pods, Arc::clone(&metrics)),
            contests: Contests::default(),
            rollouts: Rollouts::new(arguments.max_concurrent_rollouts.get()),
            events: Events::new(client.clone(), instance),
            client,
            definitions,
            scopes,
            metrics,
            resync: arguments.resync.0,
            stores,
            memory: Mutex::default(),
        }
    }

    /// The kinds that are watched.
    pub fn kinds(&self) -> Vec<Kind> {
        self.stores.keys().copied().collect()
    }

    /// The store of a kind; an empty one for a kind that is not watched.
    pub fn store(&self, kind: Kind) -> Arc<Store> {
        self.stores.get(&kind).map_or_else(|| Arc::new(Store::new(kind)), Arc::clone)
    }

    /// The store of classes, unless they are switched off.
    pub(super) fn classes(&self) -> Option<&Store> {
        self.stores.get(&Kind::Class).map(AsRef::as_ref)
    }

    /// Whether there is a proxy of this key.
    pub(super) fn exists(&self, key: &Key) -> bool {
        self.stores.get(&Kind::Proxy).is_some_and(|store| store.own(key).is_some())
    }

    /// The proxies that name a class, or none and so may take it.
    pub(super) fn users_of(&self, class: &str) -> Vec<Key> {
        let proxies = self.store(Kind::Proxy).all();
        let may_use = |proxy: &Value| proxy["spec"]["className"].as_str().is_none_or(|name| name == class);
        proxies.iter().filter(|proxy| may_use(proxy)).map(|proxy| Key::of(proxy)).collect()
    }

    /// Whether a proxy says something else than when it was looked at last although nobody wrote it: the definition is
    /// another one, and drops or adds fields.
    pub(super) fn is_reread_otherwise(&self, key: &Key) -> bool {
        let Some(proxy) = self.stores.get(&Kind::Proxy).and_then(|store| store.own(key)) else { return false };
        let seen = self.with_memory(key, |memory| memory.seen.replace(Arc::clone(&proxy)));
        let same = |one: &Value, other: &Value| {
            ["uid", "generation"].iter().all(|member| one["metadata"][*member] == other["metadata"][*member])
        };
        seen.is_some_and(|seen| same(&seen, &proxy) && seen["spec"] != proxy["spec"])
    }

    /// What is remembered of a proxy, to read or to change.
    pub(super) fn with_memory<T>(&self, key: &Key, use_it: impl FnOnce(&mut Memory) -> T) -> T {
        use_it(self.memory.lock().entry(key.clone()).or_default())
    }

    /// Forgets a proxy that is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.memory.lock().remove(key);
        self.contests.forget(key);
        self.poll.hurry(key, false);
    }

    /// Notes a success.
    pub(super) fn succeeded(&self, key: &Key) {
        if let Some(memory) = self.memory.lock().get_mut(key) {
            memory.backoff.reset();
        }
    }

    /// Notes a failure; how long to wait.
    pub(super) fn failed(&self, key: &Key) -> Duration {
        self.with_memory(key, |memory| memory.backoff.wait())
    }

    /// How often in a row looking at a proxy failed.
    pub(super) fn failures(&self, key: &Key) -> u32 {
        self.memory.lock().get(key).map_or(0, |memory| memory.backoff.failures())
    }

    /// The proxies that failed last, each as if it had not.
    pub(super) fn take_failing(&self) -> Vec<Key> {
        let mut memory = self.memory.lock();
        memory.iter_mut().filter_map(|(key, memory)| memory.backoff.reset().then(|| key.clone())).collect()
    }
}
