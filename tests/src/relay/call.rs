//! One request to the API server, as its path says it.

use std::fmt;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

/// A request that passed the relay.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it arrived.
    pub at: Instant,
    /// Method.
    pub method: Method,
    /// Path without the query.
    pub path: String,
    /// Query, empty if there is none.
    pub query: String,
    /// Plural of the kind; empty for paths outside the API groups.
    pub resource: String,
    /// Namespace, empty if there is none.
    pub namespace: String,
    /// Name of the object, empty for lists and creations.
    pub name: String,
    /// Subresource, empty if there is none.
    pub subresource: String,
    /// The name in the body of a creation, which its path lacks, or of the object that an event is about.
    pub about: String,
    /// The status that was answered; `None` while it runs and after a cut.
    pub status: Option<u16>,
    /// Until the head of the answer.
    pub took: Option<Duration>,
    /// Whether a rule applied.
    pub faulted: bool,
}

impl Call {
    /// Reads method, path and query.
    pub fn new(method: &Method, path: &str, query: &str) -> Self {
        let mut words = path.trim_start_matches('/').split('/');
        let group = match words.next() {
            Some("api") => words.next(),
            Some("apis") => words.next().and(words.next()),
            _ => None,
        };
        let mut rest: Vec<&str> = if group.is_some() { words.collect() } else { Vec::new() };
        let mut namespace = "";
        if rest.len() > 2 && rest[0] == "namespaces" && !matches!(rest[2], "status" | "finalize") {
            namespace = rest[1];
            rest.drain(..2);
        }
        let word = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
        Self {
            at: Instant::now(),
            method: method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            resource: word(0),
            namespace: namespace.to_owned(),
            name: word(1),
            subresource: word(2),
            about: String::new(),
            status: None,
            took: None,
            faulted: false,
        }
    }

    /// Notes which object a body is about, where the path does not say it.
    pub(super) fn read(&mut self, body: &[u8]) {
        if self.method != Method::POST && self.resource != "events" {
            return;
        }
        let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else { return };
        let names = [&body["regarding"]["name"], &body["involvedObject"]["name"], &body["metadata"]["name"]];
        names.iter().find_map(|name| name.as_str()).unwrap_or_default().clone_into(&mut self.about);
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
            && !self.resource.ends_with("accessreviews")
            && !self.resource.ends_with("rulesreviews")
    }

    /// Whether it is about the Lease of the election.
    pub fn is_lease(&self) -> bool {
        self.resource == "leases"
    }

    /// Whether it is a watch.
    pub fn is_watch(&self) -> bool {
        self.query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
    }

    /// Whether it lists or watches.
    pub fn is_list(&self) -> bool {
        self.method == Method::GET && !self.resource.is_empty() && self.name.is_empty()
    }

    /// Whether it concerns the proxy of this name, its children or its events.
    pub fn is_about(&self, proxy: &str) -> bool {
        let of = |name: &str| name.strip_prefix(proxy).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        of(&self.name) || of(&self.about)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)?;
        if !self.query.is_empty() {
            write!(formatter, "?{}", self.query)?;
        }
        if !self.about.is_empty() {
            write!(formatter, " ({})", self.about)?;
        }
        match self.status {
            Some(status) => write!(formatter, " {status}"),
            None => write!(formatter, " -"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(method: &Method, path: &str) -> [String; 4] {
        let call = Call::new(method, path, "");
        [call.resource, call.namespace, call.name, call.subresource]
    }

    #[test]
    fn paths_of_the_api() {
        assert_eq!(words(&Method::GET, "/api/v1/pods"), ["pods", "", "", ""]);
        assert_eq!(words(&Method::GET, "/api/v1/namespaces/a"), ["namespaces", "", "a", ""]);
        assert_eq!(words(&Method::PUT, "/api/v1/namespaces/a/finalize"), ["namespaces", "", "a", "finalize"]);
        assert_eq!(words(&Method::GET, "/api/v1/namespaces/a/services/b"), ["services", "a", "b", ""]);
        let status = "/apis/packageproxy.dev/v1alpha1/namespaces/a/packageproxies/b/status";
        assert_eq!(words(&Method::PATCH, status), ["packageproxies", "a", "b", "status"]);
        assert_eq!(words(&Method::GET, "/apis/apps/v1/deployments"), ["deployments", "", "", ""]);
        assert_eq!(words(&Method::GET, "/readyz"), ["", "", "", ""]);
    }

    #[test]
    fn what_a_call_is() {
        let call = |method: Method, path: &str, query: &str| Call::new(&method, path, query);
        assert!(call(Method::PATCH, "/api/v1/namespaces/a/services/b", "").is_write());
        assert!(!call(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "").is_write());
        assert!(call(Method::GET, "/api/v1/pods", "limit=5&watch=true").is_watch());
        assert!(call(Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", "").is_lease());
        let named = call(Method::GET, "/api/v1/namespaces/a/configmaps/npm-client", "");
        assert!(named.is_about("npm") && !named.is_about("np") && !named.is_about("npm-client-env"));
        let mut event = call(Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events", "");
        event.read(br#"{"metadata":{"name":"x"},"regarding":{"name":"npm"}}"#);
        assert!(event.is_about("npm"));
    }
}
