//! `ConfigurationLoaded`: whether the pods have taken over the file that the manifest and its class make.

use std::cell::LazyCell;

use super::Observed;
use super::pods::Pods;
use super::verdict::Verdict;
use crate::controller::build;
use crate::controller::plan::Plan;
use crate::facts::Report;

pub(super) fn verdict(plan: &Plan, observed: &Observed<'_>, pods: &Pods<'_>) -> Verdict {
    let generation = observed.generation;
    // A class changes the file, too, and no generation.
    let file = LazyCell::new(|| build::manifest_sha256(plan));
    let refused = |report: &Report| {
        let configuration = &report.configuration;
        !configuration.refused.is_empty()
            && match &configuration.refused_sha256 {
                Some(refused) => *refused == *file,
                None => configuration.refused_generation.is_none_or(|refused| refused == generation),
            }
    };
    if let Some((pod, report)) = pods.reports().find(|(_, report)| refused(report)) {
        let problems = report.configuration.refused.join("; ");
        let message = format!(
            "the pod '{pod}' refuses the ConfigMap '{}-manifest' and goes on with the one before: {problems}",
            plan.name()
        );
        return Verdict::fails("Rejected", message);
    }
    let has_loaded = |report: &Report| match &report.configuration.sha256 {
        Some(loaded) => *loaded == *file,
        None => report.proxies.first().is_some_and(|proxy| proxy.generation == Some(generation)),
    };
    let loaded = pods.reports().filter(|(_, report)| has_loaded(report)).count();
    let enough = usize::try_from(pods.wanted).is_ok_and(|wanted| loaded >= wanted);
    if pods.wanted > 0 && loaded == pods.ready.len() && enough {
        return Verdict::holds("Loaded", "every pod has loaded the manifest");
    }
    let message = match (pods.silent().next(), pods.ready.len()) {
        (Some(pod), _) => format!(
            "the pod '{pod}' does not answer the operator on port 8081: check the NetworkPolicies of the namespace"
        ),
        (None, _) if !pods.unheard.is_empty() => pods.why_unknown(),
        (None, 0) => pods.why_unknown(),
        (None, ready) if loaded < ready => {
            "the manifest is on its way to the pods, which takes up to 90 seconds".to_owned()
        }
        (None, _) => "not every wanted pod is ready".to_owned(),
    };
    Verdict::unknown("Propagating", message)
}

pub(super) fn unknown() -> Verdict {
    Verdict::unknown("Propagating", "no manifest was given to pods yet")
}
