//! A limit on everything. They are part of the format: what is stored was within them.

/// Longest type, in bytes.
pub const TYPE_LEN_MAX: usize = 255;
/// Longest dedupe key, in bytes.
pub const DEDUPE_KEY_LEN_MAX: usize = 255;
/// Longest name of an agent, in bytes.
pub const AGENT_LEN_MAX: usize = 255;
/// Longest reason of a failure, in bytes. Longer ones are cut.
pub const REASON_LEN_MAX: usize = 4096;
/// Longest payload, in bytes.
pub const PAYLOAD_LEN_MAX: usize = 1 << 20;
/// Longest result, in bytes.
pub const RESULT_LEN_MAX: usize = 1 << 20;
/// Tasks that one task can wait for.
pub const BLOCKERS_MAX: usize = 1000;
/// Tasks that can wait for one task: the one that ends its wait frees all of them in one transaction.
pub const DEPENDENTS_MAX: u32 = 10_000;
/// Tasks that are looked at to see whether a new edge closes a cycle.
pub const CYCLE_WALK_MAX: usize = 100_000;
/// Types that a queue can have.
pub const TYPES_MAX: u32 = 10_000;
/// Tasks that one call enqueues.
pub const ENQUEUE_MAX: usize = 10_000;
/// Tasks that one call claims.
pub const CLAIM_MAX: usize = 1000;
/// Types that one call claims from.
pub const CLAIM_TYPES_MAX: usize = 64;
/// Bytes of payload after which a call claims no more.
pub const CLAIM_LEN_MAX: usize = 4 << 20;
/// Longest lease, longest delay of a retry: ten years, in microseconds.
pub const SPAN_US_MAX: u64 = 10 * 365 * 86_400 * 1_000_000;
/// Expired leases of a type that are taken back at once, before anything is claimed.
pub(super) const RECLAIM_BATCH: usize = 256;
