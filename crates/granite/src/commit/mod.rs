//! The write path: decide conditional writes, append, sync, apply, publish.
//!
//! A leader holds the log while it decides and appends for its whole group. It takes the right to apply before it lets go of the log, so
//! groups are applied in the order in which they were appended. A durable group is applied between the append and the sync, while the disk is
//! already at work, and made visible after the sync; the next group waits for it. A buffered one is applied while the next is appended.

pub(crate) mod conditional;
pub(crate) mod queue;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use self::conditional::Checked;
use self::queue::{CommitQueue, Group, Wait};
use crate::batch::{Committed, WriteBatch};
use crate::db::{DbCore, LogState};
use crate::error::{Error, Result};
use crate::key::{Kind, Seq, Trailer};
use crate::keyspace::KeyspaceCore;
use crate::log::format::{Action, OpReader};
use crate::log::pointer::{MAX_POINTER_LEN, ValuePointer};
use crate::log::writer::{Appended, RecordBody};
use crate::options::{Background, Durability};

/// A group takes in further batches up to this many bytes.
const GROUP_LEN_MAX: usize = 8 << 20;

/// A batch in the queue.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) batch: WriteBatch,
    durability: Durability,
    pub(crate) checked: Checked,
    /// It is no batch: its writer wants to lead by itself.
    alone: bool,
}

/// What the queue hands back to each writer.
pub(crate) type Outcome = Result<Committed>;
pub(crate) type Queue = CommitQueue<Pending, Outcome>;

impl DbCore {
    /// Commits a batch.
    pub(crate) fn commit(self: &Arc<Self>, mut batch: WriteBatch, durability: Durability) -> Result<Committed> {
        self.check_open()?;
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        self.check_failure()?;
        batch.check(self.id)?;
        let span = tracing::debug_span!("write", operations = batch.len(), bytes = batch.byte_len());
        let _entered = span.enter();
        // Two readings of the clock are a tenth of a buffered put: only durable commits are timed.
        let begun = (durability == Durability::Sync).then(|| self.context.vfs.monotonic());
        self.throttle()?;
        // No sweep may begin between the look-up of a key and the commit that relies on it.
        let _gate = (batch.calls > 0).then(|| self.sweep_gate.read());
        let checked = self.check_conditionals(&mut batch)?;
        let pending = Pending { batch, durability, checked, alone: false };
        let byte_len = std::cell::Cell::new(pending.batch.byte_len());
        let fits = |next: &Pending, _| {
            byte_len.set(byte_len.get() + next.batch.byte_len());
            byte_len.get() <= GROUP_LEN_MAX && !next.alone
        };
        let wait = if durability == Durability::Sync { Wait::Long } else { Wait::Brief };
        let outcome = self.queue.submit(pending, wait, fits, |group, items| self.lead(group, items));
        if let Some(begun) = begun {
            self.stats.commit_latency.record(self.context.vfs.monotonic().saturating_sub(begun));
        }
        if matches!(self.options.background, Background::Inline) {
            self.work_inline();
        }
        outcome.unwrap_or(Err(Error::Poisoned { cause: "the writer that committed this batch panicked".into() }))
    }

    /// Runs `work` at a place of its own in the order of commits: until it returns, nothing is appended to the log and no lock is held for
    /// that. Its result is the last sequence that it used.
    pub(crate) fn between_commits(&self, work: impl FnOnce() -> Result<Seq>) -> Result<Seq> {
        let batch = WriteBatch::new();
        let pending = Pending { batch, durability: Durability::Sync, checked: Checked::default(), alone: true };
        let outcome = self.queue.submit(
            pending,
            Wait::Long,
            |_, _| false,
            |group, _| {
                let done = work();
                group.hand_over();
                vec![done.map(|seq| Committed { seq, was_absent: Vec::new() })]
            },
        );
        outcome.unwrap_or(Err(Error::Closed)).map(|committed| committed.seq)
    }

    fn lead(self: &Arc<Self>, group: &mut Group<'_, Pending, Outcome>, mut items: Vec<Pending>) -> Vec<Outcome> {
        let mut log = self.log.lock();
        let done = match self.append_group(&mut log, &mut items) {
            Ok(appended) if appended.wants_sync => self.apply_and_sync(log, group, &items, &appended),
            Ok(appended) => Ok(self.hand_over_and_apply(log, group, &items, &appended)),
            Err(error) => {
                drop(log);
                Err(error)
            }
        };
        group.hand_over();
        match done {
            Ok(applied) => items.into_iter().zip(applied).map(|(item, seq)| Ok(item.into_committed(seq))).collect(),
            Err(error) => items.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Decides and appends. On an error nothing of the group counts.
    fn append_group(&self, log: &mut LogState, items: &mut [Pending]) -> Result<AppendedGroup> {
        self.check_failure()?;
        self.recheck_conditionals(items)?;
        let first_seq = log.next_seq;
        let count: u64 = items.iter().map(|item| u64::from(item.batch.body.op_count)).sum();
        let wants_sync = items.iter().any(|item| item.durability == Durability::Sync);
        let mut records = Vec::with_capacity(items.len());
        if count > 0 {
            let bodies = items.iter().map(|item| &item.batch.body).filter(|body| body.op_count > 0);
            self.append_records(log, bodies, count, wants_sync, &mut records)?;
        }
        let last = Seq::new(log.next_seq.get() - 1);
        self.stats.groups.add(1);
        Ok(AppendedGroup { records, first_seq, last, wants_sync })
    }

    /// Puts the group into the memtables while the disk is at work, syncs, and makes the group visible. If the sync fails, the entries stay
    /// where they are, behind the visible sequence, of a handle that accepts nothing more.
    fn apply_and_sync(
        self: &Arc<Self>,
        mut log: MutexGuard<'_, LogState>,
        group: &mut Group<'_, Pending, Outcome>,
        items: &[Pending],
        appended: &AppendedGroup,
    ) -> Result<Vec<Seq>> {
        let applying = self.apply.lock();
        let applied = self.apply_group(items, appended);
        if self.durable() < appended.last {
            self.sync_log(&mut log)?;
        }
        self.visible.store(appended.last.get(), Ordering::Release);
        let log_bytes = log.bytes;
        drop(log);
        group.hand_over();
        self.rotate_full_memtables(appended.last, log_bytes);
        drop(applying);
        Ok(applied)
    }

    /// Lets the next group be appended while this one is put into the memtables.
    fn hand_over_and_apply(
        self: &Arc<Self>,
        log: MutexGuard<'_, LogState>,
        group: &mut Group<'_, Pending, Outcome>,
        items: &[Pending],
        appended: &AppendedGroup,
    ) -> Vec<Seq> {
        let applying = self.apply.lock();
        let log_bytes = log.bytes;
        drop(log);
        group.hand_over();
        let applied = self.apply_group(items, appended);
        self.visible.store(appended.last.get(), Ordering::Release);
        self.rotate_full_memtables(appended.last, log_bytes);
        drop(applying);
        applied
    }

    /// Appends records of `count` operations together. Nothing is synced.
    fn append_records<'a>(
        &self,
        log: &mut LogState,
        bodies: impl Iterator<Item = &'a RecordBody> + Clone,
        count: u64,
        sync_follows: bool,
        records: &mut Vec<Appended>,
    ) -> Result<()> {
        if log.writer.needs_segment() {
            self.roll_segment(log)?;
        }
        let first_seq = log.next_seq;
        let before = log.writer.active().map_or(0, |active| active.len);
        if let Err(error) = log.writer.append(bodies, first_seq, self.durable(), sync_follows, records) {
            if !matches!(error, Error::StorageFull { .. }) {
                self.fail(&error.to_string().into());
            }
            return Err(error);
        }
        let after = log.writer.active().map_or(0, |active| active.len);
        self.stats.log_bytes.add(after.saturating_sub(before));
        log.next_seq = first_seq.plus(count);
        log.bytes += after.saturating_sub(before);
        Ok(())
    }

    /// Appends one record that nobody applies.
    pub(crate) fn append_record(&self, log: &mut LogState, body: &RecordBody) -> Result<()> {
        self.append_records(log, std::iter::once(body), u64::from(body.op_count), false, &mut Vec::new())
    }

    /// Puts the group into the memtables. The caller holds the right to apply. Returns the last sequence of each batch.
    fn apply_group(&self, items: &[Pending], appended: &AppendedGroup) -> Vec<Seq> {
        let mut seq = appended.first_seq;
        let mut records = appended.records.iter();
        let mut last = Vec::with_capacity(items.len());
        for item in items {
            let body = &item.batch.body;
            if body.op_count > 0
                && let Some(record) = records.next()
            {
                apply_record(&item.batch.keyspaces, &body.meta, seq, record);
                seq = seq.plus(u64::from(body.op_count));
            }
            self.stats.operations.add(u64::from(body.op_count));
            self.stats.separated_bytes.add(body.data.len() as u64);
            last.push(Seq::new(seq.get() - 1));
        }
        self.stats.commits.add(items.len() as u64);
        last
    }

    /// Syncs what was appended so far. A failure is final for this handle.
    pub(crate) fn sync_log(&self, log: &mut LogState) -> Result<()> {
        self.check_failure()?;
        let last = Seq::new(log.next_seq.get() - 1);
        let begun = self.context.vfs.monotonic();
        let synced = log.writer.sync();
        self.last_sync_us.store(u64::try_from(begun.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.stats.sync_latency.record(self.context.vfs.monotonic().saturating_sub(begun));
        self.stats.log_syncs.add(1);
        match synced {
            Ok(()) => {
                self.durable.fetch_max(last.get(), Ordering::AcqRel);
                Ok(())
            }
            Err(error) => {
                self.fail(&error.to_string().into());
                Err(error)
            }
        }
    }

    /// Makes every write up to `seq` durable.
    pub(crate) fn ensure_durable(&self, seq: Seq) -> Result<()> {
        if self.durable() >= seq {
            return Ok(());
        }
        let mut log = self.log.lock();
        if self.durable() >= seq { Ok(()) } else { self.sync_log(&mut log) }
    }

    fn close_segment(&self, log: &mut LogState) {
        if let Some(closed) = log.writer.close_segment() {
            log.segments.push(closed);
        }
    }

    /// Closes the active segment and begins the next one.
    pub(crate) fn roll_segment(&self, log: &mut LogState) -> Result<()> {
        self.close_segment(log);
        let number = self.take_file_number();
        let (next_seq, durable) = (log.next_seq, self.durable());
        log.writer.begin_segment(number, next_seq, durable).inspect_err(|error| {
            // A name whose sync failed may or may not be there after a crash; nothing may be acknowledged behind it.
            if !matches!(error, Error::StorageFull { .. }) {
                self.fail(&error.to_string().into());
            }
        })
    }
}

/// What [`DbCore::append_group`] leaves for the application.
struct AppendedGroup {
    records: Vec<Appended>,
    first_seq: Seq,
    last: Seq,
    wants_sync: bool,
}

impl Pending {
    fn into_committed(self, seq: Seq) -> Committed {
        Committed { seq, was_absent: self.checked.was_absent }
    }
}

/// Inserts one record's operations into the memtables of the keyspaces that are still there.
fn apply_record(keyspaces: &[Arc<KeyspaceCore>], meta: &[u8], first_seq: Seq, record: &Appended) {
    let mut pointer = Vec::with_capacity(MAX_POINTER_LEN);
    for keyspace in keyspaces {
        let view = keyspace.view_full();
        let Some(memtable) = view.active.memtable() else { continue };
        let mut writer = memtable.writer();
        let mut seq = first_seq;
        let mut data_offset = record.data_offset;
        for op in OpReader::new(meta) {
            let here = op.keyspace == keyspace.id;
            if here && !matches!(op.action, Action::DeleteRange { .. }) {
                view.active.note_key(op.key);
            }
            match op.action {
                Action::Delete if here => writer.insert(op.key, Trailer::new(seq, Kind::Delete), &[]),
                Action::Put(value) if here => writer.insert(op.key, Trailer::new(seq, Kind::Inline), value),
                Action::DeleteRange { end } if here => writer.insert_range_tombstone(op.key, end, seq),
                Action::PutSeparated { len, crc } => {
                    if here {
                        view.active.refer_to(&record.segment);
                        pointer.clear();
                        let value = ValuePointer { segment: record.segment.number, offset: data_offset, len, crc };
                        value.encode(&mut pointer);
                        writer.insert(op.key, Trailer::new(seq, Kind::Separated), &pointer);
                    }
                    data_offset += u64::from(len);
                }
                Action::Delete | Action::Put(_) | Action::DeleteRange { .. } => {}
            }
            seq = seq.plus(1);
        }
    }
}
