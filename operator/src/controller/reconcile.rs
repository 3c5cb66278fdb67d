//! One look at one proxy: the straight line from what is wanted and what there is to what is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crds::values::ByteSize;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::Api;
use serde_json::Value;

use super::apply::ApplyError;
use super::build::OWNER_LABEL;
use super::children::{Children, REFUSED_WAIT};
use super::class::{self, Chosen};
use super::conditions::{Applied, ApplyFailure, ClientConfig, Refusal, RefusalReason};
use super::context::{Context, Resolved};
use super::plan::Plan;
use super::resolve;
use crate::kinds::ChildKind;
use crate::store::{Key, Kind};
use crate::watches::chain;

/// Failures in a row after which they are said in the status.
const LASTING: u32 = 3;
/// How often the certificate authority for clients is read.
const CA_PERIOD: Duration = Duration::from_mins(1);

/// Why a look did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    /// A child could not be looked at or applied for now.
    #[error("the objects could not be applied")]
    Apply(#[from] ApplyError),
    /// Something that is referred to could not be read for now.
    #[error("{what} could not be read")]
    Read {
        /// What.
        what: String,
        /// Cause.
        source: kube::Error,
    },
    /// What the watch last brought of the proxy is not what there is: it must catch up before anything is made or
    /// deleted.
    #[error("the watch lags behind")]
    Lagging,
    /// The API server takes no status of the object as it is.
    #[error("the API server takes no status of this object: {0}")]
    Unwritable(String),
    /// The status could not be written for now.
    #[error("the status could not be written")]
    Status(#[source] kube::Error),
}

impl ReconcileError {
    /// The label of the metric.
    pub(super) const fn class(&self) -> &'static str {
        match self {
            Self::Apply(_) => "apply",
            Self::Read { .. } => "read",
            Self::Lagging => "lagging",
            Self::Unwritable(_) | Self::Status(_) => "status",
        }
    }
}

/// What came of the steps before the status.
#[derive(Debug)]
pub(super) struct Looked {
    /// The class in use.
    pub(super) chosen: Option<Chosen>,
    /// What is wanted, or why it cannot be had.
    pub(super) plan: Result<Plan, Refusal>,
    /// How far the children are.
    pub(super) applied: Applied,
    /// How far the ConfigMaps for clients are.
    pub(super) client_config: ClientConfig,
    /// Deployment and claim as they were written just now: the watch may not have brought them yet.
    pub(super) fresh: BTreeMap<ChildKind, Value>,
    /// When to look again; `None`: at the usual time.
    pub(super) again: Option<Duration>,
}

impl Looked {
    /// Nothing was touched.
    fn refused(chosen: Option<Chosen>, reason: RefusalReason, message: String) -> Self {
        Self::untouched(chosen, Err(Refusal { reason, message }))
    }

    fn untouched(chosen: Option<Chosen>, plan: Result<Plan, Refusal>) -> Self {
        let (applied, client_config) = (Applied::NotYet, ClientConfig::Pending);
        Self { chosen, plan, applied, client_config, fresh: BTreeMap::new(), again: None }
    }
}

impl Context {
    /// Looks at one proxy (or class); when to look again: `None` never, `Some(None)` at the usual time.
    pub(super) async fn reconcile(&self, key: &Key) -> Result<Option<Option<Duration>>, ReconcileError> {
        if key.namespace.is_empty() {
            return self.report_class(key).await.map(|()| None);
        }
        let Some(proxy) = self.store(Kind::Proxy).own(key) else {
            self.forget(key);
            return Ok(None);
        };
        // Its children have owners: the garbage collector needs no help.
        if proxy["metadata"].get("deletionTimestamp").is_some_and(|time| !time.is_null()) {
            return Ok(None);
        }
        let result = match self.steps(key, &proxy).await {
            Err(ReconcileError::Apply(ApplyError::NamespaceTerminating)) => return Ok(None),
            other => other?,
        };
        let again = result.again;
        let hurry = self.report(key, &proxy, result).await?;
        self.poll.hurry(key, hurry);
        Ok(Some(again))
    }

    /// All steps before the status.
    async fn steps(&self, key: &Key, proxy: &Arc<Value>) -> Result<Looked, ReconcileError> {
        let chosen = match class::choose(proxy, self.classes(), &self.built_in) {
            Ok(chosen) => chosen,
            Err(error) => {
                let reason = match error {
                    class::ClassError::Invalid { .. } => RefusalReason::InvalidConfiguration,
                    _ => RefusalReason::ClassNotFound,
                };
                return Ok(Looked::refused(None, reason, error.to_string()));
            }
        };
        let owner_label = self.owner_label(key, proxy).await?;
        let mut plan = match self.plan(key, proxy, &chosen, owner_label) {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Looked::untouched(Some(chosen), Err(refusal))),
        };
        plan.claim_size = self.claim_size(key);
        plan.ca = self.ca(&plan).await?;
        if plan.workload.suspend {
            return Ok(Looked::untouched(Some(chosen), Ok(plan)));
        }
        let children = match self.apply_all(key, proxy, &plan).await {
            // What lasts is said, although trying again is all that can be done about it.
            Err(ReconcileError::Apply(error @ ApplyError::Unavailable { .. })) if self.failures(key) >= LASTING => {
                let failed = Applied::Failed { reason: ApplyFailure::ApplyFailed, message: said(&error) };
                Children { conflict: None, applied: failed, fresh: BTreeMap::new(), again: Some(REFUSED_WAIT) }
            }
            other => other?,
        };
        let Children { conflict, applied, fresh, again } = children;
        if let Some(message) = conflict {
            let mut looked = Looked::refused(Some(chosen), RefusalReason::NameConflict, message);
            looked.again = again;
            return Ok(looked);
        }
        let client_config = client_config(&plan, &applied);
        // No watch sees the ConfigMap with the authority of clients, which is not ours.
        let reads_ca = plan.workload.tls.as_ref().is_some_and(|tls| tls.ca.is_some());
        let again = if reads_ca { Some(again.map_or(CA_PERIOD, |again| again.min(CA_PERIOD))) } else { again };
        Ok(Looked { chosen: Some(chosen), plan: Ok(plan), applied, client_config, fresh, again })
    }

    /// What is wanted, resolved anew only if something that it follows from has changed: of most looks a child is the cause.
    fn plan(
        &self,
        key: &Key,
        proxy: &Arc<Value>,
        chosen: &Chosen,
        owner_label: Option<String>,
    ) -> Result<Plan, Refusal> {
        let known = self.with_memory(key, |memory| memory.resolved.take());
        let resolved = match known {
            Some(known) if known.is_of(proxy, &chosen.spec, owner_label.as_deref()) => known,
            _ => {
                let plan = resolve::plan(proxy, &chosen.spec, owner_label.as_deref(), &self.site)
                    .map_err(|problems| Refusal::of(&problems))?;
                let (spec, class) = (proxy["spec"].clone(), Arc::clone(&chosen.spec));
                Resolved { spec, class, owner_label, plan }
            }
        };
        let plan = resolved.plan.clone();
        self.with_memory(key, |memory| memory.resolved = Some(resolved));
        Ok(plan)
    }

    /// The owner that the namespace is labelled with, where the manifest names one that is not the namespace itself.
    async fn owner_label(&self, key: &Key, proxy: &Value) -> Result<Option<String>, ReconcileError> {
        let Some(named) = proxy["spec"]["owner"].as_str().filter(|named| *named != key.namespace) else {
            return Ok(None);
        };
        let api: Api<Namespace> = Api::all(self.client.clone());
        match api.get_metadata_opt(&key.namespace).await {
            Ok(found) => Ok(found.and_then(|found| found.metadata.labels?.get(OWNER_LABEL).cloned())),
            // Without the right to look, only the class can grant an owner.
            Err(kube::Error::Api(status)) if status.code == 403 => {
                tracing::debug!(proxy = %key, owner = named, "the label of the namespace may not be read");
                Ok(None)
            }
            Err(source) => Err(ReconcileError::Read { what: format!("the namespace '{}'", key.namespace), source }),
        }
    }

    /// Bytes of the claim as it is.
    fn claim_size(&self, key: &Key) -> Option<u64> {
        let claim = self.store(Kind::Child(ChildKind::PersistentVolumeClaim)).get(key, &key.name)?;
        let asked = claim["spec"]["resources"]["requests"]["storage"].as_str()?;
        asked.parse::<ByteSize>().ok().map(|ByteSize(bytes)| bytes)
    }

    /// The certificate authority for clients.
    async fn ca(&self, plan: &Plan) -> Result<Option<String>, ReconcileError> {
        let Some(reference) = plan.workload.tls.as_ref().and_then(|tls| tls.ca.as_ref()) else { return Ok(None) };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &plan.namespace);
        match api.get_opt(&reference.name).await {
            Ok(found) => Ok(found.and_then(|found| found.data?.get(&reference.key).cloned())),
            Err(source) => Err(ReconcileError::Read { what: format!("the ConfigMap '{}'", reference.name), source }),
        }
    }
}

/// An error in the words of the API server, where it is one of its own.
fn said(error: &ApplyError) -> String {
    match error {
        ApplyError::Unavailable { kind, name, source: kube::Error::Api(status) } => {
            format!("{kind} '{name}' could not be applied: {}", status.message)
        }
        other => chain(other),
    }
}

/// How far the ConfigMaps for clients are: they come before what may fail later.
fn client_config(plan: &Plan, applied: &Applied) -> ClientConfig {
    let authority = plan.workload.tls.as_ref().and_then(|tls| tls.ca.as_ref());
    match (authority, applied) {
        (Some(reference), _) if plan.ca.is_none() => ClientConfig::Failed {
            message: format!(
                "the ConfigMap '{}' has no key '{}' with the certificate authority for clients; create it",
                reference.name, reference.key
            ),
        },
        (_, Applied::Applied | Applied::RolloutPending { .. }) => ClientConfig::Published,
        (_, Applied::Failed { message, .. }) if message.starts_with("ConfigMap") => {
            ClientConfig::Failed { message: message.clone() }
        }
        _ => ClientConfig::Pending,
    }
}
