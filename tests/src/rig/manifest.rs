//! A `PackageProxy` manifest with the limits that tests need.

use std::fmt;

use serde_json::{Value, json};

use crate::fixture::{BASE, Protocol};
use crate::upstream::Upstream;

/// One manifest, as JSON, which is YAML.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest(Value);

impl Manifest {
    /// A proxy named after its ecosystem, for the registry at [`BASE`] of an upstream. Retries are few and quick, and
    /// neither limits nor the breaker get in the way of tests that are about something else: a busy machine may take
    /// seconds for an answer, and tests that wait for a limit set it themselves.
    pub fn of(protocol: &dyn Protocol, upstream: &Upstream) -> Self {
        let manifest = Self::at(protocol.name(), protocol.name(), &upstream.url(BASE));
        protocol.settings().into_iter().fold(manifest, |manifest, (field, value)| manifest.with(field, value))
    }

    /// The same for any name and address.
    pub fn at(name: &str, ecosystem: &str, url: &str) -> Self {
        Self(json!({
            "apiVersion": "packageproxy.dev/v1alpha1",
            "kind": "PackageProxy",
            "metadata": {"name": name},
            "spec": {
                "ecosystem": ecosystem,
                "upstream": {
                    "url": url,
                    "connectTimeout": "10s",
                    "readTimeout": "10s",
                    "idleTimeout": "20s",
                    "retry": {"attempts": 1, "baseDelay": "10ms", "maxDelay": "50ms"},
                    "breaker": {"failures": 50, "openDuration": "200ms", "maxOpenDuration": "1s"},
                },
                "cache": {"revalidationWait": "12s"},
            },
        }))
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Sets a field of `spec`, named with dots: `cache.metadataTTL`.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.0["spec"];
        for name in field.split('.') {
            place = &mut place[name];
        }
        *place = value.into();
        self
    }

    /// Revalidates every request.
    #[must_use]
    pub fn always_revalidating(self) -> Self {
        self.with("cache.metadataTTL", "0s")
    }

    /// Lets the address filter pass loopback, for tests with a second origin.
    #[must_use]
    pub fn allowing_loopback(self) -> Self {
        self.with("upstream.allowedCIDRs", json!(["127.0.0.0/8", "::1/128"]))
    }

    /// A bearer token from the key `token` of a secret.
    #[must_use]
    pub fn bearer(self, secret: &str) -> Self {
        self.with("upstream.allowPlaintextAuth", true)
            .with("upstream.auth", json!({"type": "Bearer", "secretRef": {"name": secret}}))
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_by_path() {
        let manifest = Manifest::at("npm", "npm", "http://registry.example/")
            .with("cache.metadataTTL", "1s")
            .with("upstream.auth", json!({"type": "Basic"}));
        assert_eq!(manifest.0["spec"]["cache"]["metadataTTL"], "1s");
        assert_eq!(manifest.0["spec"]["upstream"]["auth"]["type"], "Basic");
        assert_eq!(manifest.0["spec"]["upstream"]["url"], "http://registry.example/");
    }
}
