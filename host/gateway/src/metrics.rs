//! Metrics in OpenMetrics text.
//!
//! Counts calls by how they ended, from a closed list, so that the number of series is fixed
//! whatever callers send.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tidegate_model::{Outcome, RefusalCode};
use tidegate_store::Store as _;

use crate::{
    figures::{AllFigures, PluginMetrics},
    gateway::Gateway,
};

/// How a call ended: `ok`, or a refusal code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    end: &'static str,
}

/// Which organisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    org: String,
}

/// A call under way: counted when it ends, as cancelled where nobody ends it.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    metrics: &'a Metrics,
    began: Instant,
    end: &'static str,
}

impl Counting<'_> {
    /// Counts the call by how it ended.
    pub(crate) fn end(mut self, outcome: &Outcome) {
        self.end = match outcome {
            Ok(_) => "ok",
            Err(refusal) => refusal.code.name(),
        };
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.metrics.calls.get_or_create(&End { end: self.end }).inc();
        self.metrics.seconds.observe(self.began.elapsed().as_secs_f64());
    }
}

/// The process's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<End, Counter>,
    seconds: Histogram,
    sessions: Gauge,
    revision: Family<Of, Gauge>,
    rows: Gauge<f64, AtomicU64>,
    keys: KeyMetrics,
}

/// About the keys that seal what each organisation keeps.
#[derive(Debug, Default)]
struct KeyMetrics {
    version: Family<Of, Gauge>,
    sealed: Family<Of, Gauge>,
    old_rows: Family<Of, Gauge>,
}

impl KeyMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let this = Self::default();
        let all = [
            ("key_version", "The version of the key that seals what is written", &this.version),
            ("key_sealed_values", "Values that this key has sealed, at least", &this.sealed),
            ("rows_under_old_keys", "Rows that are still to be resealed", &this.old_rows),
        ];
        for (name, help, family) in all {
            registry.register(name, help, family.clone());
        }
        this
    }

    fn read(&self, gateway: &Gateway) {
        let Some(rotation) = gateway.rotation.get() else { return };
        for org in rotation.store().keyring().orgs() {
            let Some(key) = rotation.key(&org) else { continue };
            let of = Of { org: org.to_string() };
            let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            self.version.get_or_create(&of).set(i64::from(key.version));
            self.sealed.get_or_create(&of).set(number(key.sealed));
            self.old_rows.get_or_create(&of).set(number(rotation.left(&org)));
        }
    }
}

impl Metrics {
    /// All at zero; those of plugins are read from `plugins`.
    pub(crate) fn new(plugins: Arc<AllFigures>) -> Self {
        let mut registry = Registry::with_prefix("tidegate");
        let calls = Family::<End, Counter>::default();
        // 100 µs to 50 s, doubling.
        let seconds = Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(
            0.000_1, 2.0, 20,
        ));
        let (sessions, rows) = (Gauge::default(), Gauge::default());
        let revision = Family::<Of, Gauge>::default();
        registry.register("calls", "Tool calls by how they ended", calls.clone());
        registry.register(
            "call_duration_seconds",
            "Time from request to durable row",
            seconds.clone(),
        );
        registry.register("sessions", "Open sessions of legacy clients", sessions.clone());
        registry.register("revision", "The configuration revision in effect", revision.clone());
        registry.register("audit_rows", "Rows in the audit log", rows.clone());
        let keys = KeyMetrics::registered(&mut registry);
        registry.register_collector(Box::new(PluginMetrics(plugins)));
        Self { registry, calls, seconds, sessions, revision, rows, keys }
    }

    /// Begins to count a call.
    pub(crate) fn begin(&self) -> Counting<'_> {
        Counting { metrics: self, began: Instant::now(), end: RefusalCode::Cancelled.name() }
    }

    /// The text of all metrics.
    pub(crate) fn encode(&self, gateway: &Gateway) -> String {
        self.sessions.set(i64::try_from(gateway.sessions.count()).unwrap_or(i64::MAX));
        // One that was removed has no series any more.
        self.revision.clear();
        for organisation in gateway.organisations() {
            let revision = organisation.revision().map_or(0, |revision| revision.id.0);
            let of = Of { org: organisation.id.to_string() };
            self.revision.get_or_create(&of).set(i64::try_from(revision).unwrap_or(i64::MAX));
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge may be off by one in 2^53 rows")]
        self.rows.set(gateway.audit.log().map_or(0.0, |log| log.size() as f64));
        self.keys.read(gateway);
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}
