//! Pods that were not heard yet: after a restart of the operator that is every one, and nothing of it is news.

use super::*;

fn bearer() -> Case {
    Case::with(json!({"replicas": 2, "upstream": {"auth": {"type": "Bearer", "secretRef": {"name": "account"}}}}))
}

/// Nothing is known any more but which pods there are.
fn restarted(case: &Case) -> Case {
    case.clone().edit(|case| {
        case.reports.clear();
        case.unheard = ["left-0", "left-1"].map(ToOwned::to_owned).into();
        case.cache_due = true;
    })
}

#[test]
fn a_restart_of_the_operator_changes_no_status() {
    let edits: [fn(&mut Case); 6] = [
        |_| {},
        |case| case.report("left-1").proxies[0].upstream.reason = Some("ConnectFailed".to_owned()),
        |case| {
            case.report("left-1").proxies[0].credentials.references =
                vec![facts::CredentialReport { secret: "account".to_owned(), ..Default::default() }];
        },
        |case| case.report("left-1").configuration.refused = vec!["spec.cache: bad".to_owned()],
        |case| case.report("left-1").storage.read_only = true,
        |case| case.report("left-1").storage.full = true,
    ];
    for edit in edits {
        let case = bearer().edit(edit);
        let before = case.first();
        assert!(before.cache.is_some());
        assert_eq!(restarted(&case).after(&before, 2000), before);
        // One has answered, the other has not.
        let halfway = restarted(&case).edit(|halfway| {
            halfway.reports.insert("left-0".to_owned(), case.reports["left-0"].clone());
        });
        assert_eq!(halfway.after(&before, 2000), before);
        let all = case.clone().edit(|all| all.unheard.clone_from(&restarted(&case).unheard));
        assert_eq!(all.after(&before, 2000), before, "what has answered is not awaited");
    }
}

#[test]
fn what_was_said_of_another_generation_or_never_is_unknown() {
    let before = bearer().first();
    for status in
        [restarted(&bearer()).edit(|case| case.generation = 8).after(&before, 2000), restarted(&bearer()).first()]
    {
        assert_says(&status, "Ready", UNKNOWN, "Reconciling");
        assert_says(&status, "ConfigurationLoaded", UNKNOWN, "Propagating");
        assert_says(&status, "UpstreamReachable", UNKNOWN, "NotProbed");
        assert_says(&status, "CredentialsResolved", UNKNOWN, "NotReported");
        assert!(condition(&status, "Ready").message.contains("the pod 'left-0' has not answered yet"));
    }
}

#[test]
fn a_pod_that_stays_silent_is_told_of() {
    let before = bearer().first();
    let status = restarted(&bearer()).edit(|case| case.unheard.clear()).after(&before, 2000);
    assert_says(&status, "Ready", UNKNOWN, "Reconciling");
    assert!(condition(&status, "ConfigurationLoaded").message.contains("does not answer"));
}

#[test]
fn a_volume_that_is_gone_is_told_of_at_once() {
    let spec = json!({"cache": {"storage": {"type": "PersistentVolumeClaim",
        "persistentVolumeClaim": {"size": "1Gi"}}}});
    let case = Case::with(spec).edit(|case| {
        case.claim = Some(json!({"status": {"phase": "Bound"}}));
        case.report("left-0").storage.read_only = true;
    });
    let before = case.first();
    assert_says(&before, "StorageReady", TRUE, "CacheReadOnly");
    let lost = restarted(&case).edit(|case| case.claim = Some(json!({"status": {"phase": "Lost"}})));
    assert_says(&lost.after(&before, 2000), "StorageReady", FALSE, "ClaimLost");
}

#[test]
fn pods_that_have_ended_do_not_count() {
    for phase in ["Failed", "Succeeded"] {
        let before = Case::good().first();
        let case = Case::good().edit(|case| {
            let mut ended = pod("evicted");
            ended["status"]["phase"] = json!(phase);
            ended["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
            case.pods.push(ended);
        });
        assert_eq!(case.after(&before, 2000), before);
    }
}
