//! Figures in the text format of Prometheus (OpenMetrics 1.0).

use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result};
use granite::DbStats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The media type that the answer is sent as.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Amount = Gauge<u64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabels {
    keyspace: String,
    level: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyspaceLabels {
    keyspace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuantileLabels {
    operation: String,
    quantile: String,
}

/// A database that was read.
pub fn up(stats: &DbStats) -> Result<String> {
    let mut registry = registry(1);
    for (name, value) in &stats.gauges {
        let gauge = Amount::default();
        gauge.set(*value);
        registry.register(*name, format!("{} at this moment", words(name)), gauge);
    }
    for (name, value) in &stats.counters {
        let counter = Counter::<u64>::default();
        counter.inc_by(*value);
        registry.register(*name, format!("{} since the database was opened", words(name)), counter);
    }
    register_levels(&mut registry, stats);
    register_latencies(&mut registry, stats);
    text(&registry)
}

/// A database that cannot be read now.
pub fn down() -> Result<String> {
    text(&registry(0))
}

fn registry(up: u64) -> Registry {
    let mut registry = Registry::with_prefix("granite");
    let gauge = Amount::default();
    gauge.set(up);
    registry.register("up", "1 if the database could be read, 0 if not (a program may have it open)", gauge);
    registry
}

fn register_levels(registry: &mut Registry, stats: &DbStats) {
    let (tables, bytes, entries) = (Family::default(), Family::default(), Family::default());
    let memtables = Family::<KeyspaceLabels, Amount>::default();
    let set = |family: &Family<LevelLabels, Amount>, labels: &LevelLabels, value| {
        family.get_or_create(labels).set(value);
    };
    for keyspace in &stats.keyspaces {
        for (level, figures) in (0..).zip(&keyspace.levels) {
            let labels = LevelLabels { keyspace: keyspace.name.clone(), level };
            set(&tables, &labels, figures.tables);
            set(&bytes, &labels, figures.bytes);
            set(&entries, &labels, figures.entries);
        }
        let labels = KeyspaceLabels { keyspace: keyspace.name.clone() };
        memtables.get_or_create(&labels).set(keyspace.memtable_entries);
    }
    registry.register("level_tables", "Tables of each level", tables);
    registry.register("level_bytes", "Bytes of the tables of each level", bytes);
    registry.register("level_entries", "Entries of each level, deletes and old versions included", entries);
    registry.register("memtable_entries", "Entries in memtables", memtables);
}

fn register_latencies(registry: &mut Registry, stats: &DbStats) {
    let counts = Family::<OperationLabels, Counter<u64>>::default();
    let quantiles = Family::<QuantileLabels, Amount>::default();
    for (operation, latency) in &stats.latencies {
        counts.get_or_create(&OperationLabels { operation: (*operation).to_owned() }).inc_by(latency.count);
        for (quantile, value) in
            [("0.5", latency.p50_us), ("0.95", latency.p95_us), ("0.99", latency.p99_us), ("1", latency.max_us)]
        {
            let labels = QuantileLabels { operation: (*operation).to_owned(), quantile: quantile.to_owned() };
            quantiles.get_or_create(&labels).set(value);
        }
    }
    registry.register("timed_operations", "Operations whose duration was measured", counts);
    registry.register("duration_microseconds", "Quantiles of durations since the database was opened", quantiles);
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: String,
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn text(registry: &Registry) -> Result<String> {
    let mut text = String::new();
    encode(&mut text, registry).context("encode metrics")?;
    Ok(text)
}
