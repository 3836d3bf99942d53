//! How things are.

use std::os::unix::ffi::OsStrExt;

use tl_core::ObjectId;
use tl_journal::Checkpoint;
use tl_watcher::{Mode, Stats};

use super::convert::{micros, to_path};
use super::{Answered, Recorder, Service};
use crate::capture::Removal;
use crate::memory;
use crate::wire::{Answer, Failure, Health, PathBytes, SkippedPath, Status, StoreFigures, WatchFigures};

impl Service {
    pub(super) fn status(&self) -> Answered {
        let journal = self.repository.journal();
        let head = journal.head();
        let vfs = &self.repository.config().vfs;
        let mut notes = Vec::new();
        let mut status = Status {
            version: self.version.clone(),
            pid: None,
            started_us: micros(self.started),
            store_id: self.home.store.id(),
            store: PathBytes(self.home.store.path().as_os_str().as_bytes().to_vec()),
            root: PathBytes(self.home.root().path.as_os_str().as_bytes().to_vec()),
            health: Health::Starting,
            head: head.as_ref().map(|head| self.labelled(head)).transpose()?,
            checkpoints: journal.count(),
            entries: 0,
            pending: 0,
            watch: None,
            figures: StoreFigures {
                disk_bytes: self.repository.disk_bytes()?,
                budget_bytes: self.settings.read().retention().budget_bytes,
                free_bytes: vfs.free_space(self.home.store.path()).unwrap_or(None),
            },
            memory: None,
            session: None,
            notes: Vec::new(),
        };
        match &self.recorder {
            Recorder::Daemon(handle) => {
                let stats = handle.watch_stats();
                status.pid = Some(std::process::id());
                status.health = handle.shared.health();
                status.entries = handle.shared.entries();
                status.pending = stats.dirty as u64;
                status.session = handle.session();
                status.memory = memory::measure();
                if stats.denied > 0 {
                    notes.push(format!("{} directories cannot be read: what is in them is not recorded", stats.denied));
                }
                status.watch = Some(watch_figures(&stats, head.as_ref()));
                notes.push(
                    "not noticed by events: writes through a mapping before it is synced, through hard links from outside, and by other machines; `tl flush --scan` finds them".to_owned(),
                );
            }
            _ => {
                status.entries = self.count_entries()?;
                status.health = match Removal::load(&self.home.store) {
                    Ok(Some(_)) => Health::RootGone,
                    _ => {
                        Health::Degraded { reasons: vec!["no daemon is running: changes are not captured".to_owned()] }
                    }
                };
            }
        }
        if let Some(head) = &head
            && !head.completeness.is_complete()
        {
            notes.push(format!(
                "{} paths are not in the newest checkpoint as they are on disk",
                head.completeness.missing
            ));
        }
        status.notes = notes;
        Ok(Answer::Status(Box::new(status)))
    }

    /// Files and links in the newest tree.
    pub(super) fn count_entries(&self) -> Result<u64, Failure> {
        let head = self.repository.journal().head().map_or(ObjectId::EMPTY_TREE, |head| head.root);
        Ok(crate::capture::count_entries(&self.repository, &head)?)
    }
}

fn watch_figures(stats: &Stats, head: Option<&Checkpoint>) -> WatchFigures {
    let backend = match &stats.mode {
        Mode::Native => "inotify",
        Mode::Portable => "portable",
        Mode::Scan => "scan",
        _ => "ended",
    };
    let scanned = stats.scanned.iter();
    WatchFigures {
        backend: backend.to_owned(),
        directories: stats.watches as u64,
        kernel_bytes: stats.kernel_bytes,
        events: stats.events,
        overflows: stats.overflows,
        scanned: scanned
            .map(|(path, why)| SkippedPath { path: PathBytes(path.as_bytes().to_vec()), why: why.to_string() })
            .collect(),
        skipped: head
            .iter()
            .flat_map(|head| &head.completeness.listed)
            .map(|gap| SkippedPath { path: to_path(&gap.path), why: gap.cause.to_string() })
            .collect(),
    }
}
