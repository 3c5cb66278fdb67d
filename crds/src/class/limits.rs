//! Holds a merged manifest against the limits of its class.

use url::Url;

use super::{ClassLimits, ConsumersLimit, PackageProxyClassSpec};
use crate::problem::{Problem, ProblemKind, item};
use crate::spec::{ConsumersSpec, StorageType, UpstreamSpec};
use crate::values::{ByteSize, Cidr, HttpUrl};
use crate::workload::{Storage, Workload};
use crate::{PackageProxy, PackageProxySpec};

/// Every limit that `manifest`, merged with the class, exceeds. `owner_label` is the value of the label
/// `packageproxy.dev/owner` of its namespace.
pub fn check(manifest: &PackageProxy, class: &PackageProxyClassSpec, owner_label: Option<&str>) -> Vec<Problem> {
    let none = ClassLimits::default();
    let limits = class.limits.as_ref().unwrap_or(&none);
    let upstream = UpstreamSpec::default();
    let upstream = manifest.spec.upstream.as_ref().unwrap_or(&upstream);
    let workload = Workload::from_manifest(manifest, class);
    let mut problems = Vec::new();
    problems.extend(owner(manifest, limits, owner_label));
    problems.extend(ecosystem(&manifest.spec, limits));
    problems.extend(hosts(upstream, limits));
    problems.extend(account(upstream, limits));
    problems.extend(replicas(&workload, limits));
    problems.extend(storage(&manifest.spec, &workload, limits));
    problems.extend(service_type(&workload, limits));
    problems.extend(consumers(&workload, limits));
    problems
}

fn violation(path: &str, message: String, remedy: impl Into<String>) -> Problem {
    Problem::invalid(path, message, remedy).of_kind(ProblemKind::ClassViolation)
}

/// The words of a list, as messages show them.
fn list<T: ToString>(words: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("'{}'", word.to_string())).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// Files are shared within an owner, so a namespace cannot choose freely whose it takes. Outside of a cluster there are
/// no namespaces and one owner is as good as another.
fn owner(manifest: &PackageProxy, limits: &ClassLimits, label: Option<&str>) -> Option<Problem> {
    let (owner, namespace) = (manifest.spec.owner.as_deref()?, manifest.metadata.namespace.as_deref()?);
    let granted = |owner: &str| {
        let of_owner = limits.owners.iter().filter(|grant| grant.owner == owner);
        of_owner.flat_map(|grant| &grant.namespaces).any(|known| known == namespace)
    };
    if owner == namespace || label == Some(owner) || granted(owner) {
        return None;
    }
    let message = format!("`owner` '{owner}' is not granted to the namespace '{namespace}'");
    let remedy = format!(
        "leave `owner` out, or have an administrator label the namespace packageproxy.dev/owner={owner} or add it to \
         `limits.owners` of the class"
    );
    Some(violation("spec.owner", message, remedy))
}

fn ecosystem(spec: &PackageProxySpec, limits: &ClassLimits) -> Option<Problem> {
    let allowed = limits.ecosystems.as_ref().filter(|allowed| !allowed.contains(&spec.ecosystem))?;
    let message =
        format!("`ecosystem` '{}' is not in the class's `limits.ecosystems`: {}", spec.ecosystem, list(allowed));
    Some(violation("spec.ecosystem", message, "use one of these, or another class"))
}

fn hosts(upstream: &UpstreamSpec, limits: &ClassLimits) -> Vec<Problem> {
    let Some(allowed) = &limits.upstream_hosts else { return Vec::new() };
    let own = upstream.url.as_ref().map(|HttpUrl(url)| ("spec.upstream.url".to_owned(), url));
    let fallback = |(index, url)| (format!("{}.url", item("spec.upstream.fallbacks", index)), url);
    let fallbacks = upstream.fallbacks.iter().map(|fallback| &fallback.url.0).enumerate().map(fallback);
    let refused = own.into_iter().chain(fallbacks).filter(|(_, url)| !allowed.iter().any(|host| covers(host, url)));
    let problem = |(path, url): (String, &Url)| {
        let host = url.host_str().unwrap_or_default();
        let message = format!("the host '{host}' is not in the class's `limits.upstreamHosts`: {}", list(allowed));
        let remedy = "use a registry that the class allows, or another class";
        Problem::invalid(path, message, remedy).of_kind(ProblemKind::UpstreamNotAllowed)
    };
    refused.map(problem).collect()
}

/// Whether an entry of `limits.upstreamHosts` covers an address: `host`, `host:port` or `*.domain`, which covers all
/// names below. An entry without port covers every port.
fn covers(entry: &str, url: &Url) -> bool {
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (entry, None),
    };
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let port_covered = port.is_none_or(|port| port.parse().ok() == url.port_or_known_default());
    let host_covered = match name.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => host == name,
    };
    port_covered && host_covered
}

fn account(upstream: &UpstreamSpec, limits: &ClassLimits) -> Vec<Problem> {
    let mut problems = Vec::new();
    if upstream.allow_plaintext_auth == Some(true) && limits.allow_plaintext_auth == Some(false) {
        let message = "`allowPlaintextAuth` is not allowed by the class's `limits.allowPlaintextAuth`".to_owned();
        problems.push(violation("spec.upstream.allowPlaintextAuth", message, "use an https address, or another class"));
    }
    if !upstream.allowed_cidrs.is_empty() && limits.allow_cidrs == Some(false) {
        let message = "`allowedCIDRs` are not allowed by the class's `limits.allowCIDRs`".to_owned();
        problems.push(violation("spec.upstream.allowedCIDRs", message, "remove them, or use another class"));
    }
    problems
}

fn replicas(workload: &Workload, limits: &ClassLimits) -> Option<Problem> {
    let most = limits.max_replicas.filter(|most| workload.replicas > *most)?;
    let message = format!("`replicas` {} is above the class's `limits.maxReplicas` {most}", workload.replicas);
    Some(violation("spec.replicas", message, format!("use at most {most}, or another class")))
}

fn storage(spec: &PackageProxySpec, workload: &Workload, limits: &ClassLimits) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (field, size) = match &workload.storage {
        Storage::Ephemeral { size_limit } => ("ephemeral.sizeLimit", *size_limit),
        Storage::Claim { size, .. } => ("persistentVolumeClaim.size", *size),
        // Whoever made it was allowed to.
        Storage::ExistingClaim { .. } => return problems,
    };
    if let Some(ByteSize(most)) = limits.max_storage.filter(|ByteSize(most)| size > *most) {
        let (size, most) = (ByteSize(size), ByteSize(most));
        let message = format!("`{field}` '{size}' is above the class's `limits.maxStorage` '{most}'");
        let remedy = format!("set {field} to at most {most}, or use another class");
        problems.push(violation(&format!("spec.cache.storage.{field}"), message, remedy));
    }
    let claim = spec.cache.as_ref().and_then(|cache| cache.storage.as_ref());
    let claim = claim.filter(|storage| storage.kind == StorageType::PersistentVolumeClaim);
    let named = claim.and_then(|storage| storage.persistent_volume_claim.as_ref()?.storage_class_name.as_ref());
    if let Some(allowed) = &limits.storage_class_names
        && claim.is_some()
        && !named.is_some_and(|name| allowed.contains(name))
    {
        let given = named.map_or_else(|| "is not set and".to_owned(), |name| format!("'{name}'"));
        let message = format!(
            "`storageClassName` {given} must be one of the class's `limits.storageClassNames`: {}",
            list(allowed)
        );
        let path = "spec.cache.storage.persistentVolumeClaim.storageClassName";
        problems.push(violation(path, message, "name one of these, or use another class"));
    }
    problems
}

fn service_type(workload: &Workload, limits: &ClassLimits) -> Option<Problem> {
    let kind = workload.service.kind;
    let allowed = limits.service_types.as_ref().filter(|allowed| !allowed.contains(&kind))?;
    let allowed = list(allowed.iter().map(|kind| kind.name()));
    let message = format!("the Service type '{}' is not in the class's `limits.serviceTypes`: {allowed}", kind.name());
    Some(violation("spec.service.type", message, "use one of these, or another class"))
}

/// A selector of every namespace is something else than one of some, and the network of every address than another one:
/// the class has to allow it.
fn consumers(workload: &Workload, limits: &ClassLimits) -> Vec<Problem> {
    let ConsumersSpec { namespace_selector, cidrs } = &workload.consumers;
    let allowed = limits.consumers.unwrap_or(ConsumersLimit::Selector);
    let wanted = |is_all: bool| if is_all { ConsumersLimit::All } else { ConsumersLimit::Selector };
    let selector = namespace_selector.as_ref().map(|selector| wanted(selector.is_empty()));
    let networks = cidrs.iter().map(|Cidr(network)| wanted(network.prefix_len() == 0)).max();
    let fields = [
        ("namespaceSelector", selector, "be empty", "name labels of the namespaces"),
        ("cidrs", networks, "hold every address", "name smaller networks"),
    ];
    let exceeding = fields.into_iter().filter(|(_, wanted, ..)| wanted.is_some_and(|wanted| wanted > allowed));
    let problem = |(field, _, must_not, remedy)| {
        let path = format!("spec.consumers.{field}");
        if allowed == ConsumersLimit::Same {
            let message = format!("`{field}` must be absent with `limits.consumers` 'Same' of the class");
            return violation(&path, message, "remove it: only pods of the same namespace may use the proxy");
        }
        let message = format!("`{field}` must not {must_not} with `limits.consumers` 'Selector' of the class");
        violation(&path, message, format!("{remedy}, or use a class with limits.consumers: All"))
    };
    exceeding.map(problem).collect()
}

#[cfg(test)]
mod tests;
