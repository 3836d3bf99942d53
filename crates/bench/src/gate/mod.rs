//! The gate: refuses a change that made something worse, unless an exception with a reason and an end allows it.

mod exceptions;

use anyhow::Result;
use jiff::civil::Date;

use crate::compare::{Change, Comparison, Judgement};

pub use self::exceptions::{Exception, Exceptions};

/// What the gate found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// What got worse and no exception allows; empty if the gate opens.
    pub refused: Vec<Change>,
    /// What got worse and is allowed, with the reason.
    pub allowed: Vec<(Change, String)>,
}

/// Judges a comparison on the day `today`.
///
/// # Errors
/// If an exception has ended, or nothing needs it.
pub fn judge(comparison: &Comparison, exceptions: &Exceptions, today: Date) -> Result<Verdict> {
    exceptions.ensure_none_ended(today)?;
    let mut verdict = Verdict::default();
    let mut unused: Vec<&Exception> = exceptions.all().iter().collect();
    for change in comparison.changes.iter().filter(|change| change.judgement == Judgement::Worse) {
        match exceptions.all().iter().find(|exception| exception.allows(change)) {
            Some(exception) => {
                unused.retain(|other| *other != exception);
                verdict.allowed.push((change.clone(), exception.reason.clone()));
            }
            None => verdict.refused.push(change.clone()),
        }
    }
    exceptions.ensure_all_used(&unused)?;
    Ok(verdict)
}

#[cfg(test)]
mod tests;
