//! A place in a document that may hold a value: how rules look at fields without minding what is missing.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::problem::{self, Problem};

/// A path, and the value there if there is one that is not null.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    value: Option<&'a Value>,
    path: String,
}

impl<'a> Node<'a> {
    /// The document itself.
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value: Some(value), path: String::new() }
    }

    /// A member of this object.
    pub(super) fn get(&self, key: &str) -> Self {
        let value = self.value.and_then(|value| value.get(key)).filter(|value| !value.is_null());
        Self { value, path: problem::member(&self.path, key) }
    }

    /// The items of this list.
    pub(super) fn items(&self) -> Vec<Self> {
        let items = self.value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let node = |(index, value)| Self { value: Some(value), path: problem::item(&self.path, index) };
        items.iter().enumerate().map(node).collect()
    }

    /// The object here.
    pub(super) fn object(&self) -> Option<&'a Map<String, Value>> {
        self.value.and_then(Value::as_object)
    }

    /// The keys of this object that have a value.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.object().into_iter().flatten().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str())
    }

    /// The values of this object.
    pub(super) fn values(&self) -> impl Iterator<Item = Self> {
        self.keys().map(|key| self.get(key))
    }

    /// The values that there are at a place below this one (see [`super::Rule::place`]).
    pub(super) fn find(&self, place: &str) -> Vec<Self> {
        let mut nodes = vec![self.clone()];
        for step in place.split('.').filter(|step| !step.is_empty()) {
            nodes = match step.strip_suffix("[]") {
                Some(list) => nodes.into_iter().flat_map(|node| node.get(list).items()).collect(),
                None => nodes.into_iter().map(|node| node.get(step)).collect(),
            };
        }
        nodes.retain(Self::is_set);
        nodes
    }

    /// Whether there is a value.
    pub(super) fn is_set(&self) -> bool {
        self.value.is_some()
    }

    /// The string here.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.and_then(Value::as_str)
    }

    /// The whole number here.
    pub(super) fn number(&self) -> Option<i64> {
        self.value.and_then(Value::as_i64)
    }

    /// The string here as a value of its own form.
    pub(super) fn parsed<T: FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// Whether `true` stands here.
    pub(super) fn is_true(&self) -> bool {
        self.value.and_then(Value::as_bool).unwrap_or(false)
    }

    /// A mistake at this place.
    pub(super) fn problem(&self, message: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem::invalid(self.path.clone(), message, remedy)
    }
}
