//! One task for each kind and namespace: lists, watches, fills a store and says whom a change concerns. Each has its
//! own backoff, so that one kind that fails slows no other.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use crate::backoff::Backoff;
use crate::metrics::Metrics;
use crate::object::Object;
use crate::store::{Key, Kind, Store};

/// Which namespaces an operator serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Cluster,
    /// These.
    Namespaces(Vec<String>),
}

impl Scope {
    /// The namespaces of a flag; none means all.
    pub fn of(namespaces: &[String]) -> Self {
        let mut named: Vec<String> =
            namespaces.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        named.sort();
        named.dedup();
        if named.is_empty() { Self::Cluster } else { Self::Namespaces(named) }
    }

    /// What is listed and watched of a kind, one by one.
    pub fn parts(&self, kind: Kind) -> Vec<Option<String>> {
        match self {
            Self::Namespaces(namespaces) if kind != Kind::Class => namespaces.iter().cloned().map(Some).collect(),
            _ => vec![None],
        }
    }
}

/// A client for the objects of a kind, in one namespace or in all.
pub fn api(client: &Client, kind: Kind, namespace: Option<&str>) -> Api<Object> {
    let resource = kind.resource();
    namespace.map_or_else(
        || Api::all_with(client.clone(), &resource),
        |namespace| Api::namespaced_with(client.clone(), namespace, &resource),
    )
}

/// What a watch does with what it learns.
pub trait Sink: Send + Sync + 'static {
    /// A change concerns this proxy (or, of the kind `Class`, this class).
    fn changed(&self, kind: Kind, key: Key);
    /// A watch works again after it had failed.
    fn recovered(&self, kind: Kind);
}

/// One watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None`: all.
    pub namespace: Option<String>,
    /// How long one request lasts.
    pub timeout: Duration,
    /// Set once everything that exists is in the store.
    pub synced: Arc<AtomicBool>,
    /// Moves when everything has to be read again.
    pub epochs: tokio::sync::watch::Receiver<u64>,
}

impl Watch {
    /// Watches until the future is dropped.
    pub async fn run(mut self, client: Client, store: Arc<Store>, metrics: Arc<Metrics>, sink: Arc<dyn Sink>) {
        let api = api(&client, self.kind, self.namespace.as_deref());
        let config = watcher::Config::default().labels(self.kind.selector()).any_semantic();
        let config = config.timeout(u32::try_from(self.timeout.as_secs().clamp(1, 294)).unwrap_or(294)).page_size(250);
        let mut backoff = Backoff::new(Duration::from_millis(800), Duration::from_secs(30));
        let plural = self.kind.resource().plural;
        loop {
            let mut events = pin!(watcher(api.clone(), config.clone()));
            let mut listed = HashSet::new();
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    Ok(()) = self.epochs.changed() => {
                        self.synced.store(false, Ordering::Release);
                        break;
                    }
                };
                match event {
                    None => break,
                    Some(Ok(event)) => {
                        if backoff.reset() {
                            tracing::info!(kind = %plural, "the watch works again");
                            sink.recovered(self.kind);
                        }
                        self.take(event, &mut listed, &store, &*sink);
                    }
                    Some(Err(error)) => {
                        metrics.watch_error(&plural);
                        let wait = backoff.wait();
                        tracing::warn!(kind = %plural, error = %chain(&error), retry_in = ?wait, "a watch failed");
                        tokio::time::sleep(wait).await;
                        // The server forgot where we were: the list has to be read anew.
                        if is_gone(&error) {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// An object with its type, which lists leave out.
    fn whole(&self, object: Object) -> Value {
        let (mut object, resource) = (object.into_value(), self.kind.resource());
        object["apiVersion"] = Value::String(resource.api_version);
        object["kind"] = Value::String(resource.kind);
        object
    }

    fn apply(&self, object: Object, store: &Store, sink: &dyn Sink) {
        for concerned in store.apply(self.whole(object)) {
            sink.changed(self.kind, concerned);
        }
    }

    fn take(&self, event: Event<Object>, listed: &mut HashSet<Key>, store: &Store, sink: &dyn Sink) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.insert(key(&object));
                self.apply(object, store, sink);
            }
            // No list will ask for it.
            Event::Apply(object) => self.apply(object, store, sink),
            Event::InitDone => {
                for concerned in store.retain(self.namespace.as_deref(), listed) {
                    sink.changed(self.kind, concerned);
                }
                listed.clear();
                self.synced.store(true, Ordering::Release);
            }
            Event::Delete(object) => {
                if let Some(concerned) = store.delete(&key(&object)) {
                    sink.changed(self.kind, concerned);
                }
            }
        }
    }
}

fn key(object: &Object) -> Key {
    Key::new(object.namespace().unwrap_or_default(), object.name_any())
}

fn is_gone(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) | watcher::Error::WatchError(status) => {
            status.code == 410
        }
        _ => false,
    }
}

/// An error with its causes, as one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Default)]
    struct Heard(parking_lot::Mutex<Vec<String>>);

    impl Sink for Heard {
        fn changed(&self, _: Kind, key: Key) {
            self.0.lock().push(key.name);
        }

        fn recovered(&self, _: Kind) {}
    }

    fn object(name: &str) -> Object {
        serde_json::from_value(json!({"metadata": {"namespace": "team", "name": name}})).unwrap()
    }

    #[test]
    fn a_list_is_remembered_until_its_end_and_changes_are_not() {
        let synced = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            kind: Kind::Proxy,
            namespace: Some("team".to_owned()),
            timeout: Duration::from_secs(1),
            synced: Arc::clone(&synced),
            epochs: tokio::sync::watch::Sender::new(0).subscribe(),
        };
        let (store, heard, mut listed) = (Store::new(Kind::Proxy), Heard::default(), HashSet::new());
        let mut take = |event| {
            watch.take(event, &mut listed, &store, &heard);
            (listed.len(), std::mem::take(&mut *heard.0.lock()))
        };
        assert_eq!(take(Event::Init), (0, vec![]));
        assert_eq!(take(Event::InitApply(object("a"))), (1, vec!["a".to_owned()]));
        assert!(!synced.load(Ordering::Acquire));
        assert_eq!(take(Event::InitDone), (0, vec![]));
        assert!(synced.load(Ordering::Acquire));
        assert_eq!(take(Event::Apply(object("b"))), (0, vec!["b".to_owned()]));
        assert_eq!(take(Event::Delete(object("b"))), (0, vec!["b".to_owned()]));
        // A new list without "a".
        assert_eq!(take(Event::Init), (0, vec![]));
        assert_eq!(take(Event::InitApply(object("c"))), (1, vec!["c".to_owned()]));
        assert_eq!(take(Event::InitDone), (0, vec!["a".to_owned()]));
    }
}
