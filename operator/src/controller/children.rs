//! The children of one proxy: looked at, applied, pruned, in an order in which nothing is missing and nothing of somebody
//! else is touched.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::workload::Storage;
use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};

use super::apply::{self, ApplyError, Outcome, Owner, Wanted};
use super::build::{self, TEMPLATE_HASH};
use super::conditions::{Applied, ApplyFailure};
use super::contest::WINDOW;
use super::context::Context;
use super::plan::Plan;
use super::reconcile::ReconcileError;
use super::release;
use crate::events::Note;
use crate::kinds::ChildKind;
use crate::store::{Key, Kind};
use crate::watches::api;

/// The generation of the `PackageProxy` that a Deployment was applied for: a template that changes although this did
/// not is the doing of operator or class.
const GENERATION: &str = "packageproxy.dev/generation";
/// How soon it is looked again for what is about to change without a watch telling so.
const SOON: Duration = Duration::from_secs(2);
/// How soon a rollout that must wait is tried again.
const ROLLOUT_WAIT: Duration = Duration::from_secs(5);
/// How soon something that a person or an administrator has to allow is tried again.
pub(super) const REFUSED_WAIT: Duration = Duration::from_secs(30);
/// How soon it is looked again whether a foreign object of the name is gone: no watch sees it.
const CONFLICT_WAIT: Duration = Duration::from_secs(10);

/// What came of the children.
#[derive(Debug)]
pub(super) struct Children {
    /// The object of somebody else that has one of the names: nothing was touched.
    pub(super) conflict: Option<String>,
    /// How far they are.
    pub(super) applied: Applied,
    /// Deployment and claim as they were written just now.
    pub(super) fresh: BTreeMap<ChildKind, Value>,
    /// When to look again; `None`: at the usual time.
    pub(super) again: Option<Duration>,
}

impl Context {
    /// Looks at every child first, so that a name that is taken stops everything; then applies, then prunes.
    pub(super) async fn apply_all(&self, key: &Key, proxy: &Value, plan: &Plan) -> Result<Children, ReconcileError> {
        let children = self.with_memory(key, |memory| memory.children.clone());
        let owner = Owner { proxy: key.clone(), uid: plan.uid.clone(), children };
        let mut fresh = BTreeMap::new();
        let mut children = build::build(plan);
        for child in children.iter_mut().filter(|child| child.kind == ChildKind::Deployment) {
            child.object["metadata"]["annotations"][GENERATION] =
                json!(plan.settings.generation.unwrap_or_default().to_string());
        }
        let looks = children.into_iter().map(|child| {
            let known = self.store(Kind::Child(child.kind)).get(key, &child.name);
            apply::look(&self.client, &owner, child, known)
        });
        let wanted = match try_join_all(looks).await {
            Ok(wanted) => wanted,
            Err(error) => return unless_transient(error, fresh),
        };
        // A proxy that was deleted while its watch is silent must not get its children back.
        let is_first = proxy["status"]["observedGeneration"].is_null();
        if !is_first && wanted.iter().any(Wanted::is_absent) {
            self.must_be_current(key, plan).await?;
        }
        let uids = wanted.iter().filter_map(Wanted::uid).map(ToOwned::to_owned).collect();
        self.with_memory(key, |memory| memory.children = uids);
        let mut again = None;
        let mut applied = Applied::Applied;
        let mut outcomes = Vec::new();
        // What a pod mounts comes before the pod; among themselves the others have no order.
        let (pods, others): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|wanted| wanted.child().kind == ChildKind::Deployment);
        let write = |wanted| apply::apply(&self.client, &owner, wanted, &self.contests, &self.metrics);
        let written = join_all(others.iter().map(|wanted| write(wanted))).await;
        outcomes.extend(others.into_iter().zip(written));
        for wanted in pods {
            if outcomes.iter().any(|(_, outcome)| outcome.is_err()) {
                break;
            }
            if let Some(message) = self.must_wait(key, plan, wanted) {
                applied = Applied::RolloutPending { message };
                again = Some(ROLLOUT_WAIT);
                continue;
            }
            outcomes.push((wanted, write(wanted).await));
        }
        for (wanted, outcome) in outcomes {
            match outcome {
                Ok(Outcome::Unchanged) => {}
                Ok(Outcome::Applied(object)) => fresh.extend(object.map(|object| (wanted.child().kind, *object))),
                Ok(Outcome::Terminating) => {
                    again = Some(SOON);
                    // Of a claim its own condition tells.
                    if wanted.child().kind != ChildKind::PersistentVolumeClaim {
                        applied = Applied::NotYet;
                    }
                }
                Ok(Outcome::Contested { field, tell }) => {
                    again = Some(WINDOW);
                    let message = contested(wanted, &field);
                    if tell {
                        self.tell_contested(&owner, message.clone()).await;
                    }
                    applied = Applied::Failed { reason: ApplyFailure::ApplyFailed, message };
                }
                Err(error) => {
                    self.rollouts.release(key);
                    return unless_transient(error, fresh);
                }
            }
        }
        // What is not wanted any more may still be in use by pods that have yet to go.
        if applied == Applied::Applied
            && again.is_none()
            && let Err(error) = self.prune(key, &owner, plan, &wanted).await?
        {
            return unless_transient(error, fresh);
        }
        Ok(Children { conflict: None, applied, fresh, again })
    }

    /// An error unless the proxy is what the watch last brought.
    async fn must_be_current(&self, key: &Key, plan: &Plan) -> Result<(), ReconcileError> {
        let found = api(&self.client, Kind::Proxy, Some(&key.namespace)).get_metadata_opt(&key.name).await;
        let found =
            found.map_err(|source| ReconcileError::Read { what: format!("the PackageProxy '{key}'"), source })?;
        let is_current = found.is_some_and(|found| {
            found.metadata.uid.as_deref() == Some(plan.uid.as_str())
                && found.metadata.generation == plan.settings.generation
                && found.metadata.deletion_timestamp.is_none()
        });
        if is_current { Ok(()) } else { Err(ReconcileError::Lagging) }
    }

    /// Deletes what is not wanted any more.
    async fn prune(
        &self,
        key: &Key,
        owner: &Owner,
        plan: &Plan,
        wanted: &[Wanted],
    ) -> Result<Result<(), ApplyError>, ReconcileError> {
        // A claim of ours may have become the one that the manifest names as somebody else's: it is let go of.
        let in_use = match &plan.workload.storage {
            Storage::ExistingClaim { name } => Some(name.as_str()),
            _ => None,
        };
        let mut unwanted = Vec::new();
        for kind in ChildKind::ALL {
            for object in self.store(Kind::Child(kind)).of_proxy(key) {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let is_wanted = wanted.iter().any(|wanted| wanted.child().kind == kind && wanted.child().name == name);
                let is_in_use = kind == ChildKind::PersistentVolumeClaim && in_use == Some(name);
                if !is_wanted && !is_in_use && release::may_prune(owner, &object) {
                    unwanted.push((kind, object));
                }
            }
        }
        if !unwanted.is_empty() {
            self.must_be_current(key, plan).await?;
        }
        if let Some(claim) =
            in_use.and_then(|name| self.store(Kind::Child(ChildKind::PersistentVolumeClaim)).get(key, name))
            && release::may_prune(owner, &claim)
            && let Err(error) = release::disown(&self.client, owner, ChildKind::PersistentVolumeClaim, &claim).await
        {
            return Ok(Err(error));
        }
        for (kind, object) in unwanted {
            if let Err(error) = release::prune(&self.client, owner, kind, &object).await {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Why a Deployment may not be rolled out now although it differs; only if its owner did not ask for it.
    fn must_wait(&self, key: &Key, plan: &Plan, wanted: &Wanted) -> Option<String> {
        let child = wanted.child();
        let live = wanted.live().filter(|_| child.kind == ChildKind::Deployment)?;
        let annotation = |object: &Value, name: &str| object["metadata"]["annotations"][name].clone();
        let same = |name: &str| annotation(live, name) == annotation(&child.object, name);
        if same(TEMPLATE_HASH) || !same(GENERATION) || live["spec"]["replicas"] == 0 {
            return None;
        }
        if matches!(plan.workload.storage, Storage::Ephemeral { .. })
            && let Some(reason) = self.upstream_trouble(key)
        {
            return Some(format!(
                "the rollout of a changed image or class waits: the upstream is not reachable ({reason}), and a new pod \
                 would begin with an empty cache"
            ));
        }
        let template = annotation(&child.object, TEMPLATE_HASH);
        let deployments = self.store(Kind::Child(ChildKind::Deployment));
        if self.rollouts.take(key, template.as_str().unwrap_or_default(), &deployments) {
            return None;
        }
        Some("the rollout of a changed image or class waits for that of another proxy".to_owned())
    }

    /// Why the upstream cannot be reached, by what the pods say.
    fn upstream_trouble(&self, key: &Key) -> Option<String> {
        let pods = self.store(Kind::Pod).of_proxy(key);
        if pods.iter().any(|pod| self.poll.is_awaited(pod)) {
            return Some("its pods were not asked yet".to_owned());
        }
        let reports = pods.iter().filter_map(|pod| self.poll.report(pod));
        let reasons = reports.filter_map(|report| report.proxies.into_iter().next()?.upstream.reason);
        // What a rollout may mend (an authority, an account) must not keep it waiting.
        reasons.into_iter().find(|reason| matches!(reason.as_str(), "DNSFailure" | "ConnectFailed" | "UpstreamError"))
    }

    async fn tell_contested(&self, owner: &Owner, note: String) {
        let reason = "FieldContested".to_owned();
        let note = Note { warning: true, reason, action: "Apply".to_owned(), note };
        self.events.publish(&owner.proxy, &owner.uid, note).await;
    }
}

/// The message about an object that somebody else keeps changing.
fn contested(wanted: &Wanted, field: &str) -> String {
    let (kind, name) = (wanted.child().kind.kind(), &wanted.child().name);
    format!("{kind} '{name}': somebody else keeps changing {field}; it is left alone for a minute")
}

/// An error that a person can do something about is an outcome; one that may pass is tried again.
fn unless_transient(error: ApplyError, fresh: BTreeMap<ChildKind, Value>) -> Result<Children, ReconcileError> {
    let message = error.to_string();
    let (reason, again) = match error {
        ApplyError::NameConflict { .. } => {
            let again = Some(CONFLICT_WAIT);
            return Ok(Children { conflict: Some(message), applied: Applied::NotYet, fresh, again });
        }
        ApplyError::Refused { reason, .. } => (reason, REFUSED_WAIT),
        ApplyError::Leftover { .. } | ApplyError::Unlearned => {
            return Ok(Children { conflict: None, applied: Applied::NotYet, fresh, again: Some(SOON) });
        }
        ApplyError::NamespaceTerminating | ApplyError::Unavailable { .. } => return Err(error.into()),
    };
    Ok(Children { conflict: None, applied: Applied::Failed { reason, message }, fresh, again: Some(again) })
}
