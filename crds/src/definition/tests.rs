//! The definitions: what they must have, and that the files are theirs.

use std::path::Path;

use super::*;
use crate::rules::Rule;

/// Calls `visit` for each object in a value.
fn walk(value: &Value, visit: &mut dyn FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|member| walk(member, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

/// Set this variable to write the files anew.
const WRITE: &str = "WRITE_CRDS";

#[test]
fn the_files_are_what_is_generated() {
    for (file, text, definition) in [
        ("packageproxies.yaml", PACKAGE_PROXY_YAML, package_proxy()),
        ("packageproxyclasses.yaml", PACKAGE_PROXY_CLASS_YAML, package_proxy_class()),
    ] {
        let written = serde_yaml::to_string(&definition).unwrap();
        let text = if std::env::var_os(WRITE).is_some() {
            std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), &written).unwrap();
            written.as_str()
        } else {
            text
        };
        let read: Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(read, definition, "crds/{file} is stale: run `{WRITE}=1 cargo test -p crds the_files_are`");
        assert_eq!(text, written, "crds/{file} is stale: run `{WRITE}=1 cargo test -p crds the_files_are`");
        assert!(text.len() < 100_000, "{file} has {} bytes", text.len());
    }
}

#[test]
fn replicas_is_the_only_default() {
    let mut defaults = Vec::new();
    for definition in [package_proxy(), package_proxy_class()] {
        walk(&definition["spec"]["versions"], &mut |members| {
            if members.contains_key("type") {
                defaults.extend(members.get("default").cloned());
            }
        });
    }
    assert_eq!(defaults, [json!(1)]);
    let replicas = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replicas/default";
    assert_eq!(package_proxy().pointer(replicas), Some(&json!(1)));
}

#[test]
fn every_rule_has_its_place_and_no_two_say_the_same() {
    for (mut schema, rules) in
        [(types::package_proxy().clone(), of_proxy()), (types::package_proxy_class().clone(), of_class())]
    {
        for Rule { place, field, message, .. } in rules {
            let found = rules::find(&mut schema, place);
            assert!(found.is_some(), "{place} is no place in the schema");
            let below = if place.is_empty() { (*field).to_owned() } else { format!("{place}.{field}") };
            assert!(rules::find(&mut schema, below.trim_end_matches('.')).is_some(), "{below} is no field");
            let same = rules.iter().filter(|rule| (&rule.place, &rule.message) == (place, message)).count();
            assert_eq!(same, 1, "{place}: {message}");
        }
    }
}

#[test]
fn the_definitions_have_each_rule_once() {
    for (definition, rules) in [(package_proxy(), of_proxy()), (package_proxy_class(), of_class())] {
        let mut messages = Vec::new();
        walk(&definition, &mut |members| {
            for validation in members.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                messages.push(validation["message"].as_str().unwrap().to_owned());
            }
        });
        let mut expected: Vec<_> = rules.iter().map(|rule| rule.message.to_string()).collect();
        messages.sort_unstable();
        expected.sort_unstable();
        assert_eq!(messages, expected);
    }
}

/// kubectl prefers a category, and then refuses a name beside it.
#[test]
fn no_category_is_a_name_of_a_kind() {
    let mut categories = Vec::new();
    let mut names = Vec::new();
    for definition in [package_proxy(), package_proxy_class()] {
        let words = &definition["spec"]["names"];
        categories.extend(words["categories"].as_array().unwrap().clone());
        names.extend(words["shortNames"].as_array().unwrap().clone());
        names.extend([words["plural"].clone(), words["singular"].clone()]);
    }
    assert_eq!((categories.len(), names.len()), (2, 6));
    assert!(categories.iter().all(|category| !names.contains(category)));
}
