//! What came of a look, written down: the status if it says something new, and events at transitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crds::PackageProxyStatus;
use crds::status::{Condition, ConditionStatus, PackageProxyClassStatus};
use crds::workload::Storage;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, Patch, PatchParams};
use serde::{Deserialize as _, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::apply::FIELD_MANAGER;
use super::class;
use super::conditions::{self, Observed, RefusalReason};
use super::context::{Context, Unwritable, Written};
use super::reconcile::{Looked, ReconcileError};
use crate::events::Note;
use crate::kinds::ChildKind;
use crate::store::{Key, Kind};
use crate::watches::api;

/// Numbers of the cache are written no more often than this.
const CACHE_PERIOD: Duration = Duration::from_mins(5);
/// A status that the API server refused is tried again no earlier, unless its object changes.
const REFUSED_PERIOD: Duration = Duration::from_mins(5);
/// So long after a write the watch may not have brought it yet.
const WATCH_LAG: Duration = Duration::from_secs(5);

/// Now, in whole seconds as the API server writes times.
fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

impl Context {
    /// Writes status and events of a proxy; whether its pods are to be asked more often.
    pub(super) async fn report(&self, key: &Key, proxy: &Arc<Value>, looked: Looked) -> Result<bool, ReconcileError> {
        let uid = proxy["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let stored = PackageProxyStatus::deserialize(&proxy["status"]).unwrap_or_default();
        let (written, cache_due) = self.with_memory(key, |memory| {
            let cache_due = memory.cache_written.is_none_or(|time| time.elapsed() >= CACHE_PERIOD);
            (memory.written.clone().filter(|written| written.uid == uid), cache_due)
        });
        let lagging = written.as_ref().is_some_and(|written| written.at.elapsed() < WATCH_LAG);
        let is_as_kept = written.as_ref().is_none_or(|written| written.kept == stored);
        let previous = written.map_or_else(|| stored.clone(), |written| written.status);
        // That something is kept at all is news at once.
        let is_empty = previous.cache.as_ref().is_none_or(|cache| cache.used.as_deref().is_none_or(|used| used == "0"));
        let next = self.next_status(key, proxy, &looked, &previous, cache_due || is_empty).await?;
        // Somebody else may have changed it, too.
        let generation = proxy["metadata"]["generation"].as_i64();
        let is_refused = |refused: &Unwritable| {
            (&refused.uid, refused.generation) == (&uid, generation) && refused.at.elapsed() < REFUSED_PERIOD
        };
        if self.with_memory(key, |memory| memory.unwritable.as_ref().is_some_and(is_refused)) {
            return Ok(false);
        }
        if next != previous || (!is_as_kept && !lagging) {
            let kept = match self.write_status(Kind::Proxy, key, proxy, &next).await {
                Err(ReconcileError::Unwritable(message)) => {
                    let refused = Unwritable { uid, generation, message, at: Instant::now() };
                    self.tell_unwritable(key, refused).await;
                    return Ok(false);
                }
                kept => kept?,
            };
            let kept =
                kept.map_or_else(|| next.clone(), |kept| PackageProxyStatus::deserialize(kept).unwrap_or_default());
            for note in conditions::events(&previous, &next) {
                self.events.publish(key, &uid, note).await;
            }
            self.with_memory(key, |memory| {
                if next.cache != previous.cache {
                    memory.cache_written = Some(Instant::now());
                }
                memory.written = Some(Written { uid, status: next.clone(), kept, at: Instant::now() });
            });
        }
        let ready = next.conditions.iter().find(|condition| condition.kind == conditions::kind::READY);
        let waits = ready.is_some_and(|ready| ready.status == ConditionStatus::Unknown)
            || self.store(Kind::Pod).of_proxy(key).iter().any(|pod| self.poll.is_awaited(pod));
        Ok(looked.plan.is_ok() && waits)
    }

    /// Says by an event what the object cannot say itself: a value that the definition gives another type keeps the API
    /// server from any write but a correction.
    async fn tell_unwritable(&self, key: &Key, refused: Unwritable) {
        let (uid, message) = (refused.uid.clone(), refused.message.clone());
        let told = self.with_memory(key, |memory| memory.unwritable.replace(refused));
        if told.is_some_and(|told| told.message == message) {
            return;
        }
        let note = format!(
            "the API server takes no status of this object, which its definition does not allow any more: correct it with \
             `kubectl edit` or `kubectl replace`: {message}"
        );
        let reason = RefusalReason::InvalidConfiguration.name().to_owned();
        self.events.publish(key, &uid, Note { warning: true, reason, action: "Report".to_owned(), note }).await;
    }

    async fn next_status(
        &self,
        key: &Key,
        proxy: &Value,
        looked: &Looked,
        previous: &PackageProxyStatus,
        cache_due: bool,
    ) -> Result<PackageProxyStatus, ReconcileError> {
        let known = |kind| self.store(Kind::Child(kind)).get(key, &key.name);
        let (deployment, claim) = (known(ChildKind::Deployment), known(ChildKind::PersistentVolumeClaim));
        let foreign = self.foreign_claim(looked).await?;
        let fresh = |kind| looked.fresh.get(&kind);
        let pods = self.store(Kind::Pod).of_proxy(key);
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let reports: BTreeMap<_, _> = pods.iter().filter_map(|pod| Some((name(pod), self.poll.report(pod)?))).collect();
        let unheard = pods.iter().filter(|pod| self.poll.is_awaited(pod)).map(|pod| name(pod)).collect();
        let observed = Observed {
            generation: proxy["metadata"]["generation"].as_i64().unwrap_or_default(),
            accepted: looked.plan.as_ref().map_err(Clone::clone),
            suspend: proxy["spec"]["suspend"].as_bool().unwrap_or_default(),
            class_name: looked
                .chosen
                .as_ref()
                .map_or_else(|| previous.class_name.clone(), |chosen| chosen.name.clone()),
            applied: looked.applied.clone(),
            deployment: fresh(ChildKind::Deployment).or(deployment.as_deref()),
            claim: foreign.as_ref().or(fresh(ChildKind::PersistentVolumeClaim)).or(claim.as_deref()),
            pods: pods.iter().map(AsRef::as_ref).collect(),
            reports,
            unheard,
            client_config: looked.client_config.clone(),
            cache_due,
        };
        Ok(conditions::status(previous, &observed, Timestamp::now()))
    }

    /// The claim that the manifest names and somebody else made: no watch sees it.
    async fn foreign_claim(&self, looked: &Looked) -> Result<Option<Value>, ReconcileError> {
        let Ok(plan) = &looked.plan else { return Ok(None) };
        let Storage::ExistingClaim { name } = &plan.workload.storage else { return Ok(None) };
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &plan.namespace);
        match api.get_opt(name).await {
            Ok(claim) => Ok(claim.and_then(|claim| serde_json::to_value(claim).ok())),
            Err(source) => Err(ReconcileError::Read { what: format!("the claim '{name}'"), source }),
        }
    }

    /// Says on a class whether it can be used.
    pub(super) async fn report_class(&self, key: &Key) -> Result<(), ReconcileError> {
        let Some(class) = self.classes().and_then(|classes| classes.own(key)) else { return Ok(()) };
        let generation = class["metadata"]["generation"].as_i64();
        let previous = PackageProxyClassStatus::deserialize(&class["status"]).unwrap_or_default();
        let (status, reason, message) = match class::read(&class) {
            Ok(_) => (ConditionStatus::True, "Accepted", "the class can be used".to_owned()),
            Err(problem) => (ConditionStatus::False, "InvalidConfiguration", problem),
        };
        let before = previous.conditions.iter().find(|condition| condition.kind == conditions::kind::ACCEPTED);
        let unchanged =
            before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
        let next = PackageProxyClassStatus {
            observed_generation: generation,
            conditions: vec![Condition {
                kind: conditions::kind::ACCEPTED.to_owned(),
                status,
                observed_generation: generation,
                last_transition_time: unchanged.unwrap_or_else(now),
                reason: reason.to_owned(),
                message,
            }],
        };
        if next == previous {
            return Ok(());
        }
        self.write_status(Kind::Class, key, &class, &next).await.map(|_| ())
    }

    /// Replaces the whole status of an object; what the API server keeps of it. One that is gone needs
    /// none.
    async fn write_status(
        &self,
        kind: Kind,
        key: &Key,
        live: &Value,
        status: &impl Serialize,
    ) -> Result<Option<Value>, ReconcileError> {
        let resource = kind.resource();
        let object = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": key.name, "uid": live["metadata"]["uid"]},
            "status": status,
        });
        let namespace = (!key.namespace.is_empty()).then_some(key.namespace.as_str());
        let api = api(&self.client, kind, namespace);
        let mut answer =
            api.patch_status(&key.name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await;
        if matches!(&answer, Err(kube::Error::Api(status)) if is_untypable(status)) {
            let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            answer = api.patch_status(&key.name, &parameters, &Patch::Merge(replacement(object, live))).await;
        }
        match answer {
            Ok(object) => Ok(object.into_value().get_mut("status").map(Value::take)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            // Another object of the name has come; the watch will say so.
            Err(kube::Error::Api(status)) if status.code == 409 && status.message.contains("uid") => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 422 || is_untypable(&status) => {
                Err(ReconcileError::Unwritable(status.message.clone()))
            }
            Err(error) => Err(ReconcileError::Status(error)),
        }
    }
}

/// Server-side apply refuses an object that the installed definition does not describe, be it what is sent or what is
/// there: a definition that was tightened after the object came, or that is older than this program.
fn is_untypable(status: &kube::core::Status) -> bool {
    status.code == 500 && status.message.contains("failed to create typed")
}

/// The same by a patch that knows no types: what is not said any more has to be taken away by name.
fn replacement(mut object: Value, live: &Value) -> Value {
    if let Some(status) = object["status"].as_object_mut() {
        for name in live["status"].as_object().into_iter().flat_map(|status| status.keys()) {
            status.entry(name.clone()).or_insert(Value::Null);
        }
    }
    object
}
