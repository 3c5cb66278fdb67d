//! The Secrets (and trust bundles) that manifests refer to, as one snapshot: name, then key, then bytes.

use std::collections::BTreeMap;
use std::fmt;

/// What `--secrets DIR` and `Secret` documents held when they were last read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, BTreeMap<String, Vec<u8>>>);

impl Secrets {
    /// Adds or replaces one key.
    pub fn insert(&mut self, name: &str, key: &str, value: Vec<u8>) {
        self.0.entry(name.to_owned()).or_default().insert(key.to_owned(), value);
    }

    /// Whether anything of this name exists.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The bytes of one key.
    pub fn get(&self, name: &str, key: &str) -> Option<&[u8]> {
        self.0.get(name)?.get(key).map(Vec::as_slice)
    }

    /// Takes one object, all keys of it, from `other`.
    pub fn adopt(&mut self, name: &str, other: &Self) {
        if let Some(keys) = other.0.get(name) {
            self.0.insert(name.to_owned(), keys.clone());
        }
    }

    /// Adds the objects of `other` whose names do not occur here.
    pub fn complete(&mut self, other: &Self) {
        for (name, keys) in &other.0 {
            self.0.entry(name.clone()).or_insert_with(|| keys.clone());
        }
    }

    /// The part that one manifest needs, to see whether a change concerns it.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| names.contains(&name.as_str()))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        )
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}
