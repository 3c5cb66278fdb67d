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

    /// These, and from `older` what is missing here: a Secret that is deleted by mistake stops nothing.
    #[must_use]
    pub fn or(&self, older: &Self) -> Self {
        let mut all = older.clone();
        for (name, keys) in &self.0 {
            all.0.entry(name.clone()).or_default().extend(keys.clone());
        }
        all
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
