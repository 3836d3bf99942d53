//! What had changed since the safety checkpoint: it is in the store, durably, before it is removed.

use std::collections::BTreeMap;

use granite::Durability;
use parking_lot::Mutex;
use rustix::io::Errno;
use tl_core::{Blob, Capture, Entry, Mode, RepoPathBuf, Store};

use super::dir::WriteDir;
use super::intent::{Intent, Intents};
use super::place::Failed;
use super::plan::{all_below, tree_of};
use super::report::Refusal;
use crate::error::Result;
use crate::workdir::{Stat, StatKind};

/// Attempts at a file that changes while it is read. The last reading is kept even then: all that is left to lose is what a writer adds later.
const ATTEMPTS: usize = 4;
/// The mode of directories that only carry what was kept.
const CARRIER_MODE: Mode = Mode::new(0o700);

/// Files that were found changed, in the intent of the restore that found them.
pub(super) struct Late<'a> {
    store: &'a Store,
    intents: &'a Intents,
    state: Mutex<State>,
}

struct State {
    /// Absent where nothing may be replaced at all.
    intent: Option<Intent>,
    entries: BTreeMap<RepoPathBuf, Entry>,
}

impl<'a> Late<'a> {
    /// What is kept for the restore of `intent`, beside what an attempt before has kept.
    pub(super) fn new(store: &'a Store, intents: &'a Intents, intent: Option<Intent>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        if let Some(kept) = intent.as_ref().and_then(|intent| intent.late) {
            for found in all_below(store, &kept)? {
                let (path, entry) = found?;
                if !entry.is_directory() {
                    entries.insert(path, entry);
                }
            }
        }
        Ok(Self { store, intents, state: Mutex::new(State { intent, entries }) })
    }

    /// Keeps the content of `path`, which waits under `name` in `dir`.
    pub(super) fn keep(&self, dir: &WriteDir, path: &RepoPathBuf, name: &[u8]) -> Result<(), Failed> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(intent) = &mut state.intent else { return Err(Refusal::InTheWay.into()) };
        let capture = self.store.capture()?;
        let entry = keep(&capture, dir, name)?;
        state.entries.insert(path.clone(), entry);
        let tree = tree_of(&capture, &state.entries, |_| CARRIER_MODE)?;
        intent.late = Some(tree);
        capture.commit(|batch| self.intents.stage(intent, batch), Durability::Sync)?;
        Ok(())
    }

    /// The intent as it stands now.
    pub(super) fn into_intent(self) -> Option<Intent> {
        self.state.into_inner().intent
    }
}

/// Puts what `name` stands for into `capture`.
pub(super) fn keep(capture: &Capture, dir: &WriteDir, name: &[u8]) -> Result<Entry, Failed> {
    let unreadable = |errno: Errno| match errno {
        Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::INVAL => Failed::Refused(Refusal::Changing),
        _ => Failed::Refused(Refusal::Unreadable),
    };
    let stat = dir.stat(name).map_err(unreadable)?.ok_or(Refusal::Changing)?;
    match stat.kind {
        StatKind::Special => Err(Refusal::Special.into()),
        StatKind::Directory => Err(Refusal::InTheWay.into()),
        StatKind::Symlink => {
            let target = dir.link_target(name).map_err(unreadable)?;
            Ok(Entry::symlink(capture.put_symlink(&target)?, stat.mode))
        }
        StatKind::File => {
            let mut last: Option<(Blob, Mode)> = None;
            for _ in 0..ATTEMPTS {
                let mut file = dir.open_file(name).map_err(unreadable)?;
                let stat = |file: &std::fs::File| rustix::fs::fstat(file).map(|stat| Stat::new(&stat));
                let before = stat(&file).map_err(unreadable)?;
                if before.kind != StatKind::File {
                    return Err(Refusal::Changing.into());
                }
                let blob = match capture.put_blob_from(&mut file, before.size) {
                    Err(tl_core::Error::Source(_)) => return Err(Refusal::Unreadable.into()),
                    blob => blob?,
                };
                let after = stat(&file).map_err(unreadable)?;
                last = Some((blob, after.mode));
                if after.is_same_state(&before) && blob.len == after.size {
                    break;
                }
            }
            let (blob, mode) = last.ok_or(Refusal::Changing)?;
            Ok(Entry::file(blob, mode))
        }
    }
}
