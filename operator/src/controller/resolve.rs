//! From a document and its class to a [`Plan`], or to everything that is wrong with it.

use crds::class::{check_limits, merge};
use crds::spec::StorageSpec;
use crds::values::ByteSize;
use crds::workload::Storage;
use crds::{PackageProxy, PackageProxyClassSpec, Problem, ProblemKind, Workload};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::plan::{Plan, Site};

/// Fields of `spec` that concern the operator only: the data plane gets no file for them, or a flag.
const OPERATOR_ONLY: [&str; 9] =
    ["className", "suspend", "replicas", "service", "tls", "consumers", "networkPolicy", "clientConfig", "pod"];
/// The namespace of a document that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// What is wanted for the proxy of `document`. `owner_label` is the value of the label `packageproxy.dev/owner` of its
/// namespace. A problem of the class's limits has the condition's reason in front of its message, as `Reason: text`.
pub fn plan(
    document: &Value,
    class: &PackageProxyClassSpec,
    owner_label: Option<&str>,
    site: &Site,
) -> Result<Plan, Vec<Problem>> {
    let merged = merge(document, class);
    let reading = crds::read(&merged);
    let invalid = reading.problems.into_iter().filter(|problem| problem.kind == ProblemKind::Invalid).collect();
    let Some(settings) = reading.settings else { return Err(invalid) };
    let manifest = PackageProxy::deserialize(&merged)
        .map_err(|error| vec![Problem::invalid("", error.to_string(), "correct the manifest")])?;
    let mut workload = Workload::from_manifest(&manifest, class);
    grow(&mut workload, &manifest);
    let mut problems: Vec<Problem> = invalid;
    let limits = check_limits(&manifest, class, owner_label).into_iter().chain(too_large(&workload, class));
    problems.extend(limits.map(named));
    if !problems.is_empty() {
        return Err(problems);
    }
    let text = |field: &str| document["metadata"][field].as_str();
    let namespace = text("namespace").unwrap_or(DEFAULT_NAMESPACE).to_owned();
    let manifest = data_plane_manifest(&merged, &namespace);
    let uid = text("uid").unwrap_or_default().to_owned();
    Ok(Plan { settings, workload, manifest, uid, namespace, ca: None, claim_size: None, site: site.clone() })
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
    spec.retain(|_, value| value.as_object().is_none_or(|object: &Map<String, Value>| !object.is_empty()));
    json!({"apiVersion": crds::API_VERSION, "kind": crds::KIND, "metadata": metadata, "spec": spec})
}

/// A cache that is to hold more than the default volume gets a larger one.
fn grow(workload: &mut Workload, manifest: &PackageProxy) {
    let cache = manifest.spec.cache.as_ref();
    let said = |storage: &StorageSpec| storage.ephemeral.as_ref().is_some_and(|spec| spec.size_limit.is_some());
    let is_said = cache.and_then(|cache| cache.storage.as_ref()).is_some_and(said);
    if let (Some(ByteSize(max_size)), Storage::Ephemeral { size_limit }, false) =
        (cache.and_then(|cache| cache.max_size), &mut workload.storage, is_said)
    {
        *size_limit = (*size_limit).max((max_size / 9).saturating_mul(10));
    }
}

/// The volume of the cache against `limits.maxStorage`, where the manifest does not say how large it is.
fn too_large(workload: &Workload, class: &PackageProxyClassSpec) -> Option<Problem> {
    let ByteSize(most) = class.limits.as_ref()?.max_storage?;
    let Storage::Ephemeral { size_limit } = workload.storage else { return None };
    (size_limit > most).then(|| {
        let message = format!(
            "the volume of the cache would be {}, but the class allows {}",
            ByteSize(size_limit),
            ByteSize(most)
        );
        Problem::invalid(
            "spec.cache.storage",
            message,
            format!("set `ephemeral.sizeLimit` to at most {}", ByteSize(most)),
        )
    })
}

/// Puts the reason of the condition in front.
fn named(problem: Problem) -> Problem {
    let reason = if problem.path.starts_with("spec.upstream.") && problem.path.ends_with("url") {
        "UpstreamNotAllowed"
    } else {
        "ClassViolation"
    };
    Problem { message: format!("{reason}: {}", problem.message), ..problem }
}
