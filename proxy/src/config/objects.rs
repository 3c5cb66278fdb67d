//! `Secret` and `ConfigMap` documents beside the manifests. No message repeats a value.

use std::sync::LazyLock;

use data_encoding::BASE64;
use serde_json::{Value, json};

use crds::{Problem, problem::member, structure};

use crate::secrets::Secrets;

/// The kinds of this room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys in `data` (base64) and `stringData`.
    Secret,
    /// Keys in `data` and `binaryData` (base64).
    ConfigMap,
}

/// Puts the keys of a document into `secrets`; its name if it can be used.
pub(super) fn read(document: &Value, kind: Kind, secrets: &mut Secrets, problems: &mut Vec<Problem>) -> Option<String> {
    let (plain, encoded, schema) = match kind {
        Kind::Secret => ("stringData", "data", &*SECRET),
        Kind::ConfigMap => ("data", "binaryData", &*CONFIG_MAP),
    };
    let mistakes = structure::check(document, schema);
    let usable = mistakes.is_empty();
    problems.extend(mistakes);
    let name = document["metadata"]["name"].as_str()?;
    for (key, text) in document[encoded].as_object().into_iter().flatten() {
        let Some(text) = text.as_str() else { continue };
        // Encoders break lines; kubectl accepts that.
        let text: String = text.split_ascii_whitespace().collect();
        if let Ok(bytes) = BASE64.decode(text.as_bytes()) {
            secrets.insert(name, key, bytes);
        } else {
            let remedy = format!("encode it, or write it as it is under `{plain}`");
            problems.push(Problem::invalid(member(encoded, key), "is not base64", remedy));
        }
    }
    for (key, text) in document[plain].as_object().into_iter().flatten() {
        if let Some(text) = text.as_str() {
            secrets.insert(name, key, text.as_bytes().to_vec());
        }
    }
    usable.then(|| name.to_owned())
}

static SECRET: LazyLock<Value> = LazyLock::new(|| object(&["data", "stringData"]));
static CONFIG_MAP: LazyLock<Value> = LazyLock::new(|| object(&["data", "binaryData"]));

/// The schema of an object of the core API with maps of texts.
fn object(maps: &[&str]) -> Value {
    let text = json!({"type": "string", "title": "text in quotes"});
    let map = json!({"type": "object", "nullable": true, "additionalProperties": text});
    let mut schema = json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {
            "apiVersion": {"type": "string", "enum": ["v1"]},
            "kind": {"type": "string"},
            "type": {"type": "string"},
            "immutable": {"type": "boolean"},
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}},
                "x-kubernetes-preserve-unknown-fields": true,
            },
        },
    });
    for name in maps {
        schema["properties"][*name] = map.clone();
    }
    schema
}
