//! What the operator counts and measures, in the `OpenMetrics` text format. No label holds a text of an error.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ResultLabel, Counter>,
    errors: Family<ClassLabel, Counter>,
    durations: Histogram,
    watch_errors: Family<KindLabel, Counter>,
    watch_ages: Family<KindLabel, Gauge>,
    applies: Family<ApplyLabels, Counter>,
    objects: Family<ObjectLabels, Gauge>,
    conditions: Family<ConditionLabels, Gauge>,
    crd_missing: Family<CrdLabel, Gauge>,
    crd_outdated: Family<CrdLabel, Gauge>,
    unsynced: Family<NamespaceLabel, Gauge>,
    /// Whether this process leads.
    pub leader: Gauge,
    /// Proxies that could be worked on now.
    pub queue_depth: Gauge,
    polls: Family<ResultLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CrdLabel {
    crd: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceLabel {
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApplyLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// One proxy's place among the objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ObjectLabels {
    /// Its ecosystem.
    pub ecosystem: String,
    /// Its owner.
    pub owner: String,
    /// The status of its condition `Ready`.
    pub ready: String,
}

/// One condition of one proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConditionLabels {
    /// The proxy's namespace.
    pub namespace: String,
    /// The proxy's name.
    pub name: String,
    /// The condition.
    pub r#type: String,
    /// Its status.
    pub status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("packageproxy"),
            reconciles: Family::default(),
            errors: Family::default(),
            durations: Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]),
            watch_errors: Family::default(),
            watch_ages: Family::default(),
            applies: Family::default(),
            objects: Family::default(),
            conditions: Family::default(),
            crd_missing: Family::default(),
            crd_outdated: Family::default(),
            unsynced: Family::default(),
            leader: Gauge::default(),
            queue_depth: Gauge::default(),
            polls: Family::default(),
        };
        metrics.register();
        Arc::new(metrics)
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("reconcile", "Looks at a proxy by result", self.reconciles.clone());
        registry.register("reconcile_errors", "Looks at a proxy that failed, by class", self.errors.clone());
        registry.register("reconcile_duration_seconds", "Duration of one look at a proxy", self.durations.clone());
        registry.register("watch_errors", "Failed lists and watches by kind", self.watch_errors.clone());
        registry.register("watch_age_seconds", "Time since a kind was last asked for", self.watch_ages.clone());
        registry.register("apply", "Objects that were applied or deleted, by outcome", self.applies.clone());
        registry.register("objects", "Proxies by ecosystem, owner and readiness", self.objects.clone());
        registry.register("condition", "1 for the status that a condition has", self.conditions.clone());
        registry.register("crd_missing", "1 while the API server does not know a kind", self.crd_missing.clone());
        registry.register(
            "crd_outdated",
            "1 while the installed definition of a kind lacks fields of this version",
            self.crd_outdated.clone(),
        );
        let help = "1 for a namespace that could not be read whole yet; an empty one stands for all";
        registry.register("unsynced", help, self.unsynced.clone());
        registry.register("leader", "1 while this process leads", self.leader.clone());
        registry.register("queue_depth", "Proxies that wait for a worker", self.queue_depth.clone());
        registry.register("polls", "Questions to admin ports by result", self.polls.clone());
        let build: Family<BuildLabels, Gauge> = Family::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "The version", build);
    }

    /// One look at a proxy ended so.
    pub fn reconciled(&self, result: &'static str, duration: Duration) {
        self.reconciles.get_or_create(&ResultLabel { result }).inc();
        self.durations.observe(duration.as_secs_f64());
    }

    /// One look at a proxy failed: `transient` or `permanent`.
    pub fn failed(&self, class: &'static str) {
        self.errors.get_or_create(&ClassLabel { class }).inc();
    }

    /// A list or watch failed.
    pub fn watch_error(&self, plural: &str) {
        self.watch_errors.get_or_create(&KindLabel { kind: plural.to_owned() }).inc();
    }

    /// An object was applied or deleted, with this outcome.
    pub fn applied(&self, kind: &'static str, outcome: &'static str) {
        self.applies.get_or_create(&ApplyLabels { kind, outcome }).inc();
    }

    /// A question to an admin port ended so.
    pub fn polled(&self, result: &'static str) {
        self.polls.get_or_create(&ResultLabel { result }).inc();
    }

    /// Whether the API server lacks a kind.
    pub fn crd_missing(&self, crd: &str, missing: bool) {
        self.crd_missing.get_or_create(&CrdLabel { crd: crd.to_owned() }).set(i64::from(missing));
    }

    /// Whether the installed definition of a kind lacks fields of this version.
    pub fn crd_outdated(&self, kind: &str, outdated: bool) {
        self.crd_outdated.get_or_create(&CrdLabel { crd: kind.to_owned() }).set(i64::from(outdated));
    }

    /// Replaces what is said of the proxies and the watches.
    pub fn measured(
        &self,
        objects: impl Iterator<Item = ObjectLabels>,
        conditions: impl Iterator<Item = ConditionLabels>,
        ages: impl IntoIterator<Item = (String, Duration)>,
        unsynced: Vec<String>,
    ) {
        self.objects.clear();
        self.conditions.clear();
        self.unsynced.clear();
        for namespace in unsynced {
            self.unsynced.get_or_create(&NamespaceLabel { namespace }).set(1);
        }
        for labels in objects {
            self.objects.get_or_create(&labels).inc();
        }
        for labels in conditions {
            self.conditions.get_or_create(&labels).set(1);
        }
        for (kind, age) in ages {
            self.watch_ages.get_or_create(&KindLabel { kind }).set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        }
    }

    /// The text of all of them.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
