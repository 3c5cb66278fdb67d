//! Fills a manifest with what its class says.

use serde_json::{Map, Value};

use super::PackageProxyClassSpec;
use crate::Ecosystem;

/// Members that are taken whole: unions, of which two halves would make no sense, and the selector, whose empty form
/// means everything.
const WHOLE: [&str; 4] = ["storage", "auth", "trust", "namespaceSelector"];

/// Members of `upstream` that proxies of one ecosystem alone may have.
const OF_ONE: [(&str, Ecosystem); 2] = [("namespace", Ecosystem::Container), ("checksumDatabase", Ecosystem::Go)];

/// The document as if its author had written the class's defaults, as far as its ecosystem has them. What the document
/// says stays; a null counts as absent. Objects merge field by field; lists, unions (`storage`, `auth`, `trust`) and
/// selectors are taken whole.
pub fn merge(document: &Value, class: &PackageProxyClassSpec) -> Value {
    let mut merged = document.clone();
    let Some(spec) = merged.get_mut("spec").and_then(Value::as_object_mut) else { return merged };
    let ecosystem = spec.get("ecosystem").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(Value::Object(mut defaults)) =
        class.defaults.as_ref().and_then(|defaults| serde_json::to_value(defaults).ok())
    {
        if let Some(upstream) = defaults.get_mut("upstream").and_then(Value::as_object_mut) {
            upstream.retain(|name, _| OF_ONE.iter().all(|(field, only)| name != field || only.name() == ecosystem));
        }
        fill(spec, &defaults);
    }
    let registry = class.upstreams.iter().find(|(known, _)| known.name() == ecosystem).map(|(_, url)| url.to_string());
    if let Some(registry) = registry {
        let upstream = spec.entry("upstream").or_insert_with(|| Value::Object(Map::new()));
        if upstream.is_null() {
            *upstream = Value::Object(Map::new());
        }
        if let Some(upstream) = upstream.as_object_mut()
            && upstream.get("url").is_none_or(Value::is_null)
        {
            upstream.insert("url".to_owned(), Value::String(registry));
        }
    }
    merged
}

fn fill(given: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    for (name, default) in defaults {
        match given.get_mut(name) {
            None | Some(Value::Null) => {
                given.insert(name.clone(), default.clone());
            }
            Some(Value::Object(given)) if !WHOLE.contains(&name.as_str()) => {
                if let Value::Object(default) = default {
                    fill(given, default);
                }
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
