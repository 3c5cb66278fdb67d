//! Makes the cluster hold what was built: looks before it takes a name, writes only what differs, and says what stood
//! in the way.

use std::collections::HashSet;

use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::build::Child;
use super::conditions::ApplyFailure;
use super::contest::{Contests, Repair};
use super::difference;
use crate::kinds::ChildKind;
use crate::metrics::Metrics;
use crate::object::Object;
use crate::store::{Key, Kind, trim};
use crate::watches::api;

/// The name under which fields are owned.
pub const FIELD_MANAGER: &str = "packageproxy.dev/operator";
/// Identifies the intent that was applied last: a field that is not wanted any more differs in nothing else.
const INTENT_HASH: &str = "packageproxy.dev/intent-hash";

/// The kinds of which conditions tell: the others are not read again once they are written.
const REPORTED: [ChildKind; 2] = [ChildKind::Deployment, ChildKind::PersistentVolumeClaim];

/// What came of one child.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is as intended.
    Unchanged,
    /// It was written; as it is now, where conditions are made of that.
    Applied(Option<Box<Value>>),
    /// It is on its way out and will be made anew.
    Terminating,
    /// Somebody else writes the same fields again and again: it is left alone for a while.
    Contested {
        /// The place that differs.
        field: String,
        /// Whether that is to be said now.
        tell: bool,
    },
}

/// Why a child could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object of the name exists that is not ours.
    #[error(
        "{kind} '{name}' exists and belongs to {owner}; rename the PackageProxy, or delete the {kind} (if it was made by \
         this operator and lost its owner: put the ownerReference back)"
    )]
    NameConflict {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Whose it is.
        owner: String,
    },
    /// An object of a `PackageProxy` of the same name that is gone waits for the garbage collector.
    #[error("{kind} '{name}' of an earlier PackageProxy is still being removed")]
    Leftover {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The API server has yet to learn of our definitions, which were installed a moment ago.
    #[error("the API server does not know our kinds everywhere yet")]
    Unlearned,
    /// The namespace is being deleted: there is nothing to do any more.
    #[error("the namespace is being deleted")]
    NamespaceTerminating,
    /// The API server refuses the object.
    #[error("{kind} '{name}' was refused: {message}")]
    Refused {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// A reason of the condition `ResourcesApplied`.
        reason: ApplyFailure,
        /// The words of the API server.
        message: String,
    },
    /// The API server could not be asked; trying again may help.
    #[error("{kind} '{name}' could not be applied")]
    Unavailable {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Cause.
        source: kube::Error,
    },
}

/// Whose children are applied.
#[derive(Clone, Debug, Default)]
pub struct Owner {
    /// The proxy.
    pub proxy: Key,
    /// Its uid.
    pub uid: String,
    /// The uids of objects that were its children when they were looked at last: one whose owner was taken off by hand
    /// is still ours.
    pub children: HashSet<String>,
}

/// A child, and what there is of it.
#[derive(Debug)]
pub struct Wanted {
    child: Child,
    live: Live,
}

impl Wanted {
    /// The intent.
    pub const fn child(&self) -> &Child {
        &self.child
    }

    /// Whether there is no such object.
    pub const fn is_absent(&self) -> bool {
        matches!(self.live, Live::Absent)
    }

    /// The uid of what there is.
    pub fn uid(&self) -> Option<&str> {
        match &self.live {
            Live::Known(live) => live["metadata"]["uid"].as_str(),
            Live::Elsewhere(live) => live["metadata"]["uid"].as_str(),
            Live::Absent => None,
        }
    }

    /// The object as the watch has it.
    pub fn live(&self) -> Option<&Value> {
        match &self.live {
            Live::Known(live) => Some(live),
            Live::Absent | Live::Elsewhere(_) => None,
        }
    }
}

#[derive(Debug)]
enum Live {
    Absent,
    /// The watch has it.
    Known(std::sync::Arc<Value>),
    /// The watch does not have it (yet), but it exists: its metadata.
    Elsewhere(Box<Value>),
}

/// Finds out what there is of a child, and whether the name may be taken.
pub async fn look(
    client: &Client,
    owner: &Owner,
    mut child: Child,
    known: Option<std::sync::Arc<Value>>,
) -> Result<Wanted, ApplyError> {
    let hash = intent_hash(&child.object);
    child.object["metadata"]["annotations"][INTENT_HASH] = json!(hash);
    let live = if let Some(live) = known {
        Live::Known(live)
    } else {
        let api = api(client, Kind::Child(child.kind), Some(&owner.proxy.namespace));
        match api.get_metadata_opt(&child.name).await {
            Ok(None) => Live::Absent,
            Ok(Some(found)) => {
                let metadata = serde_json::to_value(found.metadata).unwrap_or_default();
                Live::Elsewhere(Box::new(trim(Kind::Child(child.kind), json!({ "metadata": metadata }))))
            }
            Err(error) => return Err(refusal(&child, error)),
        }
    };
    if let Live::Known(_) | Live::Elsewhere(_) = &live {
        let object = match &live {
            Live::Known(object) => object.as_ref(),
            Live::Elsewhere(object) => object,
            Live::Absent => &Value::Null,
        };
        may_take(owner, &child, object)?;
    }
    Ok(Wanted { child, live })
}

/// Writes a child if it differs.
pub async fn apply(
    client: &Client,
    owner: &Owner,
    wanted: &Wanted,
    contests: &Contests,
    metrics: &Metrics,
) -> Result<Outcome, ApplyError> {
    let Wanted { child, live } = wanted;
    let hash = &child.object["metadata"]["annotations"][INTENT_HASH];
    match live {
        Live::Absent => {}
        Live::Known(live) => {
            if is_terminating(live) {
                return Ok(Outcome::Terminating);
            }
            let difference = difference::first(&child.object, live);
            if let Some(field) = difference {
                // The same intent was applied before, so somebody else changed it since.
                if live["metadata"]["annotations"][INTENT_HASH] == *hash {
                    let repair = contests.repair(&owner.proxy, child);
                    if repair != Repair::Go {
                        metrics.applied(child.kind.kind(), "contested");
                        return Ok(Outcome::Contested { field, tell: repair == Repair::LeaveAndTell });
                    }
                }
                tracing::debug!(proxy = %owner.proxy, kind = child.kind.kind(), name = child.name, field, "differs");
            } else {
                return Ok(Outcome::Unchanged);
            }
        }
        // The watch will bring what was applied a moment ago.
        Live::Elsewhere(live) => {
            if is_terminating(live) {
                return Ok(Outcome::Terminating);
            }
            if difference::first(&json!({"metadata": child.object["metadata"]}), live).is_none() {
                return Ok(Outcome::Unchanged);
            }
        }
    }
    let api = api(client, Kind::Child(child.kind), Some(&owner.proxy.namespace));
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let mut intent = child.object.clone();
    if let Some(uid) = wanted.uid() {
        // An object that was deleted and made again by somebody else meanwhile is not taken: the API answers 409.
        intent["metadata"]["uid"] = json!(uid);
    }
    let request = Request::new(api.resource_url()).patch(&child.name, &parameters, &Patch::Apply(&intent));
    let answer = match request.map_err(kube::Error::BuildRequest) {
        Err(error) => Err(error),
        Ok(request) if REPORTED.contains(&child.kind) => client.request::<Object>(request).await.map(Some),
        Ok(request) => client.request::<IgnoredAny>(request).await.map(|_| None),
    };
    match answer {
        Ok(object) => {
            metrics.applied(child.kind.kind(), "applied");
            let object = object.map(|object| Box::new(trim(Kind::Child(child.kind), object.into_value())));
            Ok(Outcome::Applied(object))
        }
        Err(error) => {
            metrics.applied(child.kind.kind(), "failed");
            Err(refusal(child, error))
        }
    }
}

fn intent_hash(object: &Value) -> String {
    super::build::hash_of(&object.to_string(), 16)
}

pub(super) fn is_terminating(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some_and(|time| !time.is_null())
}

pub(super) fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|reference| reference["controller"] == true)
}

/// Whether an object that exists is this proxy's, or a claim that waits for it.
fn may_take(owner: &Owner, child: &Child, object: &Value) -> Result<(), ApplyError> {
    let (kind, name) = (child.kind.kind(), child.name.clone());
    if let Some(found) = controller(object) {
        if found["uid"] == owner.uid.as_str() {
            return Ok(());
        }
        if found["kind"] == crds::KIND && found["name"] == owner.proxy.name.as_str() {
            return Err(ApplyError::Leftover { kind, name });
        }
        let text = |field: &str| found[field].as_str().unwrap_or("?").to_owned();
        return Err(ApplyError::NameConflict { kind, name, owner: format!("{} '{}'", text("kind"), text("name")) });
    }
    let label = |key: &str| object["metadata"]["labels"][key].as_str();
    if object["metadata"]["uid"].as_str().is_some_and(|uid| owner.children.contains(uid)) {
        return Ok(());
    }
    let is_kept_claim = child.kind == ChildKind::PersistentVolumeClaim
        && label("app.kubernetes.io/managed-by") == Some("packageproxy-operator")
        && label("app.kubernetes.io/instance") == Some(&owner.proxy.name);
    if is_kept_claim {
        return Ok(());
    }
    Err(ApplyError::NameConflict { kind, name, owner: "somebody else".to_owned() })
}

/// What an error of the API server means.
pub(super) fn refusal(child: &Child, error: kube::Error) -> ApplyError {
    let (kind, name) = (child.kind.kind(), child.name.clone());
    let kube::Error::Api(status) = &error else { return ApplyError::Unavailable { kind, name, source: error } };
    let message = status.message.clone();
    let refused = |reason| ApplyError::Refused { kind, name: name.clone(), reason, message: message.clone() };
    match status.code {
        403 if message.contains("because it is being terminated") => ApplyError::NamespaceTerminating,
        404 if message.contains("namespaces") => ApplyError::NamespaceTerminating,
        403 if message.contains("cannot find RESTMapping") => ApplyError::Unlearned,
        403 if message.contains("exceeded quota") => refused(ApplyFailure::QuotaExceeded),
        403 => refused(ApplyFailure::Forbidden),
        422 if message.contains("immutable") || message.contains("Forbidden: ") => {
            refused(ApplyFailure::ImmutableFieldChanged)
        }
        400 | 422 => refused(ApplyFailure::ApplyFailed),
        _ => ApplyError::Unavailable { kind, name, source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(kind: ChildKind) -> Child {
        Child { kind, name: "npm".to_owned(), object: json!({}) }
    }

    #[test]
    fn only_what_is_ours_is_taken() {
        let whose =
            Owner { proxy: Key::new("team", "npm"), uid: "u1".to_owned(), children: HashSet::from(["c1".to_owned()]) };
        let owned = |kind: &str, name: &str, uid: &str| json!({"metadata": {"ownerReferences": [{"kind": kind, "name": name, "uid": uid, "controller": true}]}});
        let labelled = json!({"metadata": {"labels": {
            "app.kubernetes.io/managed-by": "packageproxy-operator", "app.kubernetes.io/instance": "npm"}}});
        let look = |kind, object: &Value| match may_take(&whose, &child(kind), object) {
            Ok(()) => "ours".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(look(ChildKind::Service, &owned("PackageProxy", "npm", "u1")), "ours");
        assert!(look(ChildKind::Service, &owned("PackageProxy", "npm", "u0")).contains("still being removed"));
        assert!(
            look(ChildKind::Service, &owned("PackageProxy", "pypi", "u0")).contains("belongs to PackageProxy 'pypi'")
        );
        assert!(look(ChildKind::Service, &owned("Deployment", "npm", "u0")).contains("belongs to Deployment 'npm'"));
        assert!(look(ChildKind::Service, &labelled).contains("somebody else"), "labels alone prove nothing");
        assert!(look(ChildKind::Service, &json!({"metadata": {}})).contains("somebody else"));
        assert_eq!(look(ChildKind::Service, &json!({"metadata": {"uid": "c1"}})), "ours", "its owner was taken off");
        assert_eq!(look(ChildKind::PersistentVolumeClaim, &labelled), "ours");
    }

    #[test]
    fn refusals_have_their_reasons() {
        for (code, message, reason) in [
            (403, "services is forbidden: User cannot create", "Forbidden"),
            (403, "exceeded quota: small, requested: services=1", "QuotaExceeded"),
            (403, "unable to create new content in namespace x because it is being terminated", "NamespaceTerminating"),
            (422, "spec.storageClassName: Invalid value: field is immutable", "ImmutableFieldChanged"),
            (422, "spec.ports[0].port: Invalid value: 0", "ApplyFailed"),
            (403, "cannot set blockOwnerDeletion: cannot find RESTMapping for APIVersion x", "Unlearned"),
            (500, "etcd is away", "Unavailable"),
            (409, "the object has been modified", "Unavailable"),
        ] {
            let mut status = kube::core::Status::failure(message, "");
            status.code = code;
            let found = match refusal(&child(ChildKind::Service), kube::Error::Api(Box::new(status))) {
                ApplyError::Refused { reason, .. } => format!("{reason:?}"),
                ApplyError::Unlearned => "Unlearned".to_owned(),
                ApplyError::NamespaceTerminating => "NamespaceTerminating".to_owned(),
                ApplyError::Unavailable { .. } => "Unavailable".to_owned(),
                other => panic!("{other}"),
            };
            assert_eq!(found, reason, "{code} {message}");
        }
    }
}
