//! Which proxy may be rolled out although its owner asked for nothing: of a new image or a changed class, one after
//! the other, so that a bad one stops at the first.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use crate::controller::build::TEMPLATE_HASH;
use crate::store::{Key, Store};

/// A place that was given away and whose Deployment did not show it by then is free again.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The places for rollouts.
#[derive(Debug)]
pub struct Rollouts {
    places: usize,
    /// Given away; until the Deployment itself shows that it is rolled out.
    given: Mutex<HashMap<Key, Place>>,
}

#[derive(Debug)]
struct Place {
    since: Instant,
    /// Identifies the template that is rolled out.
    template: String,
}

impl Rollouts {
    /// So many at once.
    pub fn new(places: usize) -> Self {
        Self { places, given: Mutex::default() }
    }

    /// Takes a place for `proxy` and a new template, if there is one.
    pub fn take(&self, proxy: &Key, template: &str, deployments: &Store) -> bool {
        let now = Instant::now();
        let mut given = self.given.lock();
        let rolling: Vec<Key> =
            deployments.all().iter().filter(|deployment| is_rolling(deployment)).map(|found| Key::of(found)).collect();
        given.retain(|key, place| {
            let shown = deployments.get(key, &key.name).is_some_and(|found| template_of(&found) == place.template);
            now < place.since + FORGOTTEN && !shown
        });
        let given_only = given.keys().filter(|key| !rolling.contains(key) && *key != proxy);
        let taken = rolling.iter().chain(given_only);
        // One that is being rolled out has a place: a better template must not wait for others that are stuck as it is.
        if !rolling.contains(proxy) && taken.count() >= self.places {
            return false;
        }
        given.insert(proxy.clone(), Place { since: now, template: template.to_owned() });
        true
    }

    /// Gives back a place that could not be used.
    pub fn release(&self, proxy: &Key) {
        self.given.lock().remove(proxy);
    }
}

/// Which template a Deployment was given last.
fn template_of(deployment: &Value) -> &str {
    deployment["metadata"]["annotations"][TEMPLATE_HASH].as_str().unwrap_or_default()
}

/// Whether a Deployment is being rolled out and may yet succeed. One that failed, then or later, holds nobody up.
fn is_rolling(deployment: &Value) -> bool {
    let status = &deployment["status"];
    let number = |name: &str| status[name].as_i64().unwrap_or_default();
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let observed = deployment["metadata"]["generation"].as_i64().unwrap_or_default() <= number("observedGeneration");
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let progress = conditions.into_iter().find(|condition| condition["type"] == "Progressing");
    let rolled_out = observed && number("updatedReplicas") >= wanted && number("replicas") == wanted;
    // It missed its deadline, or somebody paused it; or it was complete and its pods failed afterwards.
    let over = progress.is_some_and(|progress| {
        progress["status"] != "True" || (rolled_out && progress["reason"] == "NewReplicaSetAvailable")
    });
    let complete = rolled_out && number("availableReplicas") >= wanted;
    !complete && !over
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::ChildKind;
    use crate::store::Kind;

    fn deployment(name: &str, updated: i64, progressing: &str) -> Value {
        json!({
            "metadata": {"namespace": "team", "name": name, "generation": 2, "labels": {"app.kubernetes.io/instance": name}},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": updated, "availableReplicas": 1,
                       "conditions": [{"type": "Progressing", "status": progressing}]},
        })
    }

    #[tokio::test(start_paused = true)]
    async fn one_after_the_other() {
        let store = Store::new(Kind::Child(ChildKind::Deployment));
        let (a, b) = (Key::new("team", "a"), Key::new("team", "b"));
        store.apply(deployment("a", 1, "True"));
        store.apply(deployment("b", 1, "True"));
        let rollouts = Rollouts::new(1);
        assert!(rollouts.take(&a, "new", &store));
        assert!(!rollouts.take(&b, "new", &store), "a was given the place and its Deployment has yet to show it");
        assert!(rollouts.take(&a, "new", &store));
        store.apply(deployment("a", 0, "True"));
        tokio::time::advance(FORGOTTEN * 2).await;
        assert!(!rollouts.take(&b, "new", &store), "a is rolling");
        store.apply(deployment("a", 0, "False"));
        assert!(rollouts.take(&b, "new", &store), "a missed its deadline");
        rollouts.release(&b);
        let mut crashed = deployment("a", 1, "True");
        crashed["status"]["availableReplicas"] = json!(0);
        store.apply(crashed.clone());
        assert!(!rollouts.take(&b, "new", &store), "a has yet to become available");
        crashed["status"]["conditions"][0]["reason"] = json!("NewReplicaSetAvailable");
        store.apply(crashed);
        assert!(rollouts.take(&b, "new", &store), "a was complete before its pod failed");
    }

    /// A class with a bad image, and then a better one: nobody waits for those that are stuck.
    #[tokio::test(start_paused = true)]
    async fn what_is_stuck_may_be_corrected() {
        let store = Store::new(Kind::Child(ChildKind::Deployment));
        let [a, b, c] = ["a", "b", "c"].map(|name| Key::new("team", name));
        let rollouts = Rollouts::new(1);
        store.apply(deployment("a", 0, "True"));
        store.apply(deployment("b", 0, "True"));
        store.apply(deployment("c", 1, "True"));
        assert!(rollouts.take(&a, "better", &store) && rollouts.take(&b, "better", &store));
        assert!(!rollouts.take(&c, "better", &store), "it is not being rolled out");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollout_that_nobody_saw_frees_its_place_too() {
        let store = Store::new(Kind::Child(ChildKind::Deployment));
        let (a, b) = (Key::new("team", "a"), Key::new("team", "b"));
        let rollouts = Rollouts::new(1);
        let complete = |template: &str| {
            let mut deployment = deployment("a", 1, "True");
            deployment["metadata"]["annotations"] = json!({ TEMPLATE_HASH: template });
            deployment
        };
        store.apply(complete("old"));
        assert!(rollouts.take(&a, "new", &store));
        assert!(!rollouts.take(&b, "new", &store), "a has yet to begin");
        // It was over between two looks.
        store.apply(complete("new"));
        assert!(rollouts.take(&b, "new", &store));
    }

    #[tokio::test(start_paused = true)]
    async fn a_finished_rollout_frees_its_place() {
        let store = Store::new(Kind::Child(ChildKind::Deployment));
        let (a, b) = (Key::new("team", "a"), Key::new("team", "b"));
        let rollouts = Rollouts::new(1);
        store.apply(deployment("a", 0, "True"));
        assert!(rollouts.take(&a, "new", &store));
        assert!(!rollouts.take(&b, "new", &store));
        let mut complete = deployment("a", 1, "True");
        complete["metadata"]["annotations"] = json!({ TEMPLATE_HASH: "new" });
        store.apply(complete);
        assert!(rollouts.take(&b, "new", &store));
    }
}
