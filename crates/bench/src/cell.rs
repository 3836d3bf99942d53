//! One measurement in a process of its own. The runner starts this program again for each: no engine inherits the heap, the threads or
//! the caches of another, an engine that crashes fails alone, and the kernel's counters of the process are the engine's.

use std::io::{self, Read};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::engine::EngineSpec;
use crate::measure::Measurement;
use crate::workload::{Benchmark, Parameters, Site};

/// What the process is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Leave a database behind; the process may kill itself.
    Prepare,
    /// Measure.
    Measure,
}

/// What the runner asks, as JSON on standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Name of the benchmark.
    pub benchmark: String,
    /// Name of the engine.
    pub engine: String,
    /// Directory for the database.
    pub dir: PathBuf,
    /// Why.
    pub stage: Stage,
    /// The run's parameters.
    pub parameters: Parameters,
    /// Whether times count.
    pub timed: bool,
}

/// Answers the request on standard input by a measurement on standard output.
///
/// # Errors
/// If the request cannot be read, or the benchmark fails.
pub fn serve(engines: &[EngineSpec], benchmarks: &[Benchmark]) -> Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("cannot read the request")?;
    let request: Request = serde_json::from_str(&text).context("the request is not valid")?;
    drop(text);
    if let Some(measurement) = run(engines, benchmarks, &request)? {
        println!("{}", serde_json::to_string(&measurement)?);
    }
    Ok(())
}

fn run(engines: &[EngineSpec], benchmarks: &[Benchmark], request: &Request) -> Result<Option<Measurement>> {
    let engine = engines.iter().find(|engine| engine.name == request.engine);
    let engine = engine.with_context(|| format!("no engine is named {}", request.engine))?;
    let benchmark = benchmarks.iter().find(|benchmark| benchmark.name == request.benchmark);
    let benchmark = benchmark.with_context(|| format!("no benchmark is named {}", request.benchmark))?;
    let site = Site { engine, dir: &request.dir, parameters: &request.parameters, timed: request.timed };
    if request.stage == Stage::Prepare {
        benchmark.prepare(&site)?;
        return Ok(None);
    }
    let mut measurement = benchmark.run(&site)?;
    if !engine.allocates_in_rust {
        measurement.cost.allocations = None;
        measurement.cost.allocated_bytes = None;
    }
    Ok(Some(measurement))
}
