//! Counters and gauges in the conventions of Prometheus. Labels come from closed lists only: never a package name.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The ecosystem; `none` where the path names no proxy.
    pub ecosystem: &'static str,
    /// Class of the status: `2xx` ... `5xx`.
    pub outcome: &'static str,
    /// What the cache did: see [`crate::cache_status::CacheStatus::label`].
    pub cache: &'static str,
}

/// One label: the ecosystem.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EcosystemLabel {
    /// The ecosystem.
    pub ecosystem: &'static str,
}

/// Labels of a request to an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabels {
    /// The ecosystem.
    pub ecosystem: &'static str,
    /// Class of the status, or the kind of failure.
    pub outcome: &'static str,
}

/// One label: an upstream's origin, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OriginLabel {
    /// `scheme://host:port`.
    pub origin: String,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// Body bytes that came from the store.
    pub bytes_from_cache: Family<EcosystemLabel, Counter>,
    /// Body bytes that came from an upstream.
    pub bytes_from_upstream: Family<EcosystemLabel, Counter>,
    /// Requests sent to upstreams.
    pub upstream_requests: Family<UpstreamLabels, Counter>,
    /// Seconds to the head of an upstream's answer.
    pub upstream_latency: Family<EcosystemLabel, Histogram>,
    /// Requests that an upstream will still answer within its limit, as it said last.
    pub upstream_ratelimit_remaining: Family<OriginLabel, Gauge>,
    /// Artifacts and documents fetched for the cache.
    pub fills: Family<EcosystemLabel, Counter>,
    /// Bodies whose digest was not the published one.
    pub digest_mismatches: Family<EcosystemLabel, Counter>,
    /// Artifacts passed on without comparing a published digest, for want of a disk.
    pub unverified: Family<EcosystemLabel, Counter>,
    /// Requests failed because a document has run out by its own word while the upstream failed.
    pub run_out: Family<EcosystemLabel, Counter>,
    /// Requests with a Host that is on no list.
    pub unlisted_hosts: Family<EcosystemLabel, Counter>,
    /// 0 closed, 1 half-open, 2 open, 3 paused by the origin.
    pub breaker_state: Family<OriginLabel, Gauge>,
    /// Bytes that blobs and records take.
    pub store_bytes: Gauge,
    /// Number of blobs.
    pub store_objects: Gauge,
    /// Number of records.
    pub store_records: Gauge,
    /// Blobs and records evicted.
    pub evictions: Counter,
    /// 1 while the disk does not take writes.
    pub store_fault: Gauge,
    /// Loaded configurations and refused ones.
    pub reloads: Counter,
    /// Configurations that were refused.
    pub reloads_refused: Counter,
    /// Seconds since the epoch at which the process started.
    pub started: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Self {
        let latency = || Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let mut metrics = Self {
            registry: Registry::with_prefix("packageproxy"),
            requests: Family::default(),
            bytes_from_cache: Family::default(),
            bytes_from_upstream: Family::default(),
            upstream_requests: Family::default(),
            upstream_latency: Family::new_with_constructor(latency),
            upstream_ratelimit_remaining: Family::default(),
            fills: Family::default(),
            digest_mismatches: Family::default(),
            unverified: Family::default(),
            run_out: Family::default(),
            unlisted_hosts: Family::default(),
            breaker_state: Family::default(),
            store_bytes: Gauge::default(),
            store_objects: Gauge::default(),
            store_records: Gauge::default(),
            evictions: Counter::default(),
            store_fault: Gauge::default(),
            reloads: Counter::default(),
            reloads_refused: Counter::default(),
            started: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register("bytes_from_cache", "Body bytes from the store", metrics.bytes_from_cache.clone());
        registry.register("bytes_from_upstream", "Body bytes from upstreams", metrics.bytes_from_upstream.clone());
        registry.register("upstream_requests", "Requests to upstreams", metrics.upstream_requests.clone());
        registry.register_with_unit(
            "upstream_latency",
            "Time to the head of an upstream's answer",
            Unit::Seconds,
            metrics.upstream_latency.clone(),
        );
        registry.register(
            "upstream_ratelimit_remaining",
            "Requests left of an upstream's limit, as it said last",
            metrics.upstream_ratelimit_remaining.clone(),
        );
        registry.register("fills", "Documents and artifacts fetched for the cache", metrics.fills.clone());
        registry.register("digest_mismatches", "Bodies with a wrong digest", metrics.digest_mismatches.clone());
        registry.register("unverified", "Artifacts passed on unverified", metrics.unverified.clone());
        registry.register("run_out", "Requests failed by a Valid-Until in the past", metrics.run_out.clone());
        registry.register("unlisted_hosts", "Requests with an unlisted Host", metrics.unlisted_hosts.clone());
        registry.register(
            "breaker_state",
            "0 closed, 1 half-open, 2 open, 3 paused by the origin",
            metrics.breaker_state.clone(),
        );
        registry.register("store_bytes", "Bytes that blobs and records take", metrics.store_bytes.clone());
        registry.register("store_objects", "Number of blobs", metrics.store_objects.clone());
        registry.register("store_records", "Number of records", metrics.store_records.clone());
        registry.register("evictions", "Blobs and records evicted", metrics.evictions.clone());
        registry.register("store_fault", "1 while the disk takes no writes", metrics.store_fault.clone());
        registry.register("reloads", "Configurations loaded", metrics.reloads.clone());
        registry.register("reloads_refused", "Configurations refused", metrics.reloads_refused.clone());
        registry.register("start_time_seconds", "Start of the process", metrics.started.clone());
        metrics
    }

    /// The text exposition.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// The class of a status, as a label.
pub fn status_class(status: http::StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
