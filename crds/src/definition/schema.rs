//! From the schema that documents are held against to the one of a `CustomResourceDefinition`.

use serde_json::{Value, json};

/// The schema of a kind: the document's, with the status that the operator writes. `metadata` is the API server's own.
pub(super) fn of_kind(document: &Value, status: Value) -> Value {
    let mut schema = document.clone();
    schema["properties"]["status"] = status;
    clean(&mut schema);
    schema["properties"]["metadata"] = json!({"type": "object"});
    schema["required"] = json!(["spec"]);
    schema
}

/// Leaves out what an API server does not know, and what is written for the messages of the programs here.
fn clean(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    members.remove("title");
    members.remove("propertyNames");
    if let Some(Value::String(description)) = members.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    if members.get("format").is_some_and(|format| !["int32", "int64", "date-time"].iter().any(|known| format == known))
    {
        members.remove("format");
    }
    for property in members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        clean(property.1);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(inner) {
            clean(inner);
        }
    }
}
