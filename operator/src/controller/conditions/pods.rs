//! The pods of a proxy, sorted by what they are good for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Observed;
use crate::facts::Report;

/// The pods that are neither on their way out nor ended: of those that a node evicted the API keeps what they were.
#[derive(Debug)]
pub(super) struct Pods<'a> {
    /// All of them, by name.
    pub(super) all: BTreeMap<&'a str, &'a Value>,
    /// What the ready ones said, by name; `None`: nothing.
    pub(super) ready: BTreeMap<&'a str, Option<&'a Report>>,
    /// The ready ones whose first answer is still awaited.
    pub(super) unheard: BTreeSet<&'a str>,
    /// How many there should be.
    pub(super) wanted: i64,
}

impl<'a> Pods<'a> {
    pub(super) fn new(observed: &'a Observed<'_>) -> Self {
        let ended = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        let stays = |pod: &&&Value| pod["metadata"]["deletionTimestamp"].is_null() && !ended(pod);
        let name = |pod: &'a Value| (pod["metadata"]["name"].as_str().unwrap_or_default(), pod);
        let all: BTreeMap<_, _> = observed.pods.iter().filter(stays).map(|pod| name(pod)).collect();
        let ready =
            all.iter().filter(|(_, pod)| condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True"));
        let ready: BTreeMap<_, _> = ready.map(|(name, _)| (*name, observed.reports.get(*name))).collect();
        let awaited = |(name, report): (&&'a str, &Option<_>)| {
            (report.is_none() && observed.unheard.contains(*name)).then_some(*name)
        };
        let unheard = ready.iter().filter_map(awaited).collect();
        let applied = observed.deployment.and_then(|deployment| deployment["spec"]["replicas"].as_i64());
        let wanted = match &observed.accepted {
            Ok(plan) if !observed.suspend => i64::from(plan.workload.replicas),
            Ok(plan) => applied.unwrap_or_else(|| i64::from(plan.workload.replicas)),
            Err(_) => applied.unwrap_or(0),
        };
        Self { all, ready, unheard, wanted }
    }

    /// What was said, with the name of the pod.
    pub(super) fn reports(&self) -> impl Iterator<Item = (&'a str, &'a Report)> {
        self.ready.iter().filter_map(|(name, report)| report.map(|report| (*name, report)))
    }

    /// Ready pods that did not answer on their admin port.
    pub(super) fn silent(&self) -> impl Iterator<Item = &'a str> {
        let silent = |(name, report): &(&&'a str, &Option<_>)| report.is_none() && !self.unheard.contains(*name);
        self.ready.iter().filter(silent).map(|(name, _)| *name)
    }

    /// Why nothing is known, for a person.
    pub(super) fn why_unknown(&self) -> String {
        match (self.silent().next(), self.unheard.first()) {
            (Some(pod), _) => format!("the pod '{pod}' does not answer the operator on port 8081"),
            (None, Some(pod)) => format!("the pod '{pod}' has not answered yet"),
            _ if self.wanted == 0 => "no pod is wanted".to_owned(),
            _ => "no pod is ready".to_owned(),
        }
    }
}

/// The condition of a pod or Deployment.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}
