//! What remains to be said when a root is gone: which state it had before its removal began.

use std::time::Duration;

use tl_journal::{Checkpoint, CheckpointId, Journal, Order, Reason};

use crate::error::{Error, Result};
use crate::stores::{StoreDir, read_private, write_atomically};

const HEADER: &str = "timelapse removal 1";
const NOTE_LEN_MAX: usize = 256;
/// Checkpoints further apart do not belong to one removal.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// That a root is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// When it was noticed, since 1970.
    pub time: Duration,
    /// The last state before files began to go; `None` if there was none.
    pub before: Option<CheckpointId>,
}

impl Removal {
    /// What the journal tells about a removal that was noticed at `now`: the newest checkpoints that did nothing but remove files, each shortly before the next,
    /// belong to it.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(super) fn noticed(journal: &Journal, now: Duration) -> Result<Self> {
        let mut before = None;
        let mut later = now;
        for found in journal.walk(.., Order::NewestFirst)? {
            let found = found?;
            if found.reason == Reason::Import {
                continue;
            }
            before = Some(found.id);
            if !only_removes(&found) || later.saturating_sub(found.time) > PAUSE_MAX {
                break;
            }
            later = found.time;
        }
        Ok(Self { time: now, before })
    }

    /// The note in a store, if its root was found to be gone.
    ///
    /// # Errors
    /// If the note cannot be read. One that is not understood is none.
    pub fn load(store: &StoreDir) -> Result<Option<Self>> {
        let content = read_private(&path(store), NOTE_LEN_MAX)?;
        Ok(content.and_then(|content| Self::decode(std::str::from_utf8(&content).ok()?)))
    }

    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let time = Duration::from_micros(lines.next()?.strip_prefix("time_us ")?.parse().ok()?);
        let before = match lines.next()?.strip_prefix("before ")? {
            "-" => None,
            id => Some(id.parse().ok()?),
        };
        Some(Self { time, before })
    }

    pub(super) fn save(&self, store: &StoreDir) -> Result<()> {
        let before = self.before.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let text = format!("{HEADER}\ntime_us {}\nbefore {before}\n", self.time.as_micros());
        write_atomically(&path(store), text.as_bytes())
    }

    /// The root is there again.
    pub(super) fn forget(store: &StoreDir) -> Result<()> {
        let path = path(store);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, error)),
            _ => Ok(()),
        }
    }
}

fn path(store: &StoreDir) -> std::path::PathBuf {
    store.state().join("removed")
}

fn only_removes(checkpoint: &Checkpoint) -> bool {
    let stats = &checkpoint.stats;
    // Directories are in no count: a checkpoint without any is one of directories alone.
    checkpoint.reason == Reason::FsBatch && stats.files_added == 0 && stats.files_changed == 0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use granite::{Db, Durability, Options};
    use tl_core::ObjectId;
    use tl_journal::{ChangeStats, Draft};
    use vfs::DiskVfs;

    use super::*;

    struct Lab {
        dir: tempfile::TempDir,
        journal: Journal,
    }

    impl Lab {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let vfs = Arc::new(DiskVfs::new());
            let db = Db::open(dir.path().join("db"), &Options::new().vfs(vfs)).unwrap();
            Self { dir, journal: Journal::open(&db).unwrap() }
        }

        fn append(&self, reason: Reason, added: u64, removed: u64) -> Checkpoint {
            let mut draft = Draft::new(reason, ObjectId::EMPTY_TREE);
            draft.parents = self.journal.head().iter().map(|head| head.id).collect();
            draft.stats = ChangeStats { files_added: added, files_removed: removed, ..ChangeStats::default() };
            self.journal.append(draft, &DiskVfs::new(), Durability::Buffered).unwrap()
        }

        fn noticed(&self) -> Option<CheckpointId> {
            let now = self.journal.head().map_or(Duration::ZERO, |head| head.time);
            Removal::noticed(&self.journal, now).unwrap().before
        }
    }

    /// If it fails, after `rm -rf` of a project a half-removed state is offered as its last one.
    #[test]
    fn checkpoints_made_during_the_removal_are_passed_over() {
        let lab = Lab::new();
        assert_eq!(lab.noticed(), None);
        let last = lab.append(Reason::FsBatch, 3, 0);
        assert_eq!(lab.noticed(), Some(last.id));
        for _ in 0..3 {
            lab.append(Reason::FsBatch, 0, 1);
        }
        lab.append(Reason::FsBatch, 0, 0);
        assert_eq!(lab.noticed(), Some(last.id));
        let asked_for = lab.append(Reason::Manual, 0, 1);
        lab.append(Reason::FsBatch, 0, 1);
        assert_eq!(lab.noticed(), Some(asked_for.id), "somebody wanted that state");
    }

    #[test]
    fn removals_long_before_were_meant() {
        let lab = Lab::new();
        lab.append(Reason::FsBatch, 3, 0);
        let meant = lab.append(Reason::FsBatch, 0, 1);
        let later = meant.time + PAUSE_MAX + Duration::from_secs(1);
        assert_eq!(Removal::noticed(&lab.journal, later).unwrap().before, Some(meant.id));
    }

    #[test]
    fn the_note_is_read_back() {
        let lab = Lab::new();
        let store = StoreDir::for_tests(lab.dir.path());
        std::fs::create_dir(store.state()).unwrap();
        assert_eq!(Removal::load(&store).unwrap(), None);
        for before in [None, Some(lab.append(Reason::Manual, 0, 0).id)] {
            let removal = Removal { time: Duration::from_micros(17), before };
            removal.save(&store).unwrap();
            assert_eq!(Removal::load(&store).unwrap(), Some(removal));
        }
        Removal::forget(&store).unwrap();
        assert_eq!(Removal::load(&store).unwrap(), None);
    }
}
