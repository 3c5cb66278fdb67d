//! What the watches have seen: each object trimmed to what decisions are made of, found by the proxy that it belongs to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;

mod trim;

pub use trim::{Kind, trim};

/// Namespace and name. The namespace of a cluster-wide object is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// Of these.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub fn of(object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        Self::new(text("namespace"), text("name"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return formatter.write_str(&self.name);
        }
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Store {
    kind: Kind,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By the proxy that they belong to, then by name.
    by_proxy: HashMap<Key, BTreeMap<String, Arc<Value>>>,
    /// The proxy of each object.
    proxy_of: HashMap<Key, Key>,
}

impl Inner {
    fn remove(&mut self, key: &Key) -> Option<(Key, Arc<Value>)> {
        let proxy = self.proxy_of.remove(key)?;
        let siblings = self.by_proxy.get_mut(&proxy)?;
        let old = siblings.remove(&key.name)?;
        if siblings.is_empty() {
            self.by_proxy.remove(&proxy);
        }
        Some((proxy, old))
    }
}

impl Store {
    /// An empty one.
    pub fn new(kind: Kind) -> Self {
        Self { kind, inner: RwLock::default() }
    }

    /// The kind of its objects.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// An object of a proxy.
    pub fn get(&self, proxy: &Key, name: &str) -> Option<Arc<Value>> {
        self.inner.read().by_proxy.get(proxy)?.get(name).cloned()
    }

    /// The object of that key where each belongs to itself: proxies and classes.
    pub fn own(&self, key: &Key) -> Option<Arc<Value>> {
        self.get(key, &key.name)
    }

    /// The objects of a proxy, by name.
    pub fn of_proxy(&self, proxy: &Key) -> Vec<Arc<Value>> {
        self.inner.read().by_proxy.get(proxy).map_or_else(Vec::new, |objects| objects.values().cloned().collect())
    }

    /// All objects, in no order.
    pub fn all(&self) -> Vec<Arc<Value>> {
        self.inner.read().by_proxy.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner.read().proxy_of.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes an object as the API has it; the proxies whom the change concerns.
    pub fn apply(&self, object: Value) -> Vec<Key> {
        let object = trim(self.kind, object);
        let key = Key::of(&object);
        let proxy = self.kind.proxy_of(&object);
        let mut inner = self.inner.write();
        let old = inner.remove(&key);
        inner.proxy_of.insert(key.clone(), proxy.clone());
        let object = Arc::new(object);
        inner.by_proxy.entry(proxy.clone()).or_default().insert(key.name, Arc::clone(&object));
        drop(inner);
        match old {
            Some((same, old)) if same == proxy => {
                if self.kind.differs(&old, &object) {
                    vec![proxy]
                } else {
                    Vec::new()
                }
            }
            Some((other, _)) => vec![other, proxy],
            None => vec![proxy],
        }
    }

    /// Forgets an object; the proxy whom that concerns.
    pub fn delete(&self, key: &Key) -> Option<Key> {
        self.inner.write().remove(key).map(|(proxy, _)| proxy)
    }

    /// Forgets what a list of `namespace` (`None`: of all) did not have; the proxies whom that concerns.
    pub fn retain(&self, namespace: Option<&str>, listed: &HashSet<Key>) -> Vec<Key> {
        let mut inner = self.inner.write();
        let in_scope = |key: &&Key| namespace.is_none_or(|namespace| key.namespace == namespace);
        let gone: Vec<Key> =
            inner.proxy_of.keys().filter(in_scope).filter(|key| !listed.contains(key)).cloned().collect();
        gone.iter().filter_map(|key| inner.remove(key).map(|(proxy, _)| proxy)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::ChildKind;

    fn service(name: &str, proxy: &str, port: i32) -> Value {
        json!({
            "metadata": {"namespace": "team", "name": name, "resourceVersion": port.to_string(), "managedFields": [],
                         "labels": {"app.kubernetes.io/instance": proxy}},
            "spec": {"ports": [{"port": port}]}, "status": {"loadBalancer": {"n": port}},
        })
    }

    #[test]
    fn a_change_concerns_the_proxies_that_have_or_had_the_object() {
        let store = Store::new(Kind::Child(ChildKind::Service));
        let (npm, pypi) = (Key::new("team", "npm"), Key::new("team", "pypi"));
        assert_eq!(store.apply(service("npm", "npm", 80)), std::slice::from_ref(&npm));
        let mut same = service("npm", "npm", 80);
        same["metadata"]["resourceVersion"] = json!("999");
        same["status"]["loadBalancer"]["n"] = json!(7);
        assert_eq!(store.apply(same), []);
        assert_eq!(store.apply(service("npm", "npm", 81)), std::slice::from_ref(&npm));
        assert_eq!(store.apply(service("npm", "pypi", 81)), [npm.clone(), pypi.clone()]);
        assert_eq!((store.of_proxy(&npm).len(), store.of_proxy(&pypi).len(), store.len()), (0, 1, 1));
        assert_eq!(store.delete(&Key::new("team", "npm")), Some(pypi));
        assert!(store.is_empty() && store.delete(&npm).is_none());
    }

    #[test]
    fn a_list_forgets_what_is_gone_in_its_scope_only() {
        let store = Store::new(Kind::Child(ChildKind::Service));
        store.apply(service("a", "a", 1));
        store.apply(service("b", "b", 1));
        let mut other = service("c", "c", 1);
        other["metadata"]["namespace"] = json!("other");
        store.apply(other);
        let listed = HashSet::from([Key::new("team", "a")]);
        assert_eq!(store.retain(Some("team"), &listed), [Key::new("team", "b")]);
        assert_eq!(store.len(), 2);
        assert_eq!(store.retain(None, &listed), [Key::new("other", "c")]);
    }
}
