//! `Available` and `StorageReady`, from what the cluster says of Deployment, pods and claim.

use super::*;

/// A pod that is not ready, with more said of it.
fn broken(name: &str, container: Value) -> Value {
    let mut broken = pod(name);
    broken["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    let status = &mut broken["status"]["containerStatuses"][0];
    status["ready"] = json!(false);
    testing::overlay(status, container);
    broken
}

fn waiting(reason: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason}}})
}

fn unschedulable(said: &str) -> Value {
    let mut pod = broken("left-0", json!({}));
    pod["status"]["containerStatuses"] = json!([]);
    pod["status"]["conditions"] =
        json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}]);
    pod
}

/// A Deployment without a pod that serves.
fn down(condition: &Value) -> Value {
    let mut deployment = deployment(1);
    deployment["status"]["readyReplicas"] = json!(0);
    deployment["status"]["availableReplicas"] = json!(0);
    if !condition.is_null() {
        deployment["status"]["conditions"] = json!([condition]);
    }
    deployment
}

#[test]
fn why_no_pod_serves() {
    let starting = || json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"});
    let crashed = json!({"restartCount": 3, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 7}}});
    let killed = json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}});
    let failure = json!({"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods=0"});
    let deadline = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"});
    for (condition_of, pod, holds, reason, part) in [
        (starting(), None, UNKNOWN, "Progressing", "ready yet"),
        (Value::Null, None, FALSE, "Progressing", "no pod serves"),
        (failure, None, FALSE, "ReplicaFailure", "exceeded quota"),
        (deadline.clone(), None, FALSE, "ProgressDeadlineExceeded", "no progress"),
        (
            deadline,
            Some(broken("left-0", waiting("ErrImagePull"))),
            FALSE,
            "ImagePullFailed",
            "registry.example/proxy:1",
        ),
        (starting(), Some(broken("left-0", waiting("ImagePullBackOff"))), FALSE, "ImagePullFailed", "left-0"),
        (starting(), Some(broken("left-0", waiting("ContainerCreating"))), UNKNOWN, "Progressing", "ready yet"),
        (starting(), Some(broken("left-0", crashed)), FALSE, "CrashLooping", "with code 7"),
        (starting(), Some(broken("left-0", killed)), FALSE, "CrashLooping", "raise `memory`"),
        (starting(), Some(unschedulable("0/3 nodes are available")), FALSE, "Unschedulable", "0/3 nodes"),
    ] {
        let status = Case::good()
            .edit(|case| {
                case.deployment = Some(down(&condition_of));
                case.pods = pod.iter().cloned().collect();
            })
            .first();
        assert_says(&status, "Available", holds, reason);
        let message = &condition(&status, "Available").message;
        assert!(message.contains(part), "{message}");
        assert_eq!(said(&status, "Ready").0, holds, "{reason}");
    }
}

#[test]
fn one_word_for_what_the_kubelet_says_in_turns() {
    let statuses = ["ErrImagePull", "ImagePullBackOff"]
        .map(|word| Case::good().edit(|case| case.pods = vec![broken("left-0", waiting(word))]).first());
    assert_eq!(statuses[0], statuses[1]);
    let between = json!({"restartCount": 4, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}});
    let mut backing_off = between.clone();
    backing_off["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    backing_off["restartCount"] = json!(5);
    let statuses = [between, backing_off].map(|container| {
        let down = down(&Value::Null);
        Case::good().edit(|case| (case.deployment, case.pods) = (Some(down), vec![broken("left-0", container)])).first()
    });
    assert_eq!(statuses[0], statuses[1]);
}

#[test]
fn a_scheduler_that_counts_nodes_changes_nothing() {
    let of = |said: &str| {
        Case::good().edit(|case| (case.deployment, case.pods) = (Some(down(&Value::Null)), vec![unschedulable(said)]))
    };
    let before = of("0/3 nodes are available: 3 Insufficient memory").first();
    assert_eq!(of("0/5 nodes are available: 5 Insufficient memory").after(&before, 2000), before);
    let other = of("0/3 nodes are available: 3 had untolerated taints").after(&before, 2000);
    assert!(condition(&other, "Available").message.contains("taints"));
}

#[test]
fn old_pods_that_serve_while_new_ones_cannot_start_are_available_and_not_ready() {
    let mut rolling = deployment(1);
    testing::overlay(&mut rolling["status"], json!({"replicas": 2, "updatedReplicas": 1}));
    let case = Case::good().edit(|case| {
        case.deployment = Some(rolling.clone());
        case.pods.push(broken("left-new", waiting("ErrImagePull")));
    });
    assert_says(&case.first(), "Available", TRUE, "ImagePullFailed");
    assert_says(&case.first(), "Ready", FALSE, "ImagePullFailed");
    let leaving = case.edit(|case| case.pods[1]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    assert_says(&leaving.first(), "Available", TRUE, "Progressing");
    assert_says(&leaving.first(), "Ready", UNKNOWN, "Reconciling");
}

fn claim(phase: &str, asked: &str, given: &str) -> Value {
    json!({
        "metadata": {"name": "left"},
        "spec": {"resources": {"requests": {"storage": asked}}},
        "status": {"phase": phase, "capacity": {"storage": given}},
    })
}

#[test]
fn the_claim_and_the_volume() {
    let own = json!({"size": "2Gi", "storageClassName": "fast"});
    let foreign = json!({"existingClaimName": "warm"});
    let mut leaving = claim("Bound", "2Gi", "2Gi");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for (spec, live, holds, reason, part) in [
        (&own, None, UNKNOWN, "NotReported", "does not exist yet"),
        (&foreign, None, FALSE, "ClaimPending", "'warm' does not exist"),
        (&own, Some(claim("Pending", "2Gi", "0")), FALSE, "ClaimPending", "'fast'"),
        (&own, Some(claim("Bound", "2Gi", "2Gi")), TRUE, "Bound", "'left' is bound"),
        (&own, Some(claim("Bound", "2Gi", "2048Mi")), TRUE, "Bound", "'left' is bound"),
        (&own, Some(claim("Bound", "2Gi", "5Gi")), TRUE, "Bound", "'left' is bound"),
        (&own, Some(claim("Bound", "2Gi", "1Gi")), TRUE, "ResizePending", "has 1Gi and waits for 2Gi"),
        (&own, Some(claim("Lost", "2Gi", "2Gi")), FALSE, "ClaimLost", "is gone"),
        (&own, Some(leaving), FALSE, "ClaimLost", "is being deleted"),
    ] {
        let storage = json!({"type": "PersistentVolumeClaim", "persistentVolumeClaim": spec});
        let status =
            Case::with(json!({"cache": {"storage": storage}})).edit(|case| case.claim.clone_from(&live)).first();
        assert_says(&status, "StorageReady", holds, reason);
        assert!(condition(&status, "StorageReady").message.contains(part));
        let ready = if holds == TRUE {
            "Ready"
        } else if holds == FALSE {
            reason
        } else {
            "Reconciling"
        };
        assert_says(&status, "Ready", holds, ready);
    }
}

#[test]
fn a_volume_in_trouble_is_told_and_no_reason_to_stop() {
    for (storage, reason, part) in [
        (json!({"full": true}), "CacheFull", "enlarge the volume"),
        (json!({"readOnly": true}), "CacheReadOnly", "read-only"),
        (json!({"fault": "input/output error"}), "CacheReadOnly", "input/output error"),
        (json!({"fault": "no space left on device", "full": true}), "CacheFull", "enlarge the volume"),
    ] {
        let status = Case::good()
            .edit(|case| case.report("left-0").storage = serde_json::from_value(storage.clone()).unwrap())
            .first();
        assert_says(&status, "StorageReady", TRUE, reason);
        assert!(condition(&status, "StorageReady").message.contains(part));
        assert_says(&status, "Ready", TRUE, "Ready");
    }
}
