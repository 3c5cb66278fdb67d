//! A whole `PackageProxy` document, and the one way from a document to settings.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::Problem;
use crate::spec::{LogLevel, PackageProxySpec};
use crate::{Settings, rules, schema, structure};

/// `apiVersion` of every manifest.
pub const API_VERSION: &str = "packageproxy.dev/v1alpha1";
/// `kind` of a proxy's manifest.
pub const KIND: &str = "PackageProxy";

/// One registry that is kept close by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageProxy {
    /// `packageproxy.dev/v1alpha1`.
    pub api_version: String,
    /// `PackageProxy`.
    pub kind: String,
    /// Its name and namespace.
    pub metadata: Metadata,
    /// What it does.
    pub spec: PackageProxySpec,
    /// Written by the operator, not read here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Ignored>,
}

/// The part of Kubernetes' object metadata that is read here; everything else in it is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Metadata {
    /// The name: the first path segment of the proxy's addresses.
    pub name: String,
    /// The namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Counts the changes of `spec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// An object that may hold anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Ignored {}

/// What a document says.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The settings, unless a problem is fatal ([`Problem::is_fatal`]).
    pub settings: Option<Settings>,
    /// `spec.logLevel`.
    pub log_level: Option<LogLevel>,
    /// Every mistake in the document.
    pub problems: Vec<Problem>,
}

/// Reads a document of kind `PackageProxy`: finds every mistake at once, and applies the defaults if there is none.
pub fn read(document: &Value) -> Reading {
    let mut problems = structure::check(document, schema::package_proxy());
    rules::check(document, &mut problems);
    let refused = |problems| Reading { settings: None, log_level: None, problems };
    if problems.iter().any(Problem::is_fatal) {
        return refused(problems);
    }
    let manifest = match PackageProxy::deserialize(without_null(document)) {
        Ok(manifest) => manifest,
        Err(error) => {
            problems.push(Problem::invalid("", error.to_string(), "correct the manifest"));
            return refused(problems);
        }
    };
    match Settings::from_manifest(&manifest) {
        Ok(settings) => Reading { settings: Some(settings), log_level: manifest.spec.log_level, problems },
        Err(missing) => {
            problems.push(missing);
            refused(problems)
        }
    }
}

/// The document without the members that are null, which count as absent.
pub(crate) fn without_null(document: &Value) -> Value {
    match document {
        Value::Object(members) => {
            let given = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(given.map(|(name, value)| (name.clone(), without_null(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_null).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
