//! The classes that stand among the manifests, so that a manifest means here what it will mean in the cluster.

use crds::{PackageProxyClass, Reading};
use serde_json::Value;

/// The classes of all files.
#[derive(Debug, Default)]
pub(super) struct Classes(Vec<PackageProxyClass>);

impl Classes {
    /// Takes note of a class.
    pub(super) fn add(&mut self, class: Option<PackageProxyClass>) {
        self.0.extend(class);
    }

    /// Reads a manifest with its class, if that is in the files. Which owners a namespace has, only a cluster knows.
    pub(super) fn read(&self, document: &Value) -> Reading {
        let owner = document["spec"]["owner"].as_str();
        match self.of(document) {
            Some(class) => crds::class::read_proxy(document, &class.spec, owner),
            None => crds::read(document),
        }
    }

    /// The class that a manifest names; without a name, of those that are marked as default the first by name.
    fn of(&self, document: &Value) -> Option<&PackageProxyClass> {
        match document["spec"]["className"].as_str() {
            Some(name) => self.0.iter().find(|class| class.metadata.name == name),
            None => self.0.iter().filter(|class| class.is_default()).min_by_key(|class| &class.metadata.name),
        }
    }
}
