//! One line per repeat, with the figures that a spreadsheet wants.

use std::fmt::Write as _;

use super::series;
use crate::measure::Measurement;
use crate::results::{Outcome, RunResult};

type Figure = fn(&RunResult, &Measurement) -> Option<f64>;

/// A figure by its name: a further figure of the benchmark, else a column, which for latencies may be in milliseconds too.
#[must_use]
pub fn figure_of(name: &str, result: &RunResult, done: &Measurement) -> Option<f64> {
    if let Some(&value) = done.extra.get(name) {
        return Some(value);
    }
    if let Some((_, figure)) = COLUMNS.into_iter().find(|(column, _)| *column == name) {
        return figure(result, done);
    }
    if let Some(latency) = name.strip_suffix("_ms")
        && let Some(microseconds) =
            LATENCIES.contains(&latency).then(|| figure_of(&format!("{latency}_us"), result, done))
    {
        return microseconds.map(|value| value / 1e3);
    }
    done.extra.get(name).copied()
}

const LATENCIES: [&str; 3] = ["p50", "p95", "p99"];

const COLUMNS: [(&str, Figure); 13] = [
    ("operations_per_s", series::operations_per_second),
    ("items_per_s", series::items_per_second),
    ("mb_per_s", series::megabytes_per_second),
    ("p50_us", series::p50_us),
    ("p95_us", series::p95_us),
    ("p99_us", series::p99_us),
    ("max_ms", series::max_ms),
    ("cpu_us_per_operation", series::cpu_us_per_operation),
    ("allocations_per_operation", series::allocations_per_operation),
    ("syncs_per_operation", series::syncs_per_operation),
    ("engine_bytes_per_operation", series::engine_bytes_per_operation),
    ("write_amplification", series::write_amplification),
    ("floor_multiple", series::floor_multiple),
];

/// All repeats as CSV. Figures that only some benchmarks have stand in the last column as `name=value` pairs.
#[must_use]
pub fn csv(results: &[RunResult]) -> String {
    let mut text = "benchmark,engine,version,repeat".to_owned();
    for (name, _) in COLUMNS {
        text.push(',');
        text.push_str(name);
    }
    text.push_str(",extra,error\n");
    for result in results {
        let engine = &result.engine;
        let mut line = [&result.benchmark, &engine.name, &engine.version].map(|word| quoted(word)).join(",");
        // Writing to a string cannot fail.
        let _ = write!(line, ",{}", result.repeat);
        for (_, figure) in COLUMNS {
            line.push(',');
            if let Some(value) = result.measurement().and_then(|done| figure(result, done)) {
                let _ = write!(line, "{value}");
            }
        }
        let extra: Vec<String> = result
            .measurement()
            .into_iter()
            .flat_map(|done| &done.extra)
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let error = if let Outcome::Failed(message) = &result.outcome { message.as_str() } else { "" };
        let _ = writeln!(text, "{line},{},{}", quoted(&extra.join(" ")), quoted(error));
    }
    text
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn every_line_has_the_columns_of_the_head_and_odd_text_is_quoted() {
        let mut failed = sample();
        failed.outcome = Outcome::Failed("it said \"no\", twice".to_owned());
        let text = csv(&[sample(), failed]);
        let lines: Vec<&str> = text.lines().collect();
        let columns = lines[0].split(',').count();
        assert_eq!(lines[1].split(',').count(), columns);
        assert!(lines[1].starts_with("client/b1/w1,granite,0.1.0,0,10000,10000,1,95,120,150,1,"));
        assert!(lines[2].ends_with("\"it said \"\"no\"\", twice\""));
    }
}
