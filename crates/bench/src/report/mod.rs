//! Reports over a directory of results: Markdown for people, CSV for programs, a page with plots for both.

mod csv;
mod markdown;
mod page;
mod plot;
mod series;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

pub use csv::{csv, figure_of};
pub use markdown::{interval, markdown, number, paired_ratio};
pub use series::{Series, group};

use crate::results::RunResult;

/// Writes `summary.md`, `results.csv`, `index.html` and a plot of each benchmark as SVG and PNG.
///
/// # Errors
/// If they cannot be written.
pub fn write(results: &[RunResult], out: &Path) -> Result<()> {
    let plots = out.join(page::PLOTS);
    fs::create_dir_all(&plots).with_context(|| format!("cannot create {}", plots.display()))?;
    let write =
        |path: &Path, bytes: &[u8]| fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()));
    let summary = markdown(results);
    write(&out.join("summary.md"), summary.as_bytes())?;
    write(&out.join("results.csv"), csv(results).as_bytes())?;
    let mut drawn = Vec::new();
    for (benchmark, all) in group(results) {
        let Some(plot) = plot::Plot::of(benchmark, &all) else { continue };
        let name = benchmark.replace('/', ".");
        write(&plots.join(format!("{name}.svg")), plot.svg()?.as_bytes())?;
        write(&plots.join(format!("{name}.png")), &plot.png()?)?;
        drawn.push((benchmark, name));
    }
    write(&out.join("index.html"), page::html(&summary, &drawn).as_bytes())
}
