//! The fields of `status` besides its conditions.

use crds::PackageProxyStatus;
use crds::status::{CacheStatus, Condition, ConditionStatus, NameReference, ServiceReference, UpstreamStatus};
use crds::values::ByteSize;
use crds::workload::Storage;

use super::pods::Pods;
use super::verdict::find;
use super::{Observed, kind};
use crate::controller::build;
use crate::controller::plan::Plan;
use crate::facts::Report;

pub(super) fn status(
    previous: &PackageProxyStatus,
    observed: &Observed<'_>,
    plan: Option<&Plan>,
    pods: &Pods<'_>,
    conditions: Vec<Condition>,
) -> PackageProxyStatus {
    let healthy = find(&conditions, kind::UPSTREAM_REACHABLE).and_then(|condition| match condition.status {
        ConditionStatus::True => Some(true),
        ConditionStatus::False => Some(false),
        ConditionStatus::Unknown => None,
    });
    let count = |field: &str| {
        let deployment = observed.deployment?;
        i32::try_from(deployment["status"][field].as_i64().unwrap_or(0)).ok()
    };
    let mut status = PackageProxyStatus {
        observed_generation: Some(observed.generation),
        conditions,
        replicas: count("replicas"),
        ready_replicas: count("readyReplicas"),
        // What cannot be known without a plan stays: the children did not change either.
        ..previous.clone()
    };
    if let Some(plan) = plan {
        planned(&mut status, observed, plan);
        status.cache = cache(previous.cache.as_ref(), observed, plan, pods);
    }
    if let Some(upstream) = &mut status.upstream {
        upstream.healthy = healthy;
    }
    status
}

fn planned(status: &mut PackageProxyStatus, observed: &Observed<'_>, plan: &Plan) {
    status.url = plan.bases().into_iter().next();
    status.external_url = plan.manifest["spec"]["externalURL"].as_str().map(ToOwned::to_owned);
    status.service_ref = Some(ServiceReference { name: plan.name().to_owned(), port: plan.workload.service.port });
    status.client_config_map_ref =
        plan.workload.client_config.then(|| NameReference { name: format!("{}-client", plan.name()) });
    status.class_name.clone_from(&observed.class_name);
    status.owner = Some(plan.settings.owner.clone());
    // A Deployment that waits for its turn still has the image from before.
    let image = observed
        .deployment
        .and_then(|deployment| deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str());
    status.image = Some(image.unwrap_or_else(|| plan.image()).to_owned());
    let selector: Vec<String> = build::selector(plan).iter().map(|(key, value)| format!("{key}={value}")).collect();
    status.selector = Some(selector.join(","));
    let url = plan.manifest["spec"]["upstream"]["url"].as_str().map(ToOwned::to_owned);
    status.upstream = Some(UpstreamStatus { url, healthy: None });
}

/// The numbers of all replicas, once there are any; then only what moved by a twentieth, and only when it is time.
fn cache(previous: Option<&CacheStatus>, observed: &Observed<'_>, plan: &Plan, pods: &Pods<'_>) -> Option<CacheStatus> {
    let reports: Vec<&Report> = pods.reports().map(|(_, report)| report).collect();
    // Sums over some of the pods would move with each one that answers.
    if reports.is_empty() || !pods.unheard.is_empty() {
        return previous.cloned();
    }
    let sum = |number: fn(&Report) -> u64| reports.iter().map(|report| number(report)).sum::<u64>();
    let counter = |number: fn(&crate::facts::CacheReport) -> u64| {
        reports.iter().flat_map(|report| &report.proxies).map(|proxy| number(&proxy.cache)).sum::<u64>()
    };
    let backend = match plan.workload.storage {
        Storage::Ephemeral { .. } => "Ephemeral",
        Storage::Claim { .. } | Storage::ExistingClaim { .. } => "PersistentVolumeClaim",
    };
    let (hits, requests) = (counter(|cache| cache.hits), counter(|cache| cache.requests));
    let used = sum(|report| report.storage.bytes);
    let now = CacheStatus {
        backend: Some(backend.to_owned()),
        capacity: Some(coarse(sum(|report| report.storage.max_size))),
        used: Some(coarse(used)),
        objects: i64::try_from(sum(|report| report.storage.objects)).ok(),
        hit_percent: (hits * 100).checked_div(requests).map(|percent| percent.min(100) as i32),
    };
    let Some(before) = previous else { return Some(now) };
    let is_other_volume = before.backend != now.backend || before.capacity != now.capacity;
    if is_other_volume || (observed.cache_due && moved(before, &now, used)) { Some(now) } else { Some(before.clone()) }
}

/// Whether anything moved by a twentieth of what it was.
fn moved(before: &CacheStatus, now: &CacheStatus, used: u64) -> bool {
    let by_a_twentieth = |before: u64, now: u64| before.abs_diff(now) * 20 >= before.max(1);
    let bytes = before.used.as_deref().and_then(|text| text.parse::<ByteSize>().ok()).map_or(0, |size| size.0);
    let objects = |cache: &CacheStatus| cache.objects.unwrap_or(0).unsigned_abs();
    let percent = |cache: &CacheStatus| cache.hit_percent.unwrap_or(0);
    // Of small numbers the written form says less than a twentieth.
    (by_a_twentieth(bytes, used) && before.used != now.used)
        || (by_a_twentieth(objects(before), objects(now)) && before.objects != now.objects)
        || percent(before).abs_diff(percent(now)) >= 5
}

/// A number of bytes to one decimal, as a quantity.
fn coarse(bytes: u64) -> String {
    const UNITS: [(&str, u64); 5] =
        [("Pi", 1 << 50), ("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    let Some((suffix, unit)) = UNITS.into_iter().find(|(_, unit)| bytes >= *unit) else { return bytes.to_string() };
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    match tenths % 10 {
        0 => format!("{}{suffix}", tenths / 10),
        tenth => format!("{}.{tenth}{suffix}", tenths / 10),
    }
}
