//! Counts and durations of a daemon, in the text form that Prometheus reads.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tl_journal::{CollectReport, Outcome, Repository};

use crate::memory;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: String,
}

/// What is counted.
pub(crate) struct Metrics {
    registry: Registry,
    checkpoints: Counter,
    files_read: Counter,
    bytes_read: Counter,
    objects_new: Counter,
    bytes_new: Counter,
    requeued: Counter,
    failures: Counter,
    updates: Histogram,
    requests: Counter,
    refused: Counter,
    peers: Gauge,
    collections: Counter,
    collected_bytes: Counter,
    memory: Family<Named, Gauge>,
    engine: Family<Named, Gauge>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("timelapse");
        macro_rules! counter {
            ($name:literal, $about:literal) => {{
                let counter = Counter::default();
                registry.register($name, $about, counter.clone());
                counter
            }};
        }
        let checkpoints = counter!("checkpoints", "Checkpoints that changes were recorded in");
        let files_read = counter!("files_read", "Files and links that were read");
        let bytes_read = counter!("read_bytes", "Bytes of files and links that were read");
        let objects_new = counter!("objects_new", "Objects that were not stored before");
        let bytes_new = counter!("new_bytes", "Bytes of objects that were not stored before, as they are stored");
        let requeued = counter!("requeued", "Paths that changed while they were read");
        let failures = counter!("failures", "Captures that failed");
        let requests = counter!("requests", "Requests of other programs");
        let refused = counter!("refused_peers", "Connections that were refused or broke the protocol");
        let collections = counter!("collections", "Collections");
        let collected_bytes = counter!("collected_bytes", "Bytes of objects that collections dropped");
        // 50 us to about 50 s.
        let updates = Histogram::new(exponential_buckets(50e-6, 2.0, 20));
        registry.register_with_unit(
            "update",
            "Time from looking at changes to their checkpoint",
            Unit::Seconds,
            updates.clone(),
        );
        let peers = Gauge::default();
        registry.register("peers", "Connections", peers.clone());
        let memory = Family::<Named, Gauge>::default();
        registry.register_with_unit("memory", "Memory of the process", Unit::Bytes, memory.clone());
        let engine = Family::<Named, Gauge>::default();
        registry.register("engine", "Counters and gauges of the storage engine", engine.clone());
        Self {
            registry,
            checkpoints,
            files_read,
            bytes_read,
            objects_new,
            bytes_new,
            requeued,
            failures,
            updates,
            requests,
            refused,
            peers,
            collections,
            collected_bytes,
            memory,
            engine,
        }
    }
}

impl Metrics {
    pub(crate) fn updated(&self, outcome: &Outcome, duration: Duration) {
        self.checkpoints.inc_by(u64::from(outcome.checkpoint.is_some()));
        self.files_read.inc_by(outcome.files_read);
        self.bytes_read.inc_by(outcome.bytes_read);
        self.objects_new.inc_by(outcome.objects_new);
        self.bytes_new.inc_by(outcome.bytes_new);
        self.requeued.inc_by(outcome.requeue.len() as u64);
        self.updates.observe(duration.as_secs_f64());
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    pub(crate) fn requested(&self) {
        self.requests.inc();
    }

    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    pub(crate) fn peers(&self, count: usize) {
        self.peers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn collected(&self, report: &CollectReport) {
        self.collections.inc();
        self.collected_bytes.inc_by(report.bytes_dropped);
    }

    /// All of it as text.
    pub(crate) fn render(&self, repository: &Repository) -> String {
        let gauge = |family: &Family<Named, Gauge>, name: &str, value: u64| {
            family.get_or_create(&Named { name: name.to_owned() }).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        if let Some(measured) = memory::measure() {
            gauge(&self.memory, "anonymous", measured.anonymous);
            gauge(&self.memory, "shared", measured.shared);
            gauge(&self.memory, "resident", measured.resident);
        }
        let stats = repository.db().stats();
        for (name, value) in stats.counters.iter().chain(&stats.gauges) {
            gauge(&self.engine, name, *value);
        }
        let mut text = String::new();
        // Writing to a text cannot fail.
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }
}
