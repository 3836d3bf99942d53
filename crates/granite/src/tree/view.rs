//! What one reader sees of a keyspace: the memtables, then the tables.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::key_filter::KeyFilter;
use super::version::Version;
use crate::error::{Error, Result};
use crate::key::{Kind, Seq, Trailer};
use crate::log::pointer::ValuePointer;
use crate::log::segment::Segment;
use crate::memtable::{Buffer, Memtable};
use crate::range_tombstone::{RangeTombstone, newest_covering};
use crate::table::KeyHash;

/// A memtable with the segments that its value pointers lead into.
#[derive(Debug)]
pub(crate) struct MemBuffer {
    pub(crate) buffer: Buffer,
    /// Rising numbers. Appended to by the committing thread only.
    segments: ArcSwap<Vec<Arc<Segment>>>,
    /// Knows every key of a memtable; a replayed run has none.
    filter: Option<KeyFilter>,
}

impl MemBuffer {
    pub(crate) fn new(buffer: Buffer) -> Arc<Self> {
        Self::with_segments(buffer, Vec::new())
    }

    pub(crate) fn with_segments(buffer: Buffer, segments: Vec<Arc<Segment>>) -> Arc<Self> {
        let filter = matches!(buffer, Buffer::Skiplist(_)).then(KeyFilter::new);
        Arc::new(Self { buffer, segments: ArcSwap::from_pointee(segments), filter })
    }

    /// The memtable that commits go into, unless this is a replayed run.
    pub(crate) fn memtable(&self) -> Option<&Arc<Memtable>> {
        match &self.buffer {
            Buffer::Skiplist(memtable) => Some(memtable),
            Buffer::Run(_) => None,
        }
    }

    /// Notes a key that is about to be inserted.
    #[inline]
    pub(crate) fn note_key(&self, key: &[u8]) {
        if let Some(filter) = &self.filter {
            filter.add(KeyHash::of(key));
        }
    }

    /// The newest point entry of `key` at or below `at`, whatever its kind.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], hash: KeyHash, at: Seq) -> Option<(Trailer, &[u8])> {
        if self.filter.as_ref().is_some_and(|filter| !filter.may_contain(hash)) {
            return None;
        }
        self.buffer.get(key, at)
    }

    /// Memory in bytes.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.buffer.allocated_bytes() + self.filter.as_ref().map_or(0, KeyFilter::allocated_bytes)
    }

    /// Notes that pointers into `segment` follow. Called before they are inserted.
    pub(crate) fn refer_to(&self, segment: &Arc<Segment>) {
        let segments = self.segments.load();
        if segments.last().is_none_or(|last| last.number != segment.number) {
            let mut more = Vec::clone(&segments);
            more.push(Arc::clone(segment));
            self.segments.store(Arc::new(more));
        }
    }

    pub(crate) fn segment(&self, number: u64) -> Option<Arc<Segment>> {
        self.segments.load().iter().find(|segment| segment.number == number).cloned()
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }
}

/// An immutable picture of a keyspace, except that commits still go into the active memtable.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) active: Arc<MemBuffer>,
    /// Full ones, newest first.
    pub(crate) immutables: Vec<Arc<MemBuffer>>,
    pub(crate) version: Arc<Version>,
    /// Every operation after this one is in the memtables of this view.
    pub(crate) floor: Seq,
}

/// Where a value pointer leads: whoever holds the entry also holds the segment.
pub(crate) enum Origin<'a> {
    Memory(&'a MemBuffer),
    Table(&'a super::TableHandle),
}

impl Origin<'_> {
    /// Reads the value behind an entry.
    pub(crate) fn value(&self, trailer: Trailer, bytes: &[u8]) -> Result<Vec<u8>> {
        match trailer.kind() {
            Kind::Separated => self.read_separated(bytes),
            Kind::Inline | Kind::Delete | Kind::RangeDelete => Ok(bytes.to_vec()),
        }
    }

    fn read_separated(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let (segment, pointer) = self.resolve(bytes)?;
        segment.read(&pointer)
    }

    /// The segment that the pointer in `bytes` leads into.
    pub(crate) fn segment_of(&self, bytes: &[u8]) -> Result<Arc<Segment>> {
        self.resolve(bytes).map(|(segment, _)| segment)
    }

    /// Understands the pointer in `bytes`.
    pub(crate) fn resolve(&self, bytes: &[u8]) -> Result<(Arc<Segment>, ValuePointer)> {
        let path = || match self {
            Self::Memory(_) => std::path::PathBuf::from("(memory)"),
            Self::Table(table) => table.path(),
        };
        let pointer = ValuePointer::decode(bytes)
            .ok_or_else(|| Error::corrupt(&path(), 0, "an entry's value pointer is malformed"))?;
        let dangling = || {
            let what = format!("a value pointer leads into segment {}, which the table does not list", pointer.segment);
            Error::corrupt(&path(), 0, what)
        };
        let segment = match self {
            Self::Memory(memory) => memory.segment(pointer.segment),
            Self::Table(table) => table.segment(pointer.segment).cloned(),
        };
        Ok((segment.ok_or_else(dangling)?, pointer))
    }
}

impl View {
    pub(crate) fn memory(&self) -> impl Iterator<Item = &Arc<MemBuffer>> {
        std::iter::once(&self.active).chain(&self.immutables)
    }

    fn has_range_deletes(&self) -> bool {
        self.version.has_range_deletes() || self.memory().any(|memory| memory.buffer.has_range_tombstones())
    }

    /// Hands the newest entry of `key` at or below `at` to `use_it`, deletes included; `None` if there is none.
    ///
    /// A range delete that covers the entry is handed out as a delete with the range delete's sequence.
    #[inline]
    pub(crate) fn newest<R>(
        &self,
        key: &[u8],
        at: Seq,
        use_it: impl FnOnce(Trailer, &[u8], Origin<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        if self.has_range_deletes() {
            return self.newest_under_range_deletes(key, at, use_it);
        }
        self.newest_point(key, at, use_it)
    }

    fn newest_under_range_deletes<R>(
        &self,
        key: &[u8],
        at: Seq,
        use_it: impl FnOnce(Trailer, &[u8], Origin<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        let covering = self.newest_range_delete(key, at)?;
        let mut use_it = Some(use_it);
        let found = self.newest_point(key, at, |trailer, bytes, origin| {
            let use_it = use_it.take();
            match (covering.filter(|&covering| covering > trailer.seq()), use_it) {
                (_, None) => Ok(None),
                (Some(covering), Some(use_it)) => use_it(Trailer::new(covering, Kind::Delete), &[], origin).map(Some),
                (None, Some(use_it)) => use_it(trailer, bytes, origin).map(Some),
            }
        })?;
        Ok(found.flatten())
    }

    fn newest_range_delete(&self, key: &[u8], at: Seq) -> Result<Option<Seq>> {
        let mut newest: Option<Seq> = None;
        for memory in self.memory().filter(|memory| memory.buffer.has_range_tombstones()) {
            newest = newest.max(newest_covering(&memory.buffer.range_tombstones(), key, at));
        }
        for (_, table) in self.version.tables() {
            if table.meta.range_deletes > 0 && table.may_hold(key) {
                newest = newest.max(table.with_table(|table| Ok(newest_covering(table.range_tombstones(), key, at)))?);
            }
        }
        Ok(newest)
    }

    #[inline]
    fn newest_point<R>(
        &self,
        key: &[u8],
        at: Seq,
        use_it: impl FnOnce(Trailer, &[u8], Origin<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        let hash = KeyHash::of(key);
        for memory in self.memory() {
            if let Some((trailer, value)) = memory.get(key, hash, at) {
                return use_it(trailer, value, Origin::Memory(memory)).map(Some);
            }
        }
        for (level, tables) in self.version.levels().iter().enumerate() {
            if tables.is_empty() {
                continue;
            }
            if level == 0 {
                for handle in tables.iter().filter(|handle| handle.may_hold(key)) {
                    if let Some(found) = handle.with_table(|table| table.get(key, hash, at))? {
                        return use_it(found.trailer(), found.value(), Origin::Table(handle)).map(Some);
                    }
                }
            } else if let Some(handle) = self.version.table_for(level, key)
                && let Some(found) = handle.with_table(|table| table.get(key, hash, at))?
            {
                return use_it(found.trailer(), found.value(), Origin::Table(handle)).map(Some);
            }
        }
        Ok(None)
    }

    /// All range deletes at or below `at`.
    pub(crate) fn range_deletes(&self, at: Seq) -> Result<Vec<RangeTombstone>> {
        let mut all = Vec::new();
        if !self.has_range_deletes() {
            return Ok(all);
        }
        let mut take = |tombstones: &[RangeTombstone]| {
            all.extend(tombstones.iter().filter(|tombstone| tombstone.seq <= at).cloned());
        };
        for memory in self.memory().filter(|memory| memory.buffer.has_range_tombstones()) {
            take(&memory.buffer.range_tombstones());
        }
        for (_, handle) in self.version.tables().filter(|(_, handle)| handle.meta.range_deletes > 0) {
            handle.with_table(|table| {
                take(table.range_tombstones());
                Ok(())
            })?;
        }
        Ok(all)
    }
}
