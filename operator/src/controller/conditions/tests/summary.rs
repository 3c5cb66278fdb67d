//! `Ready`, `Stalled`, what goes before them, and what a status must never do.

use super::*;

#[test]
fn every_condition_is_there_on_the_first_visit() {
    let nothing = Case::good().edit(|case| {
        case.applied = Applied::NotYet;
        case.client_config = ClientConfig::Pending;
        case.deployment = None;
        case.pods.clear();
        case.reports.clear();
    });
    let refused = nothing.clone().edit(|case| case.refusal = Some(refusal()));
    for (case, expected) in [
        (
            &nothing,
            [
                ("Accepted", TRUE, "Accepted"),
                ("ResourcesApplied", UNKNOWN, "Pending"),
                ("StorageReady", TRUE, "Ephemeral"),
                ("ConfigurationLoaded", UNKNOWN, "Propagating"),
                ("Available", UNKNOWN, "Progressing"),
                ("UpstreamReachable", UNKNOWN, "NotProbed"),
                ("CredentialsResolved", TRUE, "NotRequired"),
                ("ClientConfigPublished", UNKNOWN, "Pending"),
                ("Ready", UNKNOWN, "Reconciling"),
                ("Stalled", FALSE, "Reconciling"),
            ],
        ),
        (
            &refused,
            [
                ("Accepted", FALSE, "ClassNotFound"),
                ("ResourcesApplied", UNKNOWN, "Pending"),
                ("StorageReady", UNKNOWN, "NotReported"),
                ("ConfigurationLoaded", UNKNOWN, "Propagating"),
                ("Available", UNKNOWN, "Progressing"),
                ("UpstreamReachable", UNKNOWN, "NotProbed"),
                ("CredentialsResolved", UNKNOWN, "NotReported"),
                ("ClientConfigPublished", UNKNOWN, "Pending"),
                ("Ready", FALSE, "ClassNotFound"),
                ("Stalled", TRUE, "ClassNotFound"),
            ],
        ),
    ] {
        let status = case.first();
        let kinds: Vec<&str> = status.conditions.iter().map(|condition| condition.kind.as_str()).collect();
        assert_eq!(kinds, expected.map(|(kind, ..)| kind));
        for (kind, holds, reason) in expected {
            assert_says(&status, kind, holds, reason);
            assert_eq!(condition(&status, kind).observed_generation, Some(7));
            assert_eq!(condition(&status, kind).last_transition_time, "1970-01-01T00:16:40Z");
            assert!(!condition(&status, kind).message.is_empty());
        }
        assert_eq!(status.observed_generation, Some(7));
    }
}

fn refusal() -> Refusal {
    Refusal { reason: RefusalReason::ClassNotFound, message: "spec.className: there is no class 'x'".to_owned() }
}

#[test]
fn what_runs_as_wanted_is_ready() {
    for spec in [json!({}), json!({"replicas": 3})] {
        let status = Case::with(spec).first();
        assert_says(&status, "Ready", TRUE, "Ready");
        assert_says(&status, "ConfigurationLoaded", TRUE, "Loaded");
        assert_says(&status, "ClientConfigPublished", TRUE, "Published");
        assert_says(&status, "Stalled", FALSE, "Reconciling");
    }
}

#[test]
fn ready_names_the_first_thing_that_fails_and_stalled_what_only_a_person_mends() {
    let failed = |reason| Applied::Failed { reason, message: "the Service 'left': no".to_owned() };
    let apply = |reason| Case::good().edit(|case| case.applied = failed(reason));
    for (case, ready, stalled) in [
        (Case::good().edit(|case| case.refusal = Some(refusal())), "ClassNotFound", true),
        (apply(ApplyFailure::Forbidden), "Forbidden", true),
        (apply(ApplyFailure::ImmutableFieldChanged), "ImmutableFieldChanged", true),
        (apply(ApplyFailure::QuotaExceeded), "QuotaExceeded", false),
        (apply(ApplyFailure::ApplyFailed), "ApplyFailed", false),
        (
            apply(ApplyFailure::ApplyFailed).edit(|case| {
                case.report("left-0").configuration.refused = vec!["spec.x: bad".to_owned()];
            }),
            "ApplyFailed",
            true,
        ),
    ] {
        let status = case.first();
        assert_says(&status, "Ready", FALSE, ready);
        assert_eq!(said(&status, "Stalled").0 == TRUE, stalled, "{ready}");
    }
    let refused = Case::good().edit(|case| case.refusal = Some(refusal())).first();
    assert_says(&refused, "Accepted", FALSE, "ClassNotFound");
    assert_says(&refused, "ResourcesApplied", UNKNOWN, "Pending");
}

#[test]
fn several_failures_are_all_told() {
    let status = Case::with(json!({"tls": {"secretRef": {"name": "certificate"}}}))
        .edit(|case| {
            case.applied =
                Applied::Failed { reason: ApplyFailure::ApplyFailed, message: "the Service 'left': no".to_owned() };
            case.report("left-0").proxies[0].credentials.references = vec![facts::CredentialReport {
                secret: "certificate".to_owned(),
                reason: Some("SecretNotFound".to_owned()),
                ..Default::default()
            }];
        })
        .first();
    assert_says(&status, "Ready", FALSE, "ApplyFailed");
    let message = &condition(&status, "Ready").message;
    assert!(
        message.contains("the Service 'left': no") && message.contains("'certificate' does not exist"),
        "{message}"
    );
}

#[test]
fn ready_waits_until_every_wanted_pod_is_new_ready_and_has_loaded_the_generation() {
    let edits: [fn(&mut Case); 11] = [
        |case: &mut Case| case.deployment.as_mut().unwrap()["status"]["observedGeneration"] = json!(2),
        |case: &mut Case| case.deployment.as_mut().unwrap()["status"]["updatedReplicas"] = json!(1),
        |case: &mut Case| case.deployment.as_mut().unwrap()["status"]["readyReplicas"] = json!(1),
        |case: &mut Case| case.deployment.as_mut().unwrap()["status"]["availableReplicas"] = json!(1),
        |case: &mut Case| case.deployment.as_mut().unwrap()["status"]["replicas"] = json!(3),
        |case: &mut Case| case.deployment.as_mut().unwrap()["spec"]["replicas"] = json!(1),
        |case: &mut Case| case.generation = 8,
        |case: &mut Case| case.report("left-1").proxies[0].generation = Some(6),
        |case: &mut Case| case.reports.clear(),
        |case: &mut Case| case.pods.truncate(1),
        |case: &mut Case| case.applied = Applied::NotYet,
    ];
    for edit in edits {
        let status = Case::with(json!({"replicas": 2})).edit(edit).first();
        assert_says(&status, "Ready", UNKNOWN, "Reconciling");
        assert_says(&status, "Available", TRUE, &said(&status, "Available").1);
    }
}

#[test]
fn without_wanted_pods_nothing_is_missing() {
    let claim = json!({"cache": {"storage": {"type": "PersistentVolumeClaim",
        "persistentVolumeClaim": {"size": "1Gi"}}}, "replicas": 0, "tls": {"secretRef": {"name": "certificate"}}});
    for spec in [json!({"replicas": 0}), claim] {
        let case = Case::with(spec).edit(|case| case.claim = Some(json!({"status": {"phase": "Pending"}})));
        let status = case.first();
        assert_says(&status, "Ready", TRUE, "ScaledToZero");
        assert_says(&status, "Available", TRUE, "ScaledToZero");
        let leaving = case.edit(|case| case.deployment.as_mut().unwrap()["status"]["replicas"] = json!(1));
        assert_says(&leaving.first(), "Ready", UNKNOWN, "Reconciling");
    }
}

#[test]
fn an_unreachable_upstream_leaves_a_proxy_ready() {
    let status = Case::good()
        .edit(|case| {
            case.report("left-0").proxies[0].upstream = facts::UpstreamReport {
                reason: Some("ConnectFailed".to_owned()),
                message: Some("registry.example:443: refused".to_owned()),
            };
        })
        .first();
    assert_says(&status, "UpstreamReachable", FALSE, "ConnectFailed");
    assert_says(&status, "Ready", TRUE, "ServingStale");
    assert!(condition(&status, "Ready").message.contains("refused"));
    assert_eq!(status.upstream.unwrap().healthy, Some(false));
}

#[test]
fn suspension_keeps_what_was_said_and_stops_changes() {
    let before = Case::good().first();
    let suspended = Case::good().edit(|case| (case.suspend, case.generation) = (true, 8));
    let status = suspended.after(&before, 2000);
    assert_says(&status, "ResourcesApplied", UNKNOWN, "Suspended");
    assert_says(&status, "Ready", TRUE, "Ready");
    assert_says(&status, "ConfigurationLoaded", TRUE, "Loaded");
    assert_eq!(condition(&status, "Ready").observed_generation, Some(7));
    assert_eq!((status.observed_generation, condition(&status, "Accepted").observed_generation), (Some(8), Some(8)));
    assert_says(&suspended.first(), "Ready", UNKNOWN, "Reconciling");
}

#[test]
fn a_refused_manifest_leaves_everything_as_it_was() {
    let before = Case::with(json!({"tls": {"secretRef": {"name": "certificate"}}})).first();
    let refused = Case::good().edit(|case| (case.refusal, case.generation) = (Some(refusal()), 8));
    let status = refused.after(&before, 2000);
    assert_says(&status, "Ready", FALSE, "ClassNotFound");
    assert_says(&status, "Available", TRUE, "MinimumReplicasAvailable");
    for kind in ["StorageReady", "ConfigurationLoaded", "CredentialsResolved", "ClientConfigPublished"] {
        assert_eq!(condition(&status, kind), condition(&before, kind));
    }
    assert_eq!((&status.url, &status.image), (&before.url, &before.image));
}

#[test]
fn a_rollout_that_waits_for_its_turn_is_ready() {
    let message = "1 other proxy is being replaced".to_owned();
    let status = Case::good().edit(|case| case.applied = Applied::RolloutPending { message }).first();
    assert_says(&status, "ResourcesApplied", TRUE, "RolloutPending");
    assert_says(&status, "Ready", TRUE, "Ready");
}

#[test]
fn nothing_new_is_equal_and_a_flip_moves_one_time() {
    let case = Case::good();
    let before = case.first();
    assert_eq!(case.after(&before, 9999), before);
    let worse = case.clone().edit(|case| {
        case.report("left-0").proxies[0].upstream.reason = Some("DNSFailure".to_owned());
    });
    let after = worse.after(&before, 2000);
    let moved: Vec<&str> = (after.conditions.iter().zip(&before.conditions))
        .filter(|(after, before)| after.last_transition_time != before.last_transition_time)
        .map(|(after, _)| after.kind.as_str())
        .collect();
    assert_eq!(moved, ["UpstreamReachable"]);
    assert_eq!(worse.after(&after, 3000), after);
}

#[test]
fn counters_in_messages_change_nothing() {
    let counted = |seconds: u32| {
        Case::good().edit(|case| {
            let upstream = &mut case.report("left-0").proxies[0].upstream;
            upstream.reason = Some("RateLimited".to_owned());
            upstream.message = Some(format!("asked to wait {seconds} seconds"));
        })
    };
    let before = counted(60).first();
    assert!(condition(&before, "UpstreamReachable").message.contains("60"));
    let after = counted(45).after(&before, 2000);
    assert_says(&after, "Ready", TRUE, "ServingStale");
    assert_eq!(after, before);
    // What a person changed is shown, and so is another name.
    let edited = counted(45).edit(|case| case.generation = 8).after(&before, 2000);
    assert!(condition(&edited, "UpstreamReachable").message.contains("45"));
    let other = counted(45).edit(|case| {
        let report = case.reports.remove("left-0").unwrap();
        case.reports.insert("left-9".to_owned(), report);
        case.pods = vec![pod("left-9")];
    });
    assert!(condition(&other.after(&before, 2000), "UpstreamReachable").message.contains("'left-9'"));
}

#[test]
fn the_worst_status_is_small() {
    let long = "é".repeat(2000);
    let case =
        Case::with(json!({"replicas": 100, "externalURL": format!("https://packages.example/{}", "x".repeat(200)),
        "upstream": {"url": format!("https://registry.example/{}", "y".repeat(200)),
            "auth": {"type": "Bearer", "secretRef": {"name": "s".repeat(253)}}}}))
        .edit(|case| {
            case.client_config = ClientConfig::Failed { message: long.clone() };
            case.applied = Applied::Failed { reason: ApplyFailure::ImmutableFieldChanged, message: long.clone() };
            for report in case.reports.values_mut() {
                report.configuration.refused = vec![long.clone()];
                report.storage.fault = Some(long.clone());
                let proxy = &mut report.proxies[0];
                proxy.upstream =
                    facts::UpstreamReport { reason: Some("TLSFailure".to_owned()), message: Some(long.clone()) };
                proxy.credentials.references = vec![facts::CredentialReport {
                    secret: "s".repeat(253),
                    problem: Some(long.clone()),
                    ..Default::default()
                }];
            }
            for pod in &mut case.pods {
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"},
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": long}]);
            }
        });
    let status = case.first();
    let text = serde_json::to_string(&status).unwrap();
    assert!(text.len() <= 4096, "{} bytes", text.len());
    assert!(status.conditions.iter().all(|condition| condition.message.len() <= 1024 && !condition.message.is_empty()));
    assert_eq!(case.after(&status, 5000), status);
}

#[test]
fn a_refusal_names_field_and_remedy_of_every_problem() {
    let problem = |kind, path: &str| Problem::invalid(path, "message", "remedy").of_kind(kind);
    for (kind, path, reason) in [
        (ProblemKind::UpstreamMissing, "spec.upstream.url", RefusalReason::UpstreamMissing),
        (ProblemKind::ClassViolation, "spec.replicas", RefusalReason::ClassViolation),
        (ProblemKind::UpstreamNotAllowed, "spec.upstream.url", RefusalReason::UpstreamNotAllowed),
        (ProblemKind::Invalid, "spec.upstream.url", RefusalReason::InvalidConfiguration),
        (ProblemKind::Invalid, "spec.ecosystem", RefusalReason::UnsupportedEcosystem),
    ] {
        let refusal = Refusal::of(&[problem(kind, path), problem(ProblemKind::Invalid, "spec.tls")]);
        assert_eq!(refusal.reason, reason);
        assert_eq!(refusal.message, format!("{path}: message: remedy; spec.tls: message: remedy"));
    }
}
