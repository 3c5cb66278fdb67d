//! The fields of our kinds that a description of the API server does not have.

use serde_json::Value;

/// Every field of `spec` of these kinds that the description (`OpenAPI` 3) of our group lacks, as `Kind.path`. A kind that
/// is not described at all says nothing.
pub(super) fn missing(description: &Value, kinds: &[&str]) -> Vec<String> {
    let mut missing = Vec::new();
    for kind in kinds {
        let own = if *kind == crds::KIND { crds::schema::package_proxy() } else { crds::schema::package_proxy_class() };
        if let Some(there) = described(description, kind) {
            compare(&own["properties"]["spec"], &there["properties"]["spec"], &format!("{kind}.spec"), &mut missing);
        }
    }
    missing
}

/// The schema of a kind.
fn described<'a>(description: &'a Value, kind: &str) -> Option<&'a Value> {
    let (group, version) = crds::API_VERSION.split_once('/')?;
    description["components"]["schemas"].as_object()?.values().find(|schema| {
        let names = schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
        names.into_iter().any(|name| name["kind"] == kind && name["group"] == group && name["version"] == version)
    })
}

fn compare(own: &Value, there: &Value, path: &str, missing: &mut Vec<String>) {
    // What takes any field lacks none.
    if there["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    for (name, member) in own["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match there["properties"].get(name) {
            Some(known) => compare(member, known, &path, missing),
            None => missing.push(path),
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let (Some(own), Some(there)) = (own.get(inner), there.get(inner)) {
            compare(own, there, path, missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn description(kind: &str, schema: &Value) -> Value {
        let mut schema = schema.clone();
        schema["x-kubernetes-group-version-kind"] =
            json!([{"group": "packageproxy.dev", "version": "v1alpha1", "kind": kind}]);
        json!({"components": {"schemas": {"other": {"type": "object"}, "ours": schema}}})
    }

    #[test]
    fn what_an_older_definition_lacks_is_named() {
        let own = crds::schema::package_proxy();
        let of = |schema: &Value| missing(&description("PackageProxy", schema), &["PackageProxy", "PackageProxyClass"]);
        assert_eq!(of(own), Vec::<String>::new(), "the class is not described at all");
        let mut older = own.clone();
        let spec = older["properties"]["spec"]["properties"].as_object_mut().unwrap();
        spec.remove("logLevel").unwrap();
        spec["cache"]["properties"].as_object_mut().unwrap().remove("maxSize").unwrap();
        older["properties"].as_object_mut().unwrap().insert("new".to_owned(), json!({"type": "string"}));
        assert_eq!(of(&older), ["PackageProxy.spec.cache.maxSize", "PackageProxy.spec.logLevel"]);
        let mut open = own.clone();
        open["properties"]["spec"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        assert_eq!(of(&open), Vec::<String>::new());
        assert_eq!(missing(&json!({}), &["PackageProxy"]), Vec::<String>::new());
    }
}
