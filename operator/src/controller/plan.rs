//! What is wanted for one proxy: the input of every builder, with all defaults applied and all questions answered.

use crds::{Settings, Workload};
use serde_json::Value;

/// What is wanted for one proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The data plane's side of the manifest, merged with the class.
    pub settings: Settings,
    /// The cluster's side of it.
    pub workload: Workload,
    /// The document that the data plane reads: the merged manifest without what concerns the operator only.
    pub manifest: Value,
    /// `metadata.uid` of the `PackageProxy`.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// The certificate authority that clients must trust, in PEM form.
    pub ca: Option<String>,
    /// Bytes of the claim as it is now: a claim never shrinks.
    pub claim_size: Option<u64>,
    /// What the operator was told when it started.
    pub site: Site,
}

/// What is the same for every proxy of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The image of the proxy where the class names none.
    pub image: String,
    /// When it is pulled where the class says nothing: a word of the API.
    pub image_pull_policy: String,
    /// Secrets for its registry, besides those of the class.
    pub image_pull_secrets: Vec<String>,
    /// The DNS domain of the cluster.
    pub cluster_domain: String,
    /// The namespace of the operator, which asks the admin ports.
    pub operator_namespace: String,
}

impl Plan {
    /// The name of the proxy and of most of its children.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The image of the pods.
    pub fn image(&self) -> &str {
        self.workload.image.as_deref().unwrap_or(&self.site.image)
    }

    /// The addresses under which clients inside the cluster reach the proxy, the preferred one first: without a port
    /// where it is the scheme's own, and with it.
    pub fn bases(&self) -> Vec<String> {
        let (name, namespace, domain) = (self.name(), &self.namespace, &self.site.cluster_domain);
        let (scheme, port) = (self.workload.scheme(), self.workload.service.port);
        let names = [
            format!("{name}.{namespace}.svc.{domain}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}"),
            name.to_owned(),
        ];
        let port = if port == self.default_port() { String::new() } else { format!(":{port}") };
        names.iter().map(|name| format!("{scheme}://{name}{port}")).collect()
    }

    /// The port that the scheme has when none is said.
    pub const fn default_port(&self) -> i32 {
        if self.workload.tls.is_some() { 443 } else { 80 }
    }
}
