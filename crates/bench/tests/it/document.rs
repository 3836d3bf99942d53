//! The document on performance.

use std::fs;
use std::path::Path;

/// Figures in prose and tables come from the results that are committed beside it, or the document says what nobody measured.
#[test]
fn the_document_on_performance_is_made_from_its_template_and_the_committed_results() {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let root = Path::new(&package).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let filled = bench::document::fill(&read("bench/performance.md.in"), &root.join("bench/results"));
    let filled = filled.unwrap_or_else(|error| panic!("bench/performance.md.in: {error:#}"));
    let committed = read("docs/performance.md");
    let stale = committed.lines().zip(filled.lines()).find(|(committed, now)| committed != now);
    let same = stale.is_none() && committed.len() == filled.len();
    assert!(same, "docs/performance.md is stale (cargo run -p bench -- document): {stale:?}");
}
