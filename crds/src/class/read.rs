//! The one way from a document to a class.

use serde::Deserialize;
use serde_json::Value;

use super::{PackageProxyClass, PackageProxyClassSpec, check_limits, merge};
use crate::manifest::without_null;
use crate::problem::{Problem, ProblemKind};
use crate::{PackageProxy, Reading, manifest, rules, schema, structure};

/// What a document of kind `PackageProxyClass` says.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassReading {
    /// The class, unless a problem is fatal ([`Problem::is_fatal`]).
    pub class: Option<PackageProxyClass>,
    /// Every mistake in the document.
    pub problems: Vec<Problem>,
}

/// Reads a document of kind `PackageProxyClass`, and finds every mistake at once.
pub fn read(document: &Value) -> ClassReading {
    let mut problems = structure::check(document, schema::package_proxy_class());
    rules::check_class(document, &mut problems);
    if problems.iter().any(Problem::is_fatal) {
        return ClassReading { class: None, problems };
    }
    match PackageProxyClass::deserialize(without_null(document)) {
        Ok(class) => ClassReading { class: Some(class), problems },
        Err(error) => {
            problems.push(Problem::invalid("", error.to_string(), "correct the class"));
            ClassReading { class: None, problems }
        }
    }
}

/// Reads a document of kind `PackageProxy` with its class: as an API server takes it, then merged with the class, then
/// held against the limits. `owner_label` is the value of the label `packageproxy.dev/owner` of its namespace.
pub fn read_proxy(document: &Value, class: &PackageProxyClassSpec, owner_label: Option<&str>) -> Reading {
    let alone = manifest::read(document);
    // What the class may supply is no mistake yet.
    if alone.problems.iter().any(|problem| problem.is_fatal() && problem.kind != ProblemKind::UpstreamMissing) {
        return alone;
    }
    let merged = merge(document, class);
    let mut reading = manifest::read(&merged);
    if reading.settings.is_some()
        && let Ok(manifest) = PackageProxy::deserialize(without_null(&merged))
    {
        reading.problems.extend(check_limits(&manifest, class, owner_label));
        reading.settings = reading.settings.filter(|_| !reading.problems.iter().any(Problem::is_fatal));
    }
    reading
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{API_VERSION, KIND};

    fn read_npm(spec: &Value) -> Reading {
        let class = json!({
            "upstreams": {"npm": "http://registry.example/npm/"},
            "defaults": {"cache": {"metadataTTL": "1m", "storage": {
                "type": "PersistentVolumeClaim", "persistentVolumeClaim": {"size": "5Gi"},
            }}},
            "limits": {"maxStorage": "8Gi"},
        });
        let document = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "npm"}, "spec": spec});
        read_proxy(&document, &PackageProxyClassSpec::deserialize(class).unwrap(), None)
    }

    #[test]
    fn a_class_supplies_what_is_missing() {
        let reading = read_npm(&json!({"ecosystem": "npm"}));
        assert_eq!(reading.problems, []);
        let settings = reading.settings.unwrap();
        assert_eq!(settings.upstream.url.as_str(), "http://registry.example/npm/");
        assert_eq!(settings.cache.metadata_ttl.as_secs(), 60);
    }

    #[test]
    fn mistakes_of_the_manifest_of_both_together_and_beyond_the_limits() {
        let auth = json!({"type": "Bearer", "secretRef": {"name": "token"}});
        let large = json!({"type": "Ephemeral", "ephemeral": {"sizeLimit": "9Gi"}});
        for (spec, path, kind) in [
            (json!({"ecosystem": "npm", "replicas": -1}), "spec.replicas", ProblemKind::Invalid),
            (json!({"ecosystem": "npm", "replicas": 2}), "spec.replicas", ProblemKind::Invalid),
            (json!({"ecosystem": "npm", "upstream": {"auth": auth}}), "spec.upstream.auth", ProblemKind::Invalid),
            (json!({"ecosystem": "cargo"}), "spec.upstream.url", ProblemKind::UpstreamMissing),
            (
                json!({"ecosystem": "npm", "cache": {"storage": large}}),
                "spec.cache.storage.ephemeral.sizeLimit",
                ProblemKind::ClassViolation,
            ),
        ] {
            let Reading { settings, problems, .. } = read_npm(&spec);
            let [problem] = problems.as_slice() else { panic!("{spec}: {problems:?}") };
            assert_eq!((problem.path.as_str(), problem.kind, settings), (path, kind, None), "{spec}");
        }
    }
}
