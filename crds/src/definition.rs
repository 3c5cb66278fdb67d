//! The `CustomResourceDefinition`s of both kinds, generated from the types and the rules.

mod rules;
mod schema;

use serde_json::{Value, json};

use crate::manifest::{API_VERSION, KIND};
use crate::rules::{of_class, of_proxy};
use crate::status::{PackageProxyClassStatus, PackageProxyStatus};
use crate::{CLASS_KIND, schema as types};

/// The annotation that says which schema a cluster has, so that an operator of another version can tell.
pub const SCHEMA_HASH_ANNOTATION: &str = "packageproxy.dev/schema-hash";

/// The definition of `PackageProxy` as it is checked in: `crds/packageproxies.yaml`.
pub const PACKAGE_PROXY_YAML: &str = include_str!("../packageproxies.yaml");
/// The definition of `PackageProxyClass` as it is checked in: `crds/packageproxyclasses.yaml`.
pub const PACKAGE_PROXY_CLASS_YAML: &str = include_str!("../packageproxyclasses.yaml");

/// The definition of `PackageProxy`.
pub fn package_proxy() -> Value {
    let mut schema = schema::of_kind(types::package_proxy(), types::of::<PackageProxyStatus>());
    // `kubectl scale` fails without a value; every other default is applied after that of the class.
    if let Some(replicas) = schema.pointer_mut("/properties/spec/properties/replicas").and_then(Value::as_object_mut) {
        replicas.insert("default".to_owned(), json!(1));
    }
    rules::insert(&mut schema, of_proxy());
    let column = |name: &str, path: &str, kind: &str| json!({"name": name, "jsonPath": path, "type": kind});
    let wide =
        |name: &str, path: &str, kind: &str| json!({"name": name, "jsonPath": path, "type": kind, "priority": 1});
    let version = json!({
        "selectableFields": [{"jsonPath": ".spec.ecosystem"}, {"jsonPath": ".spec.className"}],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            column("Ecosystem", ".spec.ecosystem", "string"),
            column("URL", ".status.url", "string"),
            column("Ready", r#".status.conditions[?(@.type=="Ready")].status"#, "string"),
            column("Status", r#".status.conditions[?(@.type=="Ready")].reason"#, "string"),
            column("Cached", ".status.cache.used", "string"),
            wide("Replicas", ".status.readyReplicas", "integer"),
            wide("Upstream", ".status.upstream.url", "string"),
            wide("Hits%", ".status.cache.hitPercent", "integer"),
            wide("Class", ".status.className", "string"),
            column("Age", ".metadata.creationTimestamp", "date"),
        ],
    });
    definition(KIND, ("packageproxies", "pkgp"), "Namespaced", version, &schema)
}

/// The definition of `PackageProxyClass`.
pub fn package_proxy_class() -> Value {
    let mut schema = schema::of_kind(types::package_proxy_class(), types::of::<PackageProxyClassStatus>());
    rules::insert(&mut schema, of_class());
    let accepted = r#".status.conditions[?(@.type=="Accepted")].status"#;
    let version = json!({
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": "Accepted", "jsonPath": accepted, "type": "string"},
            {"name": "Age", "jsonPath": ".metadata.creationTimestamp", "type": "date"},
        ],
    });
    definition(CLASS_KIND, ("packageproxyclasses", "pkgpc"), "Cluster", version, &schema)
}

fn definition(kind: &str, (plural, short): (&str, &str), scope: &str, mut version: Value, schema: &Value) -> Value {
    let (group, name) = API_VERSION.split_once('/').unwrap_or((API_VERSION, ""));
    version["name"] = json!(name);
    version["served"] = json!(true);
    version["storage"] = json!(true);
    version["schema"] = json!({"openAPIV3Schema": schema});
    let spec = json!({
        "group": group,
        "scope": scope,
        "names": {
            "kind": kind,
            "listKind": format!("{kind}List"),
            "plural": plural,
            "singular": kind.to_lowercase(),
            "shortNames": [short],
            // Of another name than the plural: kubectl would take `packageproxies NAME` for several resources.
            "categories": ["package-proxy"],
        },
        "versions": [version],
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {SCHEMA_HASH_ANNOTATION: hash(&spec.to_string())},
        },
        "spec": spec,
    })
}

/// FNV-1a: tells texts apart, and is the same everywhere.
fn hash(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

#[cfg(test)]
mod tests;
