//! What `/status` says, and the gauges that are measured when somebody looks.

use serde_json::{Value, json};

use crate::app::App;
use crate::fetch::SafeUrl;
use crate::fetch::breaker::State;
use crate::fetch::references::{Reference, Use, references};
use crate::metrics::OriginLabel;
use crate::site::{Site, Unlisted};

mod upstream;

/// Lines of one list that are shown.
const LINES: usize = 16;
/// Bytes of one text that are shown. With the limits on lists and manifests, one proxy's status stays below 64 KiB.
const TEXT: usize = 1024;

/// The state of the process as JSON. Holds no secret and no query of an address.
pub fn of(app: &App) -> Value {
    let reload = app.reload();
    let store = &app.engine.store;
    let usage = store.inventory().usage();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "phase": format!("{:?}", *app.phase.borrow()),
        "configuration": {
            "refused": lines(&reload.refused),
            "refusedGeneration": reload.refused_generation,
            "refusedSha256": said(&reload.refused_sha256),
            "sha256": said(&reload.sha256),
            "warnings": lines(&reload.warnings),
        },
        "proxies": app.sites().iter().map(|site| proxy(app, site)).collect::<Vec<_>>(),
        "storage": {
            "directory": store.options().root.display().to_string(),
            "bytes": usage.bytes,
            "objects": usage.objects,
            "records": usage.records,
            "reserved": usage.reserved,
            "maxSize": store.inventory().max_size(),
            "evictions": usage.evictions,
            "keeper": store.is_keeper(),
            "fault": store.fault().map(|text| shown(&text)),
            "readFault": store.read_fault().map(|text| shown(&text)),
            "readOnly": store.is_read_only(),
            "full": store.is_full(),
        },
    })
}

fn proxy(app: &App, site: &Site) -> Value {
    let upstream = SafeUrl::from(site.settings.upstream.url.clone());
    let known = app.shared.origins.state(&upstream.origin());
    let probe = app.probe_of(&site.settings.name);
    let rejected = site.cache.credential_rejected();
    let known_of = upstream::Known {
        traffic: known.as_ref(),
        rejected,
        probe: probe.as_ref().map(|(probe, time)| (probe, *time)),
    };
    let (reason, message) = upstream::verdict(known_of);
    let found = references(&site.settings.upstream, &site.present, &app.shared);
    let port = app.certificate.as_ref().map(|certificate| Reference {
        origin: app.data_origin(),
        secret: certificate.secret().to_owned(),
        used_for: Use::Tls,
        defect: certificate.defect(),
    });
    let credentials: Vec<Value> = found.iter().chain(&port).map(reference).collect();
    json!({
        "name": site.settings.name,
        "ecosystem": site.settings.ecosystem.name(),
        "owner": site.settings.owner,
        "generation": site.settings.generation,
        "url": site.first_base(),
        "unlistedHosts": unlisted(site),
        "upstream": {
            "url": upstream.to_string(),
            "state": known.as_ref().map_or("closed", |known| known.state.name()),
            "consecutiveFailures": known.as_ref().map_or(0, |known| known.consecutive_failures),
            "retryAfterSeconds": known.as_ref().and_then(|known| known.retry_after).map(|wait| wait.as_secs()),
            "lastError": known.as_ref().and_then(|known| known.last_error.as_deref().map(shown)),
            "lastSuccess": known.as_ref().and_then(|known| known.last_success).map(|time| time.to_string()),
            "probe": probe.as_ref().map(|(probe, _)| probe.reason()),
            "probeMessage": probe.as_ref().and_then(|(probe, _)| probe.message().map(shown)),
            "reason": reason,
            "message": message.as_deref().map(shown),
        },
        "cache": {
            "directory": site.cache.space().directory,
            "underWay": site.cache.under_way(),
            "metadataTTLSeconds": site.settings.cache.metadata_ttl.as_secs(),
            "hits": site.traffic.hits(),
            "requests": site.traffic.requests(),
        },
        "credentials": { "references": credentials, "rejected": rejected },
    })
}

/// Clients that reach a proxy under a name that it does not know: their links begin with another.
fn unlisted(site: &Site) -> Option<Value> {
    let Unlisted { requests, last } = site.unlisted();
    let message = format!(
        "links for these clients begin with {}: if they reach this proxy at the address that they name, set externalURL",
        site.first_base()
    );
    (requests > 0).then(|| json!({ "requests": requests, "last": last, "message": shown(&message) }))
}

fn reference(found: &Reference) -> Value {
    let defect = found.defect.as_ref();
    json!({
        "origin": shown(&found.origin),
        "secret": found.secret,
        "use": found.used_for.name(),
        "resolved": defect.is_none(),
        "reason": defect.map_or("Resolved", |defect| defect.reason),
        "key": defect.and_then(|defect| defect.key.as_deref()),
        "problem": defect.map(|defect| shown(&defect.text)),
    })
}

/// The first lines of a list, and how many there are more.
fn lines(all: &[String]) -> Vec<String> {
    let mut some: Vec<String> = all.iter().take(LINES).map(|line| shown(line)).collect();
    if let Some(more) = all.len().checked_sub(LINES).filter(|more| *more > 0) {
        some.push(format!("and {more} more: see the log"));
    }
    some
}

/// A text that may be missing.
fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The beginning of a text.
fn shown(text: &str) -> String {
    if text.len() <= TEXT {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(TEXT)])
}

/// Sets the gauges.
pub fn measure(app: &App) {
    let metrics = &app.engine.metrics;
    let usage = app.engine.store.inventory().usage();
    metrics.store_bytes.set(i64::try_from(usage.bytes).unwrap_or(i64::MAX));
    metrics.store_objects.set(i64::try_from(usage.objects).unwrap_or(i64::MAX));
    metrics.store_records.set(i64::try_from(usage.records).unwrap_or(i64::MAX));
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
            State::HalfOpen => 1,
            State::Open => 2,
            State::Paused => 3,
        };
        metrics.breaker_state.get_or_create(&OriginLabel { origin }).set(value);
    }
}
