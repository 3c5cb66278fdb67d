//! From a document and its class to a [`Plan`], or to everything that is wrong with it.

use crds::class::{merge, read_proxy};
use crds::{PackageProxy, PackageProxyClassSpec, Problem, Workload};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::plan::{Plan, Site};

/// Fields of `spec` that concern the operator only: the data plane gets a flag for them, or nothing.
const OPERATOR_ONLY: [&str; 9] =
    ["className", "suspend", "replicas", "service", "tls", "consumers", "networkPolicy", "clientConfig", "pod"];
/// The namespace of a document that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What is wanted for the proxy of `document`, with `ca` and `claim_size` left to whoever can look at the cluster.
/// `owner_label` is the value of the label `packageproxy.dev/owner` of its namespace.
pub fn plan(
    document: &Value,
    class: &PackageProxyClassSpec,
    owner_label: Option<&str>,
    site: &Site,
) -> Result<Plan, Vec<Problem>> {
    let namespace = document["metadata"]["namespace"].as_str().unwrap_or(DEFAULT_NAMESPACE).to_owned();
    let mut document = document.clone();
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    let reading = read_proxy(&document, class, owner_label);
    let problems: Vec<Problem> = reading.problems.into_iter().filter(Problem::is_fatal).collect();
    let settings = reading.settings.filter(|_| problems.is_empty()).ok_or(problems)?;
    let merged = merge(&document, class);
    let manifest = PackageProxy::deserialize(&merged)
        .map_err(|error| vec![Problem::invalid("", error.to_string(), "correct the manifest")])?;
    Ok(Plan {
        settings,
        workload: Workload::from_manifest(&manifest, class),
        manifest: data_plane_manifest(&merged, &namespace),
        uid: document["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        namespace,
        ca: None,
        claim_size: None,
        site: site.clone(),
    })
}

/// The document as the data plane reads it.
fn data_plane_manifest(merged: &Value, namespace: &str) -> Value {
    let mut metadata = json!({"name": merged["metadata"]["name"], "namespace": namespace});
    if let Some(generation) = merged["metadata"]["generation"].as_i64() {
        metadata["generation"] = json!(generation);
    }
    let mut spec = merged["spec"].as_object().cloned().unwrap_or_default();
    spec.retain(|field, value| !OPERATOR_ONLY.contains(&field.as_str()) && !value.is_null());
    if let Some(cache) = spec.get_mut("cache").and_then(Value::as_object_mut) {
        cache.remove("storage");
    }
    spec.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
    json!({"apiVersion": crds::API_VERSION, "kind": crds::KIND, "metadata": metadata, "spec": spec})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::build::testing::{document, site};

    fn class(spec: Value) -> PackageProxyClassSpec {
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn what_the_class_says_reaches_the_data_plane_too() {
        let class = class(json!({"defaults": {"cache": {"metadataTTL": "3m"}, "networkPolicy": "Strict"}}));
        let plan = plan(&document(json!({"cache": {"negativeTTL": "5s"}})), &class, None, &site()).unwrap();
        assert_eq!(plan.manifest["spec"]["cache"], json!({"metadataTTL": "3m", "negativeTTL": "5s"}));
        assert_eq!(plan.manifest["spec"].get("networkPolicy"), None);
        assert_eq!(plan.settings.cache.metadata_ttl.as_secs(), 180);
        assert_eq!((plan.uid.as_str(), plan.namespace.as_str()), ("uid-1", "team-a"));
    }

    #[test]
    fn mistakes_and_limits_are_problems_and_unknown_fields_are_not() {
        let limited = class(json!({"limits": {"maxReplicas": 2}}));
        let paths = |spec| {
            let problems = plan(&document(spec), &limited, None, &site()).err().unwrap_or_default();
            problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
        };
        assert_eq!(paths(json!({"replicas": 3})), ["spec.replicas"]);
        assert_eq!(paths(json!({"upstream": {"url": "registry"}})), ["spec.upstream.url"]);
        assert_eq!(paths(json!({"ofANewerVersion": true})), Vec::<String>::new());
    }

    #[test]
    fn a_document_without_a_namespace_is_of_the_default_one() {
        let mut document = document(json!({}));
        document["metadata"] = json!({"name": "left"});
        let plan = plan(&document, &PackageProxyClassSpec::default(), None, &site()).unwrap();
        assert_eq!((plan.namespace.as_str(), plan.settings.owner.as_str()), ("default", "default"));
        assert_eq!(plan.manifest["metadata"], json!({"name": "left", "namespace": "default"}));
    }
}
