//! The ServiceAccount: a name for the pods, without a token, since the data plane never asks the API.

use serde_json::json;

use super::{Child, Component, child};
use crate::controller::plan::Plan;
use crate::kinds::ChildKind;

/// None if the manifest names one that exists.
pub(super) fn build(plan: &Plan) -> Option<Child> {
    if plan.workload.pod.service_account_name.is_some() {
        return None;
    }
    let mut account = child(plan, ChildKind::ServiceAccount, plan.name().to_owned(), Component::Proxy);
    account.object["automountServiceAccountToken"] = json!(false);
    Some(account)
}
