//! `Available`: whether at least one pod serves, and what keeps the others from it.

use serde_json::Value;

use super::Observed;
use super::pods::{Pods, condition};
use super::verdict::Verdict;

/// Restarts from which a container that is not ready is said to crash in a loop: between two of them it runs for a
/// moment, and nothing has changed.
const RESTARTS: u64 = 2;

pub(super) fn verdict(observed: &Observed<'_>, pods: &Pods<'_>) -> Verdict {
    let Some(deployment) = observed.deployment else {
        return Verdict::unknown("Progressing", "the Deployment does not exist yet");
    };
    if pods.wanted == 0 {
        return Verdict::holds("ScaledToZero", "spec.replicas is 0: no pod is wanted");
    }
    let serves = deployment["status"]["availableReplicas"].as_i64().unwrap_or(0) > 0;
    if let Some((reason, message)) = trouble(deployment, pods) {
        let rest = if serves { "; the other pods serve" } else { "" };
        let message = format!("{message}{rest}");
        return if serves { Verdict::holds(reason, message) } else { Verdict::fails(reason, message) };
    }
    match (serves, Rollout::of(deployment, pods.wanted)) {
        (true, Rollout::Complete | Rollout::Unready) => {
            Verdict::holds("MinimumReplicasAvailable", "at least one pod serves")
        }
        (true, Rollout::Running) => Verdict::holds("Progressing", "at least one pod serves while pods are replaced"),
        (false, Rollout::Running) => Verdict::unknown("Progressing", "the first pod is not ready yet"),
        // It was complete: its pods were there and are not any more.
        (false, _) if was_complete(deployment) => {
            Verdict::fails("Progressing", "no pod serves; a new one is on its way")
        }
        (false, _) => Verdict::unknown("Progressing", "no pod is ready yet"),
    }
}

/// How far the replacement of pods is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollout {
    /// Every wanted pod is new and ready, and no other is there.
    Complete,
    /// Every wanted pod is new, but not every one is ready.
    Unready,
    /// Pods are being replaced, made or removed.
    Running,
}

impl Rollout {
    /// Of a Deployment as the API returns it.
    pub(super) fn of(deployment: &Value, wanted: i64) -> Self {
        let count = |field: &str| deployment["status"][field].as_i64().unwrap_or(0);
        let generation = deployment["metadata"]["generation"].as_i64().unwrap_or(0);
        let is_current = count("observedGeneration") >= generation
            && deployment["spec"]["replicas"].as_i64() == Some(wanted)
            && [count("replicas"), count("updatedReplicas")] == [wanted; 2];
        match [count("readyReplicas"), count("availableReplicas")] == [wanted; 2] {
            _ if !is_current => Self::Running,
            true => Self::Complete,
            false => Self::Unready,
        }
    }
}

fn was_complete(deployment: &Value) -> bool {
    condition(deployment, "Progressing").is_some_and(|progress| progress["reason"] == "NewReplicaSetAvailable")
}

/// The most telling trouble: reason and sentence.
fn trouble(deployment: &Value, pods: &Pods<'_>) -> Option<(&'static str, String)> {
    let said = |condition: &Value| condition["message"].as_str().unwrap_or_default().to_owned();
    if let Some(failure) = condition(deployment, "ReplicaFailure").filter(|failure| failure["status"] == "True") {
        let remedy = "check quotas and the Pod Security level of the namespace";
        return Some(("ReplicaFailure", format!("no pod can be created: {}; {remedy}", said(failure))));
    }
    for of_pod in [image, crash, unschedulable] {
        if let Some(found) = pods.all.iter().find_map(|(name, pod)| of_pod(name, pod)) {
            return Some(found);
        }
    }
    let progress = condition(deployment, "Progressing")?;
    (progress["reason"] == "ProgressDeadlineExceeded").then(|| {
        let message = "the Deployment makes no progress: see its events and the logs of its pods";
        ("ProgressDeadlineExceeded", message.to_owned())
    })
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["status"]["containerStatuses"].as_array().into_iter().flatten()
}

fn image(name: &str, pod: &Value) -> Option<(&'static str, String)> {
    // The kubelet alternates between these words, so none of them is quoted.
    const WORDS: [&str; 5] =
        ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"];
    let waits = |container: &&Value| {
        container["state"]["waiting"]["reason"].as_str().is_some_and(|reason| WORDS.contains(&reason))
    };
    let image = containers(pod).find(waits)?["image"].as_str().unwrap_or_default().to_owned();
    let message = format!(
        "the pod '{name}' cannot get the image '{image}': check the image and the pull secrets of its class, and the \
         events of the pod"
    );
    Some(("ImagePullFailed", message))
}

fn crash(name: &str, pod: &Value) -> Option<(&'static str, String)> {
    let crashes = |container: &&Value| {
        let restarts = container["restartCount"].as_u64().unwrap_or(0);
        container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            || (restarts >= RESTARTS && container["ready"] != true)
    };
    let last = &containers(pod).find(crashes)?["lastState"]["terminated"];
    let message = if last["reason"] == "OOMKilled" {
        format!(
            "the container of the pod '{name}' needs more memory than spec.pod.resources.limits allows: raise `memory`"
        )
    } else {
        let code = last["exitCode"].as_i64().map_or_else(String::new, |code| format!(" with code {code}"));
        format!("the container of the pod '{name}' ends{code} again and again: see `kubectl logs --previous {name}`")
    };
    Some(("CrashLooping", message))
}

fn unschedulable(name: &str, pod: &Value) -> Option<(&'static str, String)> {
    let scheduled = condition(pod, "PodScheduled")?;
    (scheduled["status"] == "False" && scheduled["reason"] == "Unschedulable").then(|| {
        let said = scheduled["message"].as_str().unwrap_or("no node will do");
        ("Unschedulable", format!("no node takes the pod '{name}': {said}; see spec.pod"))
    })
}
