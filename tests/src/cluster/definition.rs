//! The installed definitions, changed for a while.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::time::Instant;

use super::{Cluster, Scene};

/// A definition of one of our kinds that is not the one of this version. Dropping it brings that one back.
#[derive(Debug)]
pub struct Definition {
    document: Value,
    cluster: Option<&'static Cluster>,
}

/// What the changed ones are described with.
const MARK: &str = "changed by a test";
/// How long an API server may take until a definition is in force.
const IN_FORCE: Duration = Duration::from_mins(2);

impl Definition {
    /// The definition of this version after a change of its schema.
    ///
    /// # Panics
    /// If there is no such kind.
    pub fn changed(kind: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut document = checked_in(kind);
        let schema = document.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").expect("a schema");
        schema["description"] = json!(MARK);
        change(schema);
        Self { document, cluster: None }
    }

    /// The definition of this version, to be brought back whatever else is done to it.
    pub fn kept(kind: &str, scene: &Scene) -> Self {
        Self { document: checked_in(kind), cluster: Some(scene.cluster()) }
    }

    /// Installs it, and waits until it is in force.
    pub fn install(&mut self, scene: &Scene) {
        self.cluster = Some(scene.cluster());
        replace(scene.cluster(), &self.document, true);
    }
}

impl Drop for Definition {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster {
            let kind = self.document["spec"]["names"]["kind"].as_str().unwrap_or_default();
            replace(cluster, &checked_in(kind), false);
        }
    }
}

fn checked_in(kind: &str) -> Value {
    if kind == crds::KIND { crds::definition::package_proxy() } else { crds::definition::package_proxy_class() }
}

fn replace(cluster: &Cluster, document: &Value, is_changed: bool) {
    let file = NamedTempFile::with_suffix(".json").expect("a temporary file");
    std::fs::write(file.path(), document.to_string()).expect("a writable file");
    cluster.kubectl(&["replace", "-f", &file.path().display().to_string()]);
    let kind = document["spec"]["names"]["kind"].as_str().expect("a kind");
    let started = Instant::now();
    while describes(cluster, kind) != is_changed {
        assert!(started.elapsed() < IN_FORCE, "the definition of {kind} is not in force");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether the API server says that the definition of a kind is a changed one.
fn describes(cluster: &Cluster, kind: &str) -> bool {
    let path = format!("/openapi/v3/apis/{}", crds::API_VERSION);
    let Ok(text) = cluster.run("kubectl", &["get", "--raw", &path]) else { return false };
    let description: Value = serde_json::from_str(&text).expect("JSON");
    let schemas = description["components"]["schemas"].as_object().expect("schemas");
    let of_kind = schemas.iter().find(|(name, _)| name.ends_with(&format!(".{kind}")));
    of_kind.is_some_and(|(_, schema)| schema["description"] == MARK)
}
