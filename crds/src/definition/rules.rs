//! Puts each rule where it belongs in a schema.

use serde_json::{Value, json};

use crate::rules::Rule;

/// Adds the rules to the schemas of their places. That each place exists is tested.
pub(super) fn insert(schema: &mut Value, rules: &[Rule]) {
    for rule in rules {
        let mut validation = json!({"rule": rule.cel, "message": rule.message});
        // An API server knows no members of `metadata`.
        if !rule.field.is_empty() && !rule.field.starts_with("metadata") {
            validation["fieldPath"] = json!(format!(".{}", rule.field));
        }
        if let Some(Value::Object(place)) = find(schema, &rule.place) {
            let validations = place.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
            if let Some(validations) = validations.as_array_mut() {
                validations.push(validation);
            }
        }
    }
}

/// The schema of a place.
pub(super) fn find<'a>(schema: &'a mut Value, place: &str) -> Option<&'a mut Value> {
    place.split('.').filter(|step| !step.is_empty()).try_fold(schema, |schema, step| {
        let (name, inner) = step.strip_suffix("[]").map_or((step, ""), |list| (list, "/items"));
        schema.get_mut("properties")?.get_mut(name)?.pointer_mut(inner)
    })
}
