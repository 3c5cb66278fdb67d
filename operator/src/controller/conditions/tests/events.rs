//! Events tell of transitions, and only of those.

use super::*;

/// What happens, what is told of it, and what is told when it is over.
type Transition = (fn(&mut Case), Vec<&'static str>, Vec<&'static str>);

/// The reasons of the events between two cases.
fn between(before: &Case, after: &Case) -> Vec<String> {
    let previous = before.first();
    let next = after.after(&previous, 2000);
    let reasons = |notes: Vec<crate::events::Note>| notes.into_iter().map(|note| note.reason).collect::<Vec<_>>();
    assert_eq!(reasons(events(&next, &after.after(&next, 3000))), Vec::<String>::new(), "told twice");
    reasons(events(&previous, &next))
}

#[test]
fn the_first_visit_is_one_event() {
    let first = |case: Case| events(&PackageProxyStatus::default(), &case.first());
    let applied = first(Case::good());
    assert_eq!(applied.len(), 1);
    assert_eq!((applied[0].reason.as_str(), applied[0].warning), ("Applied", false));
    let refusal = Refusal { reason: RefusalReason::ClassViolation, message: "x".repeat(3000) };
    let refused = first(Case::good().edit(|case| case.refusal = Some(refusal)));
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].reason.as_str(), refused[0].warning), ("ClassViolation", true));
    assert!(refused[0].note.len() <= 1024);
    assert_eq!(first(Case::good().edit(|case| case.applied = Applied::NotYet)), []);
}

#[test]
fn both_ways_of_every_transition() {
    let good = Case::with(json!({"tls": {"secretRef": {"name": "certificate"}}}));
    let cases: Vec<Transition> = vec![
        (|case| case.suspend = true, vec!["Suspended"], vec!["Resumed"]),
        (
            |case| case.report("left-0").proxies[0].upstream.reason = Some("DNSFailure".to_owned()),
            vec!["UpstreamUnreachable"],
            vec!["UpstreamRecovered"],
        ),
        (
            |case| {
                case.report("left-0").proxies[0].credentials.references = vec![facts::CredentialReport {
                    secret: "certificate".to_owned(),
                    reason: Some("SecretNotFound".to_owned()),
                    ..Default::default()
                }];
            },
            vec!["CredentialsMissing"],
            vec!["CredentialsResolved"],
        ),
        (|case| case.report("left-0").storage.full = true, vec!["CacheFull"], vec![]),
        (
            |case| case.deployment.as_mut().unwrap()["status"]["updatedReplicas"] = json!(0),
            vec!["RolloutStarted"],
            vec!["RolloutFinished"],
        ),
        (
            |case| {
                let message = "the Service 'left' is not ours".to_owned();
                case.refusal = Some(Refusal { reason: RefusalReason::NameConflict, message });
            },
            vec!["NameConflict"],
            vec!["Accepted", "Applied"],
        ),
        (
            |case| {
                let message = "no right".to_owned();
                case.applied = Applied::Failed { reason: ApplyFailure::Forbidden, message };
            },
            vec!["Forbidden"],
            vec!["Applied"],
        ),
        (
            |case| case.report("left-0").configuration.refused = vec!["bad".to_owned()],
            vec!["ConfigurationRejected"],
            vec![],
        ),
        (|_| (), vec![], vec![]),
    ];
    for (edit, there, back) in cases {
        let other = good.clone().edit(edit);
        assert_eq!(between(&good, &other), there);
        assert_eq!(between(&other, &good), back);
    }
}
