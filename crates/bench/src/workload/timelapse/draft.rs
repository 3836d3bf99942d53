//! Checkpoints that are made up: what a save of one file leaves in the journal, without the objects.

use anyhow::Result;
use tl_core::{ObjectId, ObjectKind};
use tl_journal::{Append, ChangeStats, Draft, Reason, Touched};

use super::repository::repo_path;
use super::tree::path_of;

/// Paths that the saves go round.
const PATHS: u64 = 100_000;

/// The checkpoint of a save, `number` of a series; its parent is the head of what is being appended.
pub(super) fn of_a_save(append: &Append<'_>, number: u64) -> Result<Draft> {
    let root = ObjectId::of(ObjectKind::Tree, &number.to_le_bytes());
    Ok(Draft {
        parents: append.head().map(|head| head.id).into_iter().collect(),
        stats: ChangeStats { files_changed: 1, bytes_added: 4000, bytes_removed: 4000, ..ChangeStats::default() },
        touched: Touched { listed: vec![repo_path(path_of(number % PATHS).as_bytes())?], more: false },
        ..Draft::new(Reason::FsBatch, root)
    })
}
