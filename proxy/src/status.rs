//! What `/status` says, and the gauges that are measured when somebody looks.

use serde_json::{Value, json};

use crate::app::App;
use crate::fetch::SafeUrl;
use crate::fetch::breaker::State;
use crate::fetch::probe::Probe;
use crate::fetch::stack::credential_status;
use crate::metrics::OriginLabel;
use crate::site::Site;

/// The state of the process as JSON. Holds no secret and no query of an address.
pub fn of(app: &App) -> Value {
    let reload = app.reload();
    let store = &app.engine.store;
    let usage = store.inventory().usage();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "phase": format!("{:?}", *app.phase.borrow()),
        "configuration": { "refused": reload.refused, "warnings": reload.warnings },
        "proxies": app.sites().iter().map(|site| proxy(app, site)).collect::<Vec<_>>(),
        "storage": {
            "directory": store.options().root.display().to_string(),
            "bytes": usage.bytes,
            "objects": usage.objects,
            "reserved": usage.reserved,
            "maxSize": store.inventory().max_size(),
            "evictions": usage.evictions,
            "keeper": store.is_keeper(),
            "fault": store.fault(),
            "readFault": store.read_fault(),
        },
    })
}

fn proxy(app: &App, site: &Site) -> Value {
    let upstream = SafeUrl::from(site.settings.upstream.url.clone());
    let known = app.shared.origins.state(&upstream.origin());
    let probe = app.probe_of(&site.settings.name);
    let credentials: Vec<Value> = credential_status(&site.settings.upstream, &site.present)
        .into_iter()
        .map(|report| {
            json!({
                "origin": report.origin,
                "secret": report.secret,
                "resolved": report.problem.is_none(),
                "problem": report.problem.map(|problem| problem.to_string()),
            })
        })
        .collect();
    json!({
        "name": site.settings.name,
        "ecosystem": site.settings.ecosystem.name(),
        "owner": site.settings.owner,
        "generation": site.settings.generation,
        "url": site.first_base(),
        "upstream": {
            "url": upstream.to_string(),
            "state": known.as_ref().map_or("closed", |known| known.state.name()),
            "consecutiveFailures": known.as_ref().map_or(0, |known| known.consecutive_failures),
            "retryAfterSeconds": known.as_ref().and_then(|known| known.retry_after).map(|wait| wait.as_secs()),
            "lastError": known.as_ref().and_then(|known| known.last_error.clone()),
            "lastSuccess": known.as_ref().and_then(|known| known.last_success).map(|time| time.to_string()),
            "probe": probe.as_ref().map(Probe::reason),
            "probeMessage": probe.as_ref().and_then(|probe| probe.message().map(str::to_owned)),
        },
        "cache": {
            "directory": site.cache.space().directory,
            "underWay": site.cache.under_way(),
            "metadataTTLSeconds": site.settings.cache.metadata_ttl.as_secs(),
        },
        "credentials": { "references": credentials, "rejected": site.cache.credential_rejected() },
    })
}

/// Sets the gauges.
pub fn measure(app: &App) {
    let metrics = &app.engine.metrics;
    let usage = app.engine.store.inventory().usage();
    metrics.store_bytes.set(i64::try_from(usage.bytes).unwrap_or(i64::MAX));
    metrics.store_objects.set(i64::try_from(usage.objects).unwrap_or(i64::MAX));
    let evicted = usage.evictions.saturating_sub(metrics.evictions.get());
    metrics.evictions.inc_by(evicted);
    metrics.store_fault.set(i64::from(app.engine.store.fault().is_some()));
    metrics.breaker_state.clear();
    // Only origins that the configuration names: links in documents may name any number.
    for site in app.sites().iter() {
        let origin = SafeUrl::from(site.settings.upstream.url.clone()).origin();
        let state = app.shared.origins.state(&origin).map_or(State::Closed, |known| known.state);
        let value = match state {
            State::Closed => 0,
            State::Probing => 1,
            State::Open => 2,
            State::Paused => 3,
        };
        metrics.breaker_state.get_or_create(&OriginLabel { origin }).set(value);
    }
}
