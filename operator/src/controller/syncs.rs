//! Which namespaces have been read whole: only there is it known what exists. One that cannot be read (it is gone, or
//! the operator has no right to it) holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::store::{Key, Kind};

/// How often it is looked how far the watches are.
const TICK: Duration = Duration::from_millis(20);
/// So long the work waits for namespaces: what is being rolled out in one counts in the others.
const GRACE: Duration = Duration::from_secs(5);

/// How far the watches are with their first lists.
#[derive(Debug, Default)]
pub struct Syncs(Mutex<Vec<Sync>>);

#[derive(Debug)]
struct Sync {
    kind: Kind,
    /// `None`: all.
    namespace: Option<String>,
    done: Arc<AtomicBool>,
}

impl Syncs {
    /// Adds a watch to those whose first list is waited for.
    pub fn expect(&self, kind: Kind, namespace: Option<String>, done: Arc<AtomicBool>) {
        self.0.lock().push(Sync { kind, namespace, done });
    }

    /// Whether everything that a look at a proxy or a class reads is there.
    pub fn has(&self, key: &Key) -> bool {
        let concerns = |sync: &&Sync| match (sync.kind, &sync.namespace) {
            (Kind::Class, _) => true,
            (_, None) => !key.namespace.is_empty(),
            (_, Some(namespace)) => *namespace == key.namespace,
        };
        self.0.lock().iter().filter(concerns).all(|sync| sync.done.load(Ordering::Acquire))
    }

    /// The namespaces that were not read yet; one with an empty name stands for all.
    pub fn missing(&self) -> Vec<String> {
        self.namespaces().into_iter().filter(|(_, done)| !done).map(|(namespace, _)| namespace).collect()
    }

    /// Waits until work makes sense: classes and at least one namespace are there.
    pub async fn some(&self) {
        let mut ticks = tokio::time::interval(TICK);
        while !(self.classes() && self.namespaces().into_values().any(|done| done)) {
            ticks.tick().await;
        }
    }

    /// Waits until all is there; for namespaces only a while.
    pub async fn most(&self) {
        let began = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        while !(self.classes() && (self.missing().is_empty() || began.elapsed() >= GRACE)) {
            ticks.tick().await;
        }
    }

    fn classes(&self) -> bool {
        self.0.lock().iter().filter(|sync| sync.kind == Kind::Class).all(|sync| sync.done.load(Ordering::Acquire))
    }

    /// Whether each is read whole.
    fn namespaces(&self) -> BTreeMap<String, bool> {
        let mut namespaces = BTreeMap::new();
        for sync in self.0.lock().iter().filter(|sync| sync.kind != Kind::Class) {
            let done = sync.done.load(Ordering::Acquire);
            *namespaces.entry(sync.namespace.clone().unwrap_or_default()).or_insert(true) &= done;
        }
        namespaces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        syncs: Syncs,
        flags: Vec<Arc<AtomicBool>>,
    }

    fn case(watches: &[(Kind, Option<&str>)]) -> Case {
        let syncs = Syncs::default();
        let expect = |(kind, namespace): &(Kind, Option<&str>)| {
            let flag = Arc::new(AtomicBool::new(false));
            syncs.expect(*kind, namespace.map(ToOwned::to_owned), Arc::clone(&flag));
            flag
        };
        let flags = watches.iter().map(expect).collect();
        Case { syncs, flags }
    }

    fn set(case: &Case, index: usize) {
        case.flags[index].store(true, Ordering::Release);
    }

    async fn ends(future: impl Future<Output = ()>, within: Duration) -> bool {
        tokio::time::timeout(within, future).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_cannot_be_read_holds_up_no_other() {
        let watches = [
            (Kind::Class, None),
            (Kind::Proxy, Some("a")),
            (Kind::Pod, Some("a")),
            (Kind::Proxy, Some("b")),
            (Kind::Pod, Some("b")),
        ];
        let case = case(&watches);
        let (proxy_a, proxy_b, class) = (Key::new("a", "npm"), Key::new("b", "npm"), Key::new("", "default"));
        let second = Duration::from_secs(1);
        set(&case, 1);
        set(&case, 2);
        assert!(!case.syncs.has(&proxy_a) && !case.syncs.has(&class), "classes are not there yet");
        assert!(!ends(case.syncs.some(), GRACE * 2).await && !ends(case.syncs.most(), GRACE * 2).await);
        set(&case, 0);
        set(&case, 3);
        assert!(case.syncs.has(&proxy_a) && case.syncs.has(&class) && !case.syncs.has(&proxy_b));
        assert_eq!(case.syncs.missing(), ["b"]);
        assert!(ends(case.syncs.some(), second).await);
        assert!(!ends(case.syncs.most(), GRACE / 2).await && ends(case.syncs.most(), GRACE + second).await);
        set(&case, 4);
        assert!(case.syncs.has(&proxy_b) && case.syncs.missing().is_empty());
        assert!(ends(case.syncs.most(), second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_watch_of_all_namespaces_and_no_classes() {
        let case = case(&[(Kind::Proxy, None), (Kind::Pod, None)]);
        set(&case, 0);
        assert!(!case.syncs.has(&Key::new("a", "npm")));
        assert_eq!(case.syncs.missing(), [""]);
        assert!(!ends(case.syncs.some(), GRACE).await);
        set(&case, 1);
        assert!(case.syncs.has(&Key::new("a", "npm")) && case.syncs.missing().is_empty());
        assert!(ends(case.syncs.some(), GRACE).await && ends(case.syncs.most(), GRACE).await);
    }
}
