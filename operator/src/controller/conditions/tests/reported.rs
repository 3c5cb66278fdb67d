//! What the proxies say of themselves. Over replicas the worst wins.

use super::*;
use crate::controller::build;

#[test]
fn the_worst_view_of_the_upstream_wins() {
    for (first, second, rejected, holds, reason) in [
        (Some("Probed"), Some("Probed"), false, TRUE, "Probed"),
        (Some("Probed"), Some("NotProbed"), false, TRUE, "Probed"),
        (Some("NotProbed"), None, false, UNKNOWN, "NotProbed"),
        (Some("Probed"), Some("RateLimited"), false, FALSE, "RateLimited"),
        (Some("ConnectFailed"), Some("TLSFailure"), false, FALSE, "TLSFailure"),
        (Some("SomethingOfTomorrow"), Some("Probed"), false, FALSE, "UpstreamError"),
        (Some("Probed"), Some("Probed"), true, FALSE, "Unauthorized"),
    ] {
        let status = Case::with(json!({"replicas": 2}))
            .edit(|case| {
                case.report("left-0").proxies[0].upstream.reason = first.map(ToOwned::to_owned);
                case.report("left-1").proxies[0].upstream.reason = second.map(ToOwned::to_owned);
                case.report("left-1").proxies[0].credentials.rejected = rejected;
            })
            .first();
        assert_says(&status, "UpstreamReachable", holds, reason);
    }
}

#[test]
fn a_secret_that_is_missing_is_named() {
    let spec = json!({"upstream": {"auth": {"type": "Bearer", "secretRef": {"name": "account"}},
        "trust": {"configMapRef": {"name": "roots", "key": "ca.pem"}}}});
    let reference = |secret: &str, reason: &str| facts::CredentialReport {
        secret: secret.to_owned(),
        resolved: reason == "Resolved",
        reason: Some(reason.to_owned()),
        key: Some("token".to_owned()),
        problem: Some("not PEM".to_owned()),
    };
    for (references, holds, reason, part) in [
        (vec![reference("account", "Resolved")], TRUE, "Resolved", "is there"),
        (vec![reference("account", "SecretNotFound")], FALSE, "SecretNotFound", "the Secret 'account' does not exist"),
        (vec![reference("account", "KeyMissing")], FALSE, "KeyMissing", "'account' has no key 'token'"),
        (vec![reference("account", "KeyEmpty")], FALSE, "KeyEmpty", "key 'token' of the Secret 'account' is empty"),
        (vec![reference("roots", "SecretUnreadable")], FALSE, "SecretUnreadable", "the ConfigMap 'roots'"),
        (
            vec![reference("roots", "SecretNotFound"), reference("account", "KeyMissing")],
            FALSE,
            "KeyMissing",
            "the ConfigMap 'roots' does not exist",
        ),
    ] {
        let status = Case::with(spec.clone())
            .edit(|case| case.report("left-0").proxies[0].credentials.references.clone_from(&references))
            .first();
        assert_says(&status, "CredentialsResolved", holds, reason);
        let message = &condition(&status, "CredentialsResolved").message;
        assert!(message.contains(part), "{message}");
    }
    let silent = Case::with(spec).edit(|case| case.reports.clear()).first();
    assert_says(&silent, "CredentialsResolved", UNKNOWN, "NotReported");
    assert!(condition(&silent, "CredentialsResolved").message.contains("8081"));
}

#[test]
fn a_configuration_is_loaded_on_its_way_or_refused() {
    let refused = |generation: Option<i64>| {
        Case::good()
            .edit(|case| {
                let report = case.report("left-0");
                report.proxies[0].generation = Some(6);
                report.configuration.refused = vec!["spec.cache: bad".to_owned()];
                report.configuration.refused_generation = generation;
            })
            .first()
    };
    for status in [refused(Some(7)), refused(None)] {
        assert_says(&status, "ConfigurationLoaded", FALSE, "Rejected");
        assert!(condition(&status, "ConfigurationLoaded").message.contains("spec.cache: bad"));
        assert_says(&status, "Ready", FALSE, "Rejected");
        assert_says(&status, "Stalled", TRUE, "Rejected");
    }
    // An older one was refused; that of now is still on its way.
    assert_says(&refused(Some(6)), "ConfigurationLoaded", UNKNOWN, "Propagating");
    let without_proxies = Case::good().edit(|case| case.report("left-0").proxies.clear()).first();
    assert_says(&without_proxies, "ConfigurationLoaded", UNKNOWN, "Propagating");
}

/// A changed class makes another file of the same generation.
#[test]
fn the_file_counts_where_the_proxy_names_it() {
    let file = |case: &Case| build::manifest_sha256(&case.plan);
    let with = |loaded: &dyn Fn(&Case) -> String| {
        Case::good().edit(|case| {
            let sha256 = loaded(case);
            case.report("left-0").configuration.sha256 = Some(sha256);
        })
    };
    assert_says(&with(&file).first(), "ConfigurationLoaded", TRUE, "Loaded");
    let before = with(&|_| "0".repeat(64));
    assert_says(&before.first(), "ConfigurationLoaded", UNKNOWN, "Propagating");
    assert_says(&before.first(), "Ready", UNKNOWN, "Reconciling");
    for (refused, holds, reason) in [(file(&before), FALSE, "Rejected"), ("1".repeat(64), UNKNOWN, "Propagating")] {
        let refused = before.clone().edit(|case| {
            let configuration = &mut case.report("left-0").configuration;
            configuration.refused = vec!["spec.cache: bad".to_owned()];
            configuration.refused_generation = Some(7);
            configuration.refused_sha256 = Some(refused);
        });
        assert_says(&refused.first(), "ConfigurationLoaded", holds, reason);
    }
}

#[test]
fn client_configuration_is_published_disabled_or_failed() {
    let disabled = Case::with(json!({"clientConfig": {"configMap": "Disabled"}})).first();
    assert_says(&disabled, "ClientConfigPublished", TRUE, "Disabled");
    assert_eq!(disabled.client_config_map_ref, None);
    let message = "the ConfigMap 'authority' has no key 'ca.crt'".to_owned();
    let failed = Case::good().edit(|case| case.client_config = ClientConfig::Failed { message }).first();
    assert_says(&failed, "ClientConfigPublished", FALSE, "ApplyFailed");
    assert_says(&failed, "Ready", TRUE, "Ready");
}
