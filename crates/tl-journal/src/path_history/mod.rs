//! Which checkpoints touched a path: a cartridge of northstar in the store's directory `state`, made from the journal and kept near its end.
//!
//! It is derived. It may be lost, damaged or behind at any time: what it does not cover is walked over, and what it cannot tell too. It may also say too much, since whoever
//! asks compares the trees. What it must not do is to leave a checkpoint out, and it does not, though checkpoints are thinned: a touch of a checkpoint that is gone counts for the next one
//! that is left, which is what that one is compared with the one before for.
//!
//! It holds names of paths and numbers of checkpoints, and no contents.

mod build;
mod candidates;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use northstar::cartridge::kinds::path_history::PathHistory as Rules;
use northstar::cartridge::{Cartridge, Catalog, Position, StreamId};

use crate::checkpoint::{Checkpoint, CheckpointId};
use crate::error::Result;
use crate::journal::{Journal, Order};
use crate::repository::Repository;

pub use build::PathHistoryReport;
pub use candidates::Candidates;

/// Where it stands in a store's directory.
const STATE_DIR: &str = "state";
/// The stream of checkpoints, in the order of their numbers. Which store's it is, the anchor tells: the id of a checkpoint is drawn from 80 random bits.
const STREAM: StreamId = StreamId(*b"timelapse/path 1");
/// Memory that a build may take.
const BUILD_MEMORY_BYTES: usize = 4 << 20;

/// What is known of the checkpoints that touched paths, as it is now. The default knows nothing.
#[derive(Debug, Default)]
pub struct PathHistory {
    cartridge: Option<Cartridge>,
    /// Set when it proves to be damaged, so that it is built again.
    damaged: Arc<AtomicBool>,
}

impl PathHistory {
    /// The number of the newest checkpoint that it covers, if it can be used at all.
    #[must_use]
    pub fn covered(&self) -> Option<u64> {
        self.cartridge.as_ref().map(|cartridge| cartridge.header().position.sequence)
    }

    fn covered_id(&self) -> Option<CheckpointId> {
        self.cartridge.as_ref().and_then(|cartridge| id_of(&cartridge.header().position))
    }

    fn note_damage(&self, error: &northstar::cartridge::Error) {
        tracing::warn!(%error, "the history of paths cannot be used");
        self.damaged.store(true, Ordering::Relaxed);
    }
}

impl Repository {
    fn path_history_catalog(&self) -> Catalog {
        Catalog::new(Arc::clone(&self.config().vfs), self.path_history_dir()).with_build_memory(BUILD_MEMORY_BYTES)
    }

    fn path_history_dir(&self) -> PathBuf {
        self.config().store_dir.join(STATE_DIR)
    }

    /// What is known of the checkpoints that touched paths. Nothing, if nothing was built yet, or it is damaged or of another store.
    #[must_use]
    pub fn path_history(&self) -> PathHistory {
        let damaged = Arc::clone(self.path_history_damaged());
        let opened =
            self.path_history_catalog().open_for::<Rules>(STREAM, |position| stood_at(self.journal(), position));
        let cartridge = match opened {
            Ok(cartridge) => Some(cartridge),
            Err(error) if error.is_not_found() => None,
            Err(error) => {
                tracing::warn!(%error, "the history of paths cannot be used");
                None
            }
        };
        PathHistory { cartridge, damaged }
    }

    /// True if somebody found the history of paths damaged since it was built.
    #[must_use]
    pub fn path_history_is_damaged(&self) -> bool {
        self.path_history_damaged().load(Ordering::Relaxed)
    }
}

/// Behind this checkpoint.
fn position_of(checkpoint: &Checkpoint) -> Position {
    let mut anchor = [0; 32];
    if let Some(id) = anchor.first_chunk_mut() {
        *id = checkpoint.id.to_bytes();
    }
    Position { sequence: checkpoint.sequence, anchor }
}

fn id_of(position: &Position) -> Option<CheckpointId> {
    let (id, zeros) = position.anchor.split_first_chunk()?;
    zeros.iter().all(|byte| *byte == 0).then(|| CheckpointId::from_bytes(*id))
}

/// True if the journal ever ended at `position`: the checkpoint with this number has this id or, if it was thinned, those before and after it have ids to match. A journal that
/// lost its end and took the numbers anew has others.
fn stood_at(journal: &Journal, position: &Position) -> bool {
    let Some(id) = id_of(position).filter(|_| position.sequence <= journal.last_sequence()) else { return false };
    let fits = || -> Result<bool> {
        if let Some(same) = journal.get_by_sequence(position.sequence)? {
            return Ok(same.id == id);
        }
        let older = journal.walk(..=id, Order::NewestFirst)?.next().transpose()?;
        let younger = journal.walk(id.., Order::OldestFirst)?.next().transpose()?;
        Ok(older.is_none_or(|older| older.sequence < position.sequence)
            && younger.is_none_or(|younger| younger.sequence > position.sequence))
    };
    fits().unwrap_or_else(|error| {
        tracing::warn!(%error, "whether the history of paths is of this journal cannot be told");
        false
    })
}
