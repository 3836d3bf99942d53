//! Reports over a directory of results: Markdown for people, CSV for programs.

mod csv;
mod markdown;
mod series;

pub use csv::csv;
pub use markdown::markdown;
pub use series::{Series, group};
