//! What came of a look, written down: the status if it says something new, and events at transitions.

use std::sync::Arc;
use std::time::Duration;

use crds::status::{Condition, ConditionStatus, PackageProxyClassStatus};
use crds::{PackageProxyStatus, status};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::apply::FIELD_MANAGER;
use super::class;
use super::conditions::{self, Observed};
use super::context::Context;
use super::reconcile::{Looked, ReconcileError};
use crate::events::Note;
use crate::kinds::ChildKind;
use crate::store::{Key, Kind};
use crate::watches::api;

/// Numbers of the cache are written no more often than this.
const CACHE_PERIOD: Duration = Duration::from_mins(5);
/// So long after a write the watch may not have brought it yet.
const WATCH_LAG: Duration = Duration::from_secs(5);

impl Context {
    /// Writes status and events of a proxy; whether its pods are to be asked more often.
    pub(super) async fn report(&self, key: &Key, proxy: &Arc<Value>, looked: Looked) -> Result<bool, ReconcileError> {
        let uid = proxy["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let stored = PackageProxyStatus::deserialize(&proxy["status"]).unwrap_or_default();
        let (written, cache_due, lagging) = self.with_memory(key, |memory| {
            let written = memory.written.as_ref().filter(|written| written.uid == uid);
            let cache_due = memory.cache_written.is_none_or(|time| time.elapsed() >= CACHE_PERIOD);
            let lagging = written.is_some_and(|written| written.at.elapsed() < WATCH_LAG);
            (written.map(|written| written.status.clone()), cache_due, lagging)
        });
        let previous = written.unwrap_or_else(|| stored.clone());
        let next = self.next_status(key, proxy, &looked, &previous, cache_due);
        let wipes = stored != next && !lagging;
        if next != previous || wipes {
            self.write_status(Kind::Proxy, key, &uid, &next).await?;
            for event in conditions::events(&previous, &next) {
                self.events.publish(key, &uid, event).await;
            }
            self.with_memory(key, |memory| {
                if next.cache != previous.cache {
                    memory.cache_written = Some(Instant::now());
                }
                memory.written = Some(super::context::Written { uid, status: next.clone(), at: Instant::now() });
            });
        }
        let ready = next.conditions.iter().find(|condition| condition.kind == "Ready");
        Ok(looked.plan.is_ok() && ready.is_some_and(|ready| ready.status == ConditionStatus::Unknown))
    }
}
