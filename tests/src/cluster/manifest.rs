//! A `PackageProxy` of a test.

use serde_json::{Value, json};

/// The manifest of one proxy, which is changed and then applied.
#[derive(Clone, Debug)]
pub struct Proxy(pub Value);

impl Proxy {
    /// A proxy of npm without pods: the least that the operator has everything to do for.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(json!({
            "apiVersion": crds::API_VERSION, "kind": crds::KIND,
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"ecosystem": "npm", "upstream": {"url": "https://registry.example/npm/"}, "replicas": 0},
        }))
    }

    /// Sets a field of `spec` by its JSON pointer, making the objects on the way.
    #[must_use]
    pub fn spec(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.0["spec"];
        for word in pointer.trim_start_matches('/').split('/') {
            place = &mut place[word];
        }
        *place = value.into();
        self
    }

    /// Keeps the cache in a claim.
    #[must_use]
    pub fn claim(self, claim: &Value) -> Self {
        let storage = json!({"type": "PersistentVolumeClaim", "persistentVolumeClaim": claim});
        self.spec("/cache/storage", storage)
    }
}
