//! The schema of a manifest, generated from the types: a structural schema as Kubernetes defines it, without defaults.

use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::Value;

use crate::{PackageProxy, PackageProxyClass};

/// The schema of a whole `PackageProxy` document.
pub fn package_proxy() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(of::<PackageProxy>);
    &SCHEMA
}

/// The schema of a whole `PackageProxyClass` document.
pub fn package_proxy_class() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(of::<PackageProxyClass>);
    &SCHEMA
}

/// The schema of a type with everything inlined, since a structural schema knows no references.
pub fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    schema
}

/// No value is ever null: a member that is null counts as absent, as with an API server, which drops it.
fn without_null(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    members.remove("nullable");
    if let Some(Value::Array(words)) = members.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    for property in members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        without_null(property.1);
    }
    for inner in ["items", "additionalProperties"] {
        members.get_mut(inner).into_iter().for_each(without_null);
    }
}

/// Makes the schema of an enum of unit variants a plain list of strings: documented variants would be a `oneOf`,
/// which a structural schema refuses.
pub(crate) fn plain_enum(schema: &mut Schema) {
    let Some(Value::Array(variants)) = schema.remove("oneOf") else { return };
    let values = variants.iter().flat_map(|variant| match (variant.get("const"), variant.get("enum")) {
        (Some(value), _) => vec![value.clone()],
        (None, Some(Value::Array(values))) => values.clone(),
        _ => Vec::new(),
    });
    let values = values.collect();
    schema.insert("enum".to_owned(), Value::Array(values));
    schema.insert("type".to_owned(), "string".into());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `visit` for each schema in a schema.
    fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
        visit(path, schema);
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            walk(member, &crate::problem::member(path, name), visit);
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(inner).filter(|inner| inner.is_object()) {
                walk(inner, path, visit);
            }
        }
    }

    #[test]
    fn the_schema_is_structural_bounded_and_without_defaults() {
        let mut fields = 0;
        walk(package_proxy(), "", &mut |path, schema| {
            fields += 1;
            let keys: Vec<&str> = schema.as_object().unwrap().keys().map(String::as_str).collect();
            for key in &keys {
                let known = [
                    "type",
                    "title",
                    "description",
                    "properties",
                    "required",
                    "enum",
                    "items",
                    "pattern",
                    "minLength",
                    "maxLength",
                    "maxItems",
                    "maxProperties",
                    "minimum",
                    "maximum",
                    "format",
                    "additionalProperties",
                    "x-kubernetes-preserve-unknown-fields",
                ];
                assert!(known.contains(key), "{path}: {key}");
            }
            assert!(schema["type"].is_string(), "{path} has no single type");
            if path.starts_with("spec") {
                match schema["type"].as_str().unwrap() {
                    "string" => assert!(keys.contains(&"maxLength") || keys.contains(&"enum"), "{path}"),
                    "array" => assert!(keys.contains(&"maxItems"), "{path}"),
                    "integer" => assert!(keys.contains(&"minimum") && keys.contains(&"maximum"), "{path}"),
                    _ => {}
                }
            }
        });
        assert!(fields > 60, "{fields} fields");
    }
}
