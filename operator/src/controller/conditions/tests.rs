//! Statuses case by case.

mod available;
mod events;
mod fields;
mod reported;
mod summary;
mod unheard;

use crds::PackageProxyStatus;
use crds::status::{Condition, ConditionStatus};
use serde_json::json;

use super::*;
use crate::controller::build::testing;
use crate::facts;

/// What a case says about itself: everything owned, so that it can be changed piece by piece.
#[derive(Clone)]
struct Case {
    plan: Plan,
    refusal: Option<Refusal>,
    suspend: bool,
    generation: i64,
    applied: Applied,
    deployment: Option<Value>,
    claim: Option<Value>,
    pods: Vec<Value>,
    reports: BTreeMap<String, Report>,
    unheard: BTreeSet<String>,
    client_config: ClientConfig,
    cache_due: bool,
}

impl Case {
    /// One pod that serves, has loaded generation 7 and reaches its upstream.
    fn good() -> Self {
        Self::with(json!({}))
    }

    fn with(spec: Value) -> Self {
        let plan = testing::plan(spec);
        let wanted = plan.workload.replicas;
        let names: Vec<String> = (0..wanted).map(|index| format!("left-{index}")).collect();
        Self {
            deployment: Some(deployment(wanted)),
            claim: None,
            pods: names.iter().map(|name| pod(name)).collect(),
            reports: names.iter().map(|name| (name.clone(), report())).collect(),
            unheard: BTreeSet::new(),
            plan,
            refusal: None,
            suspend: false,
            generation: 7,
            applied: Applied::Applied,
            client_config: ClientConfig::Published,
            cache_due: false,
        }
    }

    fn edit(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    fn after(&self, previous: &PackageProxyStatus, second: i64) -> PackageProxyStatus {
        let observed = Observed {
            generation: self.generation,
            accepted: self.refusal.clone().map_or(Ok(&self.plan), Err),
            suspend: self.suspend,
            class_name: Some("class".to_owned()),
            applied: self.applied.clone(),
            deployment: self.deployment.as_ref(),
            claim: self.claim.as_ref(),
            pods: self.pods.iter().collect(),
            reports: self.reports.clone(),
            unheard: self.unheard.clone(),
            client_config: self.client_config.clone(),
            cache_due: self.cache_due,
        };
        status(previous, &observed, Timestamp::from_second(second).unwrap())
    }

    fn first(&self) -> PackageProxyStatus {
        self.after(&PackageProxyStatus::default(), 1000)
    }

    fn report(&mut self, pod: &str) -> &mut Report {
        self.reports.get_mut(pod).unwrap()
    }
}

/// A Deployment whose rollout is complete.
fn deployment(replicas: i32) -> Value {
    json!({
        "metadata": {"generation": 3},
        "spec": {"replicas": replicas,
            "template": {"spec": {"containers": [{"image": "registry.example/proxy:1"}]}}},
        "status": {
            "observedGeneration": 3, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
            "availableReplicas": replicas,
            "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
        },
    })
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"image": "registry.example/proxy:1", "ready": true, "restartCount": 0, "state": {}}],
        },
    })
}

fn report() -> Report {
    let proxy = json!({"generation": 7, "upstream": {"reason": "Probed"}, "cache": {"hits": 30, "requests": 40}});
    let storage = json!({"bytes": 1_u64 << 30, "maxSize": 9_u64 << 30, "objects": 100});
    serde_json::from_value(json!({"proxies": [proxy], "storage": storage})).unwrap()
}

fn condition<'a>(status: &'a PackageProxyStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.kind == kind).unwrap()
}

fn said(status: &PackageProxyStatus, kind: &str) -> (ConditionStatus, String) {
    let condition = condition(status, kind);
    (condition.status, condition.reason.clone())
}

#[track_caller]
fn assert_says(status: &PackageProxyStatus, kind: &str, holds: ConditionStatus, reason: &str) {
    assert_eq!(said(status, kind), (holds, reason.to_owned()), "{:?}", condition(status, kind));
}

const TRUE: ConditionStatus = ConditionStatus::True;
const FALSE: ConditionStatus = ConditionStatus::False;
const UNKNOWN: ConditionStatus = ConditionStatus::Unknown;
