//! Holds a document against its schema, as a Kubernetes API server does with strict field validation: types, required
//! and unknown fields, enumerations, patterns, lengths, bounds; members that are null count as absent. Every mistake is found, not only the first.

use serde_json::{Map, Value};

use crate::problem::{self, Problem, ProblemKind};
use crate::values::has_form;

/// Every structural mistake of `document`.
pub fn check(document: &Value, schema: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    node(document, schema, "", &mut problems);
    problems
}

fn node(value: &Value, schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    let wanted = schema["type"].as_str().unwrap_or("object");
    match (wanted, value) {
        ("object", Value::Object(members)) => object(members, schema, path, problems),
        ("array", Value::Array(items)) => array(items, schema, path, problems),
        ("string", Value::String(text)) => string(text, schema, path, problems),
        ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
            bounds(number.as_i64().unwrap_or(i64::MAX), schema, path, problems);
        }
        ("boolean", Value::Bool(_)) => {}
        _ => {
            let message = format!("must be {}, not {}", with_article(wanted), name_of(value));
            problems.push(Problem::invalid(path, message, type_remedy(wanted, value, schema)));
        }
    }
}

fn object(members: &Map<String, Value>, schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if members.get(name).is_none_or(Value::is_null) {
            let remedy = format!("add `{name}`{}", described(&properties[name]));
            problems.push(Problem::invalid(problem::member(path, name), "is required", remedy));
        }
    }
    for (name, value) in members {
        let path = problem::member(path, name);
        let known = properties.contains_key(name) || schema["additionalProperties"].is_object();
        if known && value.is_null() {
            // Counts as absent.
        } else if let Some(property) = properties.get(name) {
            node(value, property, &path, problems);
        } else if schema["additionalProperties"].is_object() {
            node(value, &schema["additionalProperties"], &path, problems);
        } else if schema["x-kubernetes-preserve-unknown-fields"] != true {
            let message = format!("unknown field `{}`", shown(name));
            let remedy = unknown_remedy(name, properties);
            problems.push(Problem { path, message, remedy, kind: ProblemKind::UnknownField });
        }
    }
}

fn array(items: &[Value], schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    if let Some(most) = schema["maxItems"].as_u64().filter(|most| items.len() as u64 > *most) {
        let message = format!("must have at most {most} items, not {}", items.len());
        problems.push(Problem::invalid(path, message, "remove some of them"));
    }
    for (index, item) in items.iter().enumerate() {
        node(item, &schema["items"], &problem::item(path, index), problems);
    }
}

fn string(text: &str, schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    let title = schema["title"].as_str();
    let length = text.chars().count() as u64;
    let mut report = |message: String, remedy: String| problems.push(Problem::invalid(path, message, remedy));
    if let Some(values) = schema["enum"].as_array() {
        if !values.iter().any(|value| value == text) {
            let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            let near = nearest(text, values.iter().copied()).map_or_else(String::new, |near| format!("; '{near}'?"));
            let list = values.iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ");
            report(format!("'{}' is not a known value", shown(text)), format!("use one of {list}{near}"));
        }
    } else if let Some(least) = schema["minLength"].as_u64().filter(|least| length < *least) {
        let remedy = title.map_or_else(|| "write a longer value".to_owned(), |title| format!("write {title}"));
        report(format!("must have at least {least} characters, not {length}"), remedy);
    } else if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
        report(format!("must have at most {most} characters, not {length}"), "write a shorter value".to_owned());
    } else if let Some(pattern) = schema["pattern"].as_str()
        && !has_form(text, pattern)
    {
        let (message, remedy) = match title {
            Some(title) => (format!("'{}' is not {title}", shown(text)), format!("write {title}")),
            None => (
                format!("'{}' has a form that is not allowed", shown(text)),
                format!("write a value that matches {pattern}"),
            ),
        };
        report(message, remedy);
    }
}

fn bounds(number: i64, schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    let (least, most) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
    if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
        let (least, most) = (least.unwrap_or(i64::MIN), most.unwrap_or(i64::MAX));
        let message = format!("must be between {least} and {most}, not {number}");
        problems.push(Problem::invalid(path, message, format!("write a number from {least} to {most}")));
    }
}

fn with_article(kind: &str) -> &'static str {
    match kind {
        "string" => "a string",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "an object",
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn type_remedy(wanted: &str, value: &Value, schema: &Value) -> String {
    match (wanted, value, schema["title"].as_str()) {
        ("string", _, Some(title)) => format!("write {title}"),
        ("string", Value::Number(_) | Value::Bool(_), None) => format!("put it in quotes: '{value}'"),
        ("integer" | "boolean", Value::String(text), _) if is_plain(text) => format!("remove the quotes: {text}"),
        _ => format!("write {}{}", with_article(wanted), described(schema)),
    }
}

/// The beginning of a text, enough to recognise it.
fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

fn is_plain(text: &str) -> bool {
    text.parse::<i64>().is_ok() || matches!(text, "true" | "false")
}

/// What a field means, in brackets, or what its values are.
fn described(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        return format!(", one of: {}", values.join(", "));
    }
    let first = schema["description"].as_str().and_then(|text| text.split(['.', ';', ':']).next());
    first.map_or_else(String::new, |first| format!(" ({})", first.replace('\n', " ")))
}

fn unknown_remedy(name: &str, properties: &Map<String, Value>) -> String {
    match nearest(name, properties.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if properties.is_empty() => "remove it".to_owned(),
        None => {
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            format!("remove it; known here: {}", names.join(", "))
        }
    }
}

/// The candidate that differs only in case, else the one at most two edits away.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let near = candidates.map(|candidate| (edits(&name, &candidate.to_lowercase()), candidate)).min()?;
    (near.0 <= 2 && near.0 < name.chars().count()).then_some(near.1)
}

/// Levenshtein distance.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, a) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}
