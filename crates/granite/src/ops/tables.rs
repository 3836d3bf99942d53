//! Goes through a table entry by entry, past damage, and follows its value pointers: what verifying and repairing have in common.

use std::collections::BTreeMap;
use std::path::Path;

use super::verify::Finding;
use crate::error::{Error, Result};
use crate::key::{Kind, Seq, Trailer};
use crate::log::pointer::ValuePointer;
use crate::log::segment::SegmentRegistry;
use crate::table::Survey;

/// From a key to a key, both included, as far as they are known.
pub(crate) type Stretch = (Option<Vec<u8>>, Option<Vec<u8>>);

/// What was met in a table.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) findings: Vec<Finding>,
    /// Stretches in which entries are lost: at or after the first key, at or before the second, as far as that is known.
    pub(crate) lost: Vec<Stretch>,
    /// Entries whose separated value is lost.
    pub(crate) lost_values: Vec<(Vec<u8>, Seq)>,
    pub(crate) entries: u64,
    pub(crate) deletes: u64,
    /// Bytes of values pointed to, by segment.
    pub(crate) segments: BTreeMap<u64, u64>,
    pub(crate) seq_bounds: Option<(Seq, Seq)>,
    pub(crate) smallest: Option<Vec<u8>>,
    pub(crate) last_key: Option<Vec<u8>>,
    last_trailer: Option<Trailer>,
    /// A loss whose end is not known yet: from after this key on.
    open_loss: Option<Option<Vec<u8>>>,
    reached: Option<Vec<u8>>,
}

/// An entry and what became of its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Met<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) trailer: Trailer,
    pub(crate) value: &'a [u8],
    /// It leads to a value that is gone or damaged.
    pub(crate) value_lost: bool,
}

/// Hands every entry that can be read to `sink`, in order.
///
/// # Errors
/// Those of `sink`, or an error of the disk. Damage is in the findings.
pub(crate) fn walk(
    survey: &Survey,
    path: &Path,
    values: &SegmentRegistry,
    sink: &mut dyn FnMut(Met<'_>) -> Result<()>,
) -> Result<Walked> {
    let mut walked = Walked::default();
    let finding = |damage: &crate::table::Damage| Finding::new(path, damage.offset, damage.what.clone());
    walked.findings.extend(survey.damage.iter().map(finding));
    let mut gaps = survey.gaps.iter().peekable();
    for block in survey.data_blocks() {
        while gaps.next_if(|(start, _)| *start < block.handle.offset).is_some() {
            walked.loss_begins();
        }
        let mut entries = match survey.entries(block) {
            Ok(entries) => entries,
            Err(Error::Corrupt { offset, what, .. }) => {
                walked.findings.push(Finding::new(path, offset, what));
                walked.loss_begins();
                walked.passed(block.upper.as_deref());
                continue;
            }
            Err(error) => return Err(error),
        };
        while entries.valid() {
            walked.entry(entries.key(), entries.trailer(), entries.value(), path, block.handle.offset, values, sink)?;
            if let Err(what) = entries.next() {
                walked.findings.push(Finding::new(path, block.handle.offset, what));
                walked.loss_begins();
                break;
            }
        }
        walked.passed(block.upper.as_deref());
    }
    if gaps.next().is_some() {
        walked.loss_begins();
    }
    if let Some(from) = walked.open_loss.take() {
        walked.lost.push((from, None));
    }
    Ok(walked)
}

impl Walked {
    fn loss_begins(&mut self) {
        if self.open_loss.is_none() {
            self.open_loss = Some(self.reached.clone());
        }
    }

    /// A block ended whose keys are at or before `upper`.
    fn passed(&mut self, upper: Option<&[u8]>) {
        let Some(upper) = upper else { return };
        if let Some(from) = self.open_loss.take() {
            self.lost.push((from, Some(upper.to_vec())));
        }
        self.reached = Some(upper.to_vec());
    }

    fn entry(
        &mut self,
        key: &[u8],
        trailer: Trailer,
        value: &[u8],
        path: &Path,
        offset: u64,
        values: &SegmentRegistry,
        sink: &mut dyn FnMut(Met<'_>) -> Result<()>,
    ) -> Result<()> {
        let rises = match (&self.last_key, self.last_trailer) {
            (Some(last), Some(at)) => crate::key::compare(last, at, key, trailer).is_lt(),
            _ => true,
        };
        if !rises {
            self.findings.push(Finding::new(path, offset, "an entry does not sort after the one before it"));
            return Ok(());
        }
        if let Some(from) = self.open_loss.take() {
            self.lost.push((from, Some(key.to_vec())));
        }
        let mut value_lost = false;
        if trailer.kind() == Kind::Separated {
            value_lost = !self.follow(value, path, offset, values)?;
            if value_lost {
                self.lost_values.push((key.to_vec(), trailer.seq()));
            }
        }
        self.entries += 1;
        self.deletes += u64::from(trailer.kind() == Kind::Delete);
        let (min, max) = self.seq_bounds.unwrap_or((trailer.seq(), trailer.seq()));
        self.seq_bounds = Some((min.min(trailer.seq()), max.max(trailer.seq())));
        self.smallest.get_or_insert_with(|| key.to_vec());
        self.last_key = Some(key.to_vec());
        self.reached = Some(key.to_vec());
        self.last_trailer = Some(trailer);
        sink(Met { key, trailer, value, value_lost })
    }

    /// True if the value behind a pointer is what was written.
    fn follow(&mut self, pointer: &[u8], path: &Path, offset: u64, values: &SegmentRegistry) -> Result<bool> {
        let Some(pointer) = ValuePointer::decode(pointer) else {
            self.findings.push(Finding::new(path, offset, "a value pointer is malformed"));
            return Ok(false);
        };
        *self.segments.entry(pointer.segment).or_default() += u64::from(pointer.len);
        let segment = values.get(pointer.segment);
        let finding = match segment.read(&pointer) {
            Ok(_) => return Ok(true),
            Err(Error::Corrupt { path, offset, what }) => Finding::new(&path, offset, what),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let what = format!("a value pointer leads into segment {}, which is gone", pointer.segment);
                Finding::new(path, offset, what)
            }
            Err(error) => return Err(error),
        };
        self.findings.push(finding);
        Ok(false)
    }
}
