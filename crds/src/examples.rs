//! Good and bad documents and what becomes of them, as data: the tests of this crate hold the programs' reading to it,
//! and a test against a real API server holds the definitions to it.

#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tables, which read better without references"
)]

mod base;
mod cache;
mod change;
mod class;
mod proxy;
mod upstream;

use serde_json::{Value, json};

use crate::{API_VERSION, CLASS_KIND, KIND};

/// A document and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What it is about.
    pub name: &'static str,
    /// The document before a change; nothing where the document is new.
    pub before: Option<Value>,
    /// The document.
    pub document: Value,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good.
    Admitted,
    /// It does not have the form of the schema. The API server blames the same field in words of its own.
    RefusedBySchema {
        /// The field that is to blame.
        field: &'static str,
        /// A piece of the message.
        message: &'static str,
    },
    /// A rule is broken: the API server says the same of the same field. It cannot name members of `metadata` and
    /// blames the document instead.
    RefusedByRule {
        /// The field that is to blame.
        field: &'static str,
        /// The message.
        message: &'static str,
    },
    /// The API server takes it, since a class may supply what is missing; without one the operator does not accept it.
    NotAccepted {
        /// The field that is to blame.
        field: &'static str,
        /// A piece of the message.
        message: &'static str,
    },
}

/// Every example.
pub fn examples() -> Vec<Example> {
    [
        proxy::examples(),
        upstream::examples(),
        base::examples(),
        cache::examples(),
        class::examples(),
        change::examples(),
    ]
    .concat()
}

/// A proxy for npm whose `spec` has these members besides ecosystem and address.
fn proxy(spec: Value) -> Value {
    let mut document = json!({
        "apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "npm", "namespace": "default"},
        "spec": {"ecosystem": "npm", "upstream": {"url": "https://registry.example/npm/"}},
    });
    fill(&mut document["spec"], spec);
    document
}

/// A class with this `spec`.
fn class(spec: Value) -> Value {
    let mut document = json!({"apiVersion": API_VERSION, "kind": CLASS_KIND, "metadata": {"name": "standard"}});
    document["spec"] = spec;
    document
}

/// Puts members into an object, and takes out those that are null.
fn fill(object: &mut Value, members: Value) {
    if let (Value::Object(object), Value::Object(members)) = (object, members) {
        object.extend(members);
        object.retain(|_, value| !value.is_null());
    }
}

fn admitted(name: &'static str, document: Value) -> Example {
    Example { name, before: None, document, verdict: Verdict::Admitted }
}

fn schema(name: &'static str, document: Value, field: &'static str, message: &'static str) -> Example {
    Example { name, before: None, document, verdict: Verdict::RefusedBySchema { field, message } }
}

fn rule(name: &'static str, document: Value, field: &'static str, message: &'static str) -> Example {
    Example { name, before: None, document, verdict: Verdict::RefusedByRule { field, message } }
}

#[cfg(test)]
mod tests;
