//! Plans for tests, from documents as people write them.

use crds::PackageProxyClassSpec;
use serde_json::{Value, json};

use crate::controller::plan::{Plan, Site};
use crate::controller::resolve;

/// A site whose values differ from every default.
pub(crate) fn site() -> Site {
    Site {
        image: "registry.example/proxy:1".to_owned(),
        image_pull_policy: "IfNotPresent".to_owned(),
        image_pull_secrets: vec!["site-pull".to_owned()],
        cluster_domain: "cluster.test".to_owned(),
        operator_namespace: "operators".to_owned(),
    }
}

/// A document named `left` in the namespace `team-a`.
pub(crate) fn document(spec: Value) -> Value {
    let mut document = json!({
        "apiVersion": crds::API_VERSION,
        "kind": crds::KIND,
        "metadata": {"name": "left", "namespace": "team-a", "uid": "uid-1", "generation": 7},
        "spec": {"ecosystem": "npm", "upstream": {"url": "https://registry.example/"}},
    });
    overlay(&mut document["spec"], spec);
    document
}

/// The plan of [`document`] with the built-in class.
pub(crate) fn plan(spec: Value) -> Plan {
    plan_in(&PackageProxyClassSpec::default(), spec)
}

/// The plan of [`document`] with a class.
pub(crate) fn plan_in(class: &PackageProxyClassSpec, spec: Value) -> Plan {
    resolve::plan(&document(spec), class, None, &site()).unwrap()
}

/// Puts `over` on `under`, object by object.
pub(crate) fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                overlay(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}
