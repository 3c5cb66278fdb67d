//! `CredentialsResolved`: Secrets and trust bundles, as the proxies find them. The operator itself reads no Secret.

use std::collections::BTreeSet;

use super::pods::Pods;
use super::verdict::Verdict;
use crate::controller::build;
use crate::controller::plan::Plan;
use crate::facts::{CredentialReport, Report};

pub(super) fn verdict(plan: &Plan, pods: &Pods<'_>) -> Verdict {
    if !build::reads_secrets(plan) {
        return Verdict::holds("NotRequired", "the manifest names no Secret and no trust bundle");
    }
    let references = pods.reports().flat_map(|(_, report)| references(report));
    let mut missing: Vec<&CredentialReport> = references.filter(|reference| !reference.resolved).collect();
    missing.sort_by_key(|reference| (&reference.secret, &reference.key));
    if let Some(first) = missing.first() {
        let sentences: BTreeSet<String> = missing.iter().map(|reference| sentence(plan, reference)).collect();
        return Verdict::fails(reason(first), sentences.into_iter().collect::<Vec<_>>().join("; "));
    }
    if pods.ready.is_empty() || pods.ready.values().any(Option::is_none) {
        return Verdict::unknown("NotReported", pods.why_unknown());
    }
    Verdict::holds("Resolved", "every Secret and trust bundle that the manifest names is there")
}

pub(super) fn unknown() -> Verdict {
    Verdict::unknown("NotReported", "nothing is known of Secrets yet")
}

fn references(report: &Report) -> &[CredentialReport] {
    report.proxies.first().map_or(&[], |proxy| &proxy.credentials.references)
}

fn reason(reference: &CredentialReport) -> &'static str {
    match reference.reason.as_deref() {
        Some("SecretNotFound") => "SecretNotFound",
        Some("KeyMissing") => "KeyMissing",
        Some("KeyEmpty") => "KeyEmpty",
        _ => "SecretUnreadable",
    }
}

fn sentence(plan: &Plan, reference: &CredentialReport) -> String {
    let object = build::secret_object(plan, &reference.secret);
    let key = reference.key.as_deref().unwrap_or_default();
    match reason(reference) {
        "SecretNotFound" => format!("the {object} does not exist: create it in the namespace '{}'", plan.namespace),
        "KeyMissing" => format!("the {object} has no key '{key}': add it"),
        "KeyEmpty" => format!("the key '{key}' of the {object} is empty: give it a value"),
        _ => {
            let problem = reference.problem.as_deref().unwrap_or("its content is of no use");
            format!("the {object} cannot be used: {problem}")
        }
    }
}
