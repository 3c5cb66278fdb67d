//! A place in a document that may hold a value: how rules look at fields without minding what is missing.

use std::str::FromStr;

use serde_json::Value;

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

    /// Whether there is a value.
    pub(super) fn is_set(&self) -> bool {
        self.value.is_some()
    }

    /// The string here.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.and_then(Value::as_str)
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

    /// The last name of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    /// Reports a duration or size outside its bounds. A text of another form is the schema's business.
    pub(super) fn within<T: FromStr + PartialOrd>(&self, least: &str, most: &str, problems: &mut Vec<Problem>) {
        let bound = |text: &str| text.parse::<T>().ok();
        let (Some(value), Some(low), Some(high)) = (self.parsed::<T>(), bound(least), bound(most)) else { return };
        if value < low || value > high {
            let message = format!("`{}` must be between '{least}' and '{most}'", self.name());
            problems.push(self.problem(message, format!("write a value from {least} to {most}")));
        }
    }
}
