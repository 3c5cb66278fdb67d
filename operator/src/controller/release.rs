//! Parts with what is not wanted any more: deletes what is ours, lets go of what is to stay.

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::apply::{ApplyError, FIELD_MANAGER, Owner, controller, is_terminating, refusal};
use super::build::Child;
use crate::kinds::ChildKind;
use crate::object::Object;
use crate::store::Kind;
use crate::watches::api;

/// Whether an object is ours to delete. A claim that is to be kept has no owner and stays.
pub(super) fn may_prune(owner: &Owner, object: &Value) -> bool {
    !is_terminating(object) && controller(object).is_some_and(|found| found["uid"] == owner.uid.as_str())
}

/// Deletes an object, if it is still the one that was seen.
pub(super) async fn prune(client: &Client, owner: &Owner, kind: ChildKind, object: &Value) -> Result<(), ApplyError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let uid = object["metadata"]["uid"].as_str().map(ToOwned::to_owned);
    let preconditions = kube::api::Preconditions { uid, resource_version: None };
    let parameters = kube::api::DeleteParams { preconditions: Some(preconditions), ..Default::default() };
    let api: Api<Object> = api(client, Kind::Child(kind), Some(&owner.proxy.namespace));
    match api.delete(&name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(refusal(&Child { kind, name, object: Value::Null }, error)),
    }
}

/// Lets go of an object, so that it stays when its proxy goes.
pub(super) async fn disown(client: &Client, owner: &Owner, kind: ChildKind, object: &Value) -> Result<(), ApplyError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let metadata = json!({
        "uid": object["metadata"]["uid"],
        "ownerReferences": [{"$patch": "delete", "uid": owner.uid}],
    });
    let api: Api<Object> = api(client, Kind::Child(kind), Some(&owner.proxy.namespace));
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch(&name, &parameters, &Patch::Strategic(json!({ "metadata": metadata }))).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(refusal(&Child { kind, name, object: Value::Null }, error)),
    }
}
