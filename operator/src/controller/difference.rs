//! Whether an object in the cluster is what was intended: every value of the intent must be there. What the API server
//! or others added beside it is no difference.

use serde_json::{Map, Value};

/// The first place where `live` is not as `intent` says, as a path.
pub(super) fn first(intent: &Value, live: &Value) -> Option<String> {
    at(intent, live, String::new())
}

fn at(intent: &Value, live: &Value, path: String) -> Option<String> {
    match (intent, live) {
        (Value::Object(intent), Value::Object(live)) => object(intent, live, &path),
        (Value::Object(intent), Value::Null) => object(intent, &Map::new(), &path),
        (Value::Array(intent), Value::Array(live)) => list(intent, live, path),
        (Value::Array(intent), Value::Null) if intent.is_empty() => None,
        _ => (!same(intent, live)).then_some(path),
    }
}

fn object(intent: &Map<String, Value>, live: &Map<String, Value>, path: &str) -> Option<String> {
    intent
        .iter()
        .find_map(|(name, wanted)| at(wanted, live.get(name).unwrap_or(&Value::Null), format!("{path}.{name}")))
}

/// Lists that others may add to are compared item by item: those to which server-side apply gives one of these keys.
/// Other lists are the operator's as a whole.
fn list(intent: &[Value], live: &[Value], path: String) -> Option<String> {
    let keys = ["name", "mountPath", "containerPort"];
    let key = keys.into_iter().find(|key| intent.iter().all(|item| item.get(*key).is_some()));
    if let Some(key) = key.filter(|_| !intent.is_empty()) {
        return intent.iter().find_map(|item| {
            let path = format!("{path}[{}]", item[key]);
            match live.iter().find(|other| other.get(key) == item.get(key)) {
                Some(other) => at(item, other, path),
                None => Some(path),
            }
        });
    }
    if intent.len() != live.len() {
        return Some(path);
    }
    intent.iter().zip(live).enumerate().find_map(|(index, (item, other))| at(item, other, format!("{path}[{index}]")))
}

/// Equal, or the same quantity in another spelling: the API server keeps what it was given first.
fn same(intent: &Value, live: &Value) -> bool {
    if intent == live {
        return true;
    }
    // A false, an empty text or a zero is what the API server leaves out.
    if live.is_null() {
        return matches!(intent, Value::Null | Value::Bool(false)) || intent == "";
    }
    let (Some(one), Some(other)) = (quantity(intent), quantity(live)) else { return false };
    one == other
}

/// A quantity in thousandths (Kubernetes API, `resource.Quantity`).
fn quantity(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let split = text.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let thousandths: i128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        "Pi" => 1000 << 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<i128>().ok()? };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole.parse::<i128>().ok()? * thousandths + part * thousandths / scale)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_of_the_intent_must_be_there() {
        for (intent, live, difference) in [
            (json!({"a": 1}), json!({"a": 1, "b": 2}), None),
            (json!({"a": 1}), json!({"a": 2}), Some(".a")),
            (json!({"a": {"b": "x"}}), json!({}), Some(".a.b")),
            (json!({"a": {}}), json!({}), None),
            (json!({"a": false, "b": "", "c": []}), json!({}), None),
            (json!({"a": true}), json!({}), Some(".a")),
            (json!({"cpu": "500m"}), json!({"cpu": "0.5"}), None),
            (json!({"memory": "1Gi"}), json!({"memory": "1024Mi"}), None),
            (json!({"memory": "1Gi"}), json!({"memory": "1G"}), Some(".memory")),
            (json!({"port": 80}), json!({"port": "80"}), None),
            (
                json!({"c": [{"name": "x", "v": 1}]}),
                json!({"c": [{"name": "other"}, {"name": "x", "v": 1, "w": 2}]}),
                None,
            ),
            (json!({"c": [{"name": "x", "v": 1}]}), json!({"c": [{"name": "y", "v": 1}]}), Some(".c[\"x\"]")),
            (json!({"c": [{"name": "x", "v": 1}]}), json!({"c": [{"name": "x"}]}), Some(".c[\"x\"].v")),
            (json!({"args": ["a", "b"]}), json!({"args": ["a"]}), Some(".args")),
            (json!({"args": ["a", "b"]}), json!({"args": ["a", "c"]}), Some(".args[1]")),
            (
                json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}),
                json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}),
                None,
            ),
            (json!({"ports": [{"port": 80}]}), json!({"ports": [{"port": 80, "protocol": "TCP"}]}), None),
            (json!({"ports": [{"port": 80}]}), json!({"ports": [{"port": 80}, {"port": 81}]}), Some(".ports")),
            (json!({"rules": [{"to": 1}]}), json!({"rules": [{"to": 1}, {"to": 2}]}), Some(".rules")),
        ] {
            assert_eq!(first(&intent, &live).as_deref(), difference, "{intent} {live}");
        }
    }
}
