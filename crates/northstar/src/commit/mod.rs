//! From a record in the log to a state that readers see: who syncs, for whom, and when a root becomes visible.

mod group;

pub(crate) use group::Group;
