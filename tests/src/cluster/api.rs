//! The API as an administrator sees it: objects as JSON, addressed by kind, namespace and name.

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

/// A client that panics on every answer that no test expects.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Api")
    }
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(String);

/// API version, kind, plural.
const KINDS: [(&str, &str, &str); 17] = [
    ("v1", "Namespace", "namespaces"),
    ("v1", "Pod", "pods"),
    ("v1", "Service", "services"),
    ("v1", "ServiceAccount", "serviceaccounts"),
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "Secret", "secrets"),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("v1", "PersistentVolume", "persistentvolumes"),
    ("v1", "ResourceQuota", "resourcequotas"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "ReplicaSet", "replicasets"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("coordination.k8s.io/v1", "Lease", "leases"),
    ("events.k8s.io/v1", "Event", "events"),
    (crds::API_VERSION, crds::KIND, "packageproxies"),
    (crds::API_VERSION, crds::CLASS_KIND, "packageproxyclasses"),
];

/// The path of an object; without a name that of the list, without a namespace that of the cluster.
///
/// # Panics
/// If the kind is not in the table.
pub fn at(kind: &str, namespace: &str, name: &str) -> Path {
    let found = KINDS.iter().find(|(_, known, _)| *known == kind);
    let (version, _, plural) = found.unwrap_or_else(|| panic!("{kind} is not in the table"));
    let root = if *version == "v1" { "api" } else { "apis" };
    let scope = if namespace.is_empty() { String::new() } else { format!("namespaces/{namespace}/") };
    let name = if name.is_empty() { String::new() } else { format!("/{name}") };
    Path(format!("/{root}/{version}/{scope}{plural}{name}"))
}

/// The path of an object that is at hand.
///
/// # Panics
/// If it has no kind or name.
pub fn of(object: &Value) -> Path {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    at(&word(&object["kind"]), &word(&metadata["namespace"]), &word(&metadata["name"]))
}

impl Path {
    /// The path of a subresource.
    #[must_use]
    pub fn sub(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0))
    }

    fn query(&self, query: &str) -> String {
        format!("{}?{query}", self.0)
    }
}

/// What the API server refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Status code.
    pub code: u16,
    /// Its sentence.
    pub message: String,
}

impl Api {
    pub(super) const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends anything.
    pub async fn send(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value, Refusal> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(bytes);
        self.client.request(request.expect("a request")).await.map_err(|error| match error {
            kube::Error::Api(status) => Refusal { code: status.code, message: status.message.clone() },
            error => Refusal { code: 0, message: format!("{error:?}") },
        })
    }

    /// Reads an object or a list.
    pub async fn find(&self, path: &Path) -> Option<Value> {
        match self.send(Method::GET, &path.0, "application/json", &Value::Null).await {
            Ok(object) => Some(object),
            Err(refusal) if refusal.code == 404 => None,
            Err(refusal) => panic!("GET {}: {refusal:?}", path.0),
        }
    }

    /// Reads an object that must be there.
    pub async fn get(&self, path: &Path) -> Value {
        self.find(path).await.unwrap_or_else(|| panic!("{} does not exist", path.0))
    }

    /// The items of a list, by label.
    pub async fn list(&self, path: &Path, selector: &str) -> Vec<Value> {
        let query = path.query(&format!("labelSelector={}", selector.replace('=', "%3D").replace(',', "%2C")));
        let list = self.send(Method::GET, &query, "application/json", &Value::Null).await;
        let mut list = list.unwrap_or_else(|refusal| panic!("GET {query}: {refusal:?}"));
        match list["items"].take() {
            Value::Array(items) => items,
            other => panic!("no list: {other}"),
        }
    }

    /// Applies an object as a person with `kubectl` does; `force` takes fields from others.
    pub async fn try_apply(&self, object: &Value) -> Result<Value, Refusal> {
        let query = of(object).query("fieldManager=person&force=true&fieldValidation=Strict");
        self.send(Method::PATCH, &query, "application/apply-patch+yaml", object).await
    }

    /// The same, when it must succeed.
    pub async fn apply(&self, object: &Value) -> Value {
        self.try_apply(object).await.unwrap_or_else(|refusal| panic!("{object}: {refusal:?}"))
    }

    /// What the API server would say of a new object, which is not kept.
    pub async fn rehearse(&self, object: &Value) -> Result<Value, Refusal> {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = at(&word(&object["kind"]), &word(&object["metadata"]["namespace"]), "");
        let query = list.query("dryRun=All&fieldManager=person&fieldValidation=Strict");
        self.send(Method::POST, &query, "application/json", object).await
    }

    /// A JSON merge patch.
    pub async fn try_patch(&self, path: &Path, change: &Value) -> Result<Value, Refusal> {
        let query = path.query("fieldManager=person");
        self.send(Method::PATCH, &query, "application/merge-patch+json", change).await
    }

    /// The same, when it must succeed.
    pub async fn patch(&self, path: &Path, change: &Value) -> Value {
        self.try_patch(path, change).await.unwrap_or_else(|refusal| panic!("{}: {change}: {refusal:?}", path.0))
    }

    /// Deletes an object; dependants go afterwards.
    pub async fn delete(&self, path: &Path) {
        let options = json!({"propagationPolicy": "Background"});
        match self.send(Method::DELETE, &path.0, "application/json", &options).await {
            Ok(_) => {}
            Err(refusal) => panic!("DELETE {}: {refusal:?}", path.0),
        }
    }

    /// Creates what has no name yet, or answers a review.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.send(Method::POST, path, "application/json", body).await;
        answer.unwrap_or_else(|refusal| panic!("POST {path}: {refusal:?}"))
    }

    /// A token of a ServiceAccount, by `TokenRequest`.
    pub async fn token(&self, namespace: &str, name: &str) -> String {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200}});
        let path = at("ServiceAccount", namespace, name).sub("token");
        let answer = self.post(&path.0, &body).await;
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_objects() {
        assert_eq!(at("Namespace", "", "a").0, "/api/v1/namespaces/a");
        assert_eq!(at("Deployment", "a", "b").0, "/apis/apps/v1/namespaces/a/deployments/b");
        let proxy = json!({"kind": "PackageProxy", "metadata": {"namespace": "a", "name": "b"}});
        let path = of(&proxy).sub("status");
        assert_eq!(path.0, "/apis/packageproxy.dev/v1alpha1/namespaces/a/packageproxies/b/status");
    }
}
