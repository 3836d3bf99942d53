//! Rewriting tables: what a policy plans, one executor runs.
//!
//! `policy` looks at a version and returns a [`Plan`], or nothing. `run` carries a plan out. `retention` decides which entries are still needed,
//! `output` writes tables, `values` moves separated values out of segments that hold little else of use. Flushes use the same parts.

pub(crate) mod leveled;
pub(crate) mod output;
pub(crate) mod plan;
pub(crate) mod retention;
pub(crate) mod run;
pub(crate) mod tiered;
pub(crate) mod values;

pub(crate) use plan::Plan;
