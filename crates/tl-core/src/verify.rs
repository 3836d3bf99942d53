//! Checking that what is stored is what was stored.

use granite::Iter;

use crate::error::{Damage, Error, Result};
use crate::id::{ObjectId, ObjectKind};
use crate::objects::decode_tree;
use crate::store::{HEADER_KEY, Store};
use crate::stored::Stored;

/// Ids are checked in this many groups, by their first byte.
const GROUPS: u16 = 256;
/// How far the walk goes on behind what the database cannot read, of the 2^64 that the first eight bytes of an id can be. A block of
/// a table spans far more in all but the largest stores.
const SKIP: u64 = 1 << 46;

/// What [`Store::verify`] looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct VerifyOptions {
    /// A part of the objects; all of them if `None`.
    pub sample: Option<Sample>,
}

/// A random part of the objects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// How large a part, 0 to 1; at least one object in 256.
    pub share: f64,
    /// Which one: a random number, or one that goes up from check to check to see everything in turn.
    pub seed: u64,
}

/// One object that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedObject {
    /// The object.
    pub id: ObjectId,
    /// What is wrong with it.
    pub damage: Damage,
}

/// Ids whose objects the database cannot even list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRange {
    /// All of them are greater.
    pub after: ObjectId,
    /// All of them are less.
    pub before: ObjectId,
    /// What the database says.
    pub cause: String,
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Objects that were checked.
    pub objects: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Everything that is wrong with single objects, rising by id.
    pub damaged: Vec<DamagedObject>,
    /// Where objects may be that nobody can list.
    pub unreadable: Vec<UnreadableRange>,
}

impl VerifyReport {
    /// True if nothing is wrong.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.damaged.is_empty() && self.unreadable.is_empty()
    }

    /// Adds a range, to the one before it if they touch.
    fn note_unreadable(&mut self, range: UnreadableRange) {
        match self.unreadable.last_mut().filter(|last| last.before == range.after && last.cause == range.cause) {
            Some(last) => last.before = range.before,
            None => self.unreadable.push(range),
        }
    }
}

impl Store {
    /// Reads objects and computes their ids anew, those of chunked blobs over all their chunks. Whether what trees refer to is there is not looked at:
    /// that is a question about states, not about objects.
    ///
    /// # Errors
    /// An error of the database other than damage, which is in the report.
    pub fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let (first, groups) = match options.sample {
            None => (0, GROUPS),
            Some(Sample { share, seed }) => {
                let groups = (share.clamp(0.0, 1.0) * f64::from(GROUPS)).ceil() as u16;
                ((seed % u64::from(GROUPS)) as u16, groups.max(1))
            }
        };
        let mut chosen: Vec<u8> = (first..first + groups).map(|group| (group % GROUPS) as u8).collect();
        chosen.sort_unstable();
        for group in chosen {
            // A walk of its own for each group: one walk over everything would keep what is dropped meanwhile.
            self.verify_group(group, &mut report)?;
        }
        Ok(report)
    }

    fn verify_group(&self, group: u8, report: &mut VerifyReport) -> Result<()> {
        let mut walk = self.shared.objects.scan_prefix(&[group])?;
        let mut last = None;
        let mut moved = walk.seek_to_first();
        loop {
            match moved {
                Ok(()) if !walk.valid() => return Ok(()),
                Ok(()) => {
                    if let Some(key) = walk.key().first_chunk().filter(|key| **key != HEADER_KEY) {
                        let id = ObjectId::from_bytes(*key);
                        self.verify_object(&id, &walk, report)?;
                        last = Some(id);
                    }
                    moved = walk.next();
                }
                Err(granite::Error::Corrupt { path, offset, what }) => {
                    let cause = format!("{} at byte {offset}: {what}", path.display());
                    let before = skip(&mut walk, group, last)?;
                    let after = last.unwrap_or_else(|| start_of_group(u16::from(group)));
                    let end = before.unwrap_or_else(|| start_of_group(u16::from(group) + 1));
                    report.note_unreadable(UnreadableRange { after, before: end, cause });
                    if before.is_none() {
                        return Ok(());
                    }
                    moved = Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn verify_object(&self, id: &ObjectId, walk: &Iter, report: &mut VerifyReport) -> Result<()> {
        report.objects += 1;
        let checked = match walk.value() {
            Ok(value) => self.check_value(id, &value),
            Err(error @ granite::Error::Corrupt { .. }) => Err(damaged(id, Damage::Unreadable(error.to_string()))),
            Err(error) => Err(error.into()),
        };
        match checked {
            Ok(len) => report.bytes += len,
            // Of its chunks one was purged: that is no damage.
            Err(Error::Purged { .. }) => {}
            Err(Error::Damaged { id, damage }) => report.damaged.push(DamagedObject { id, damage }),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Checks an object's value against its id. Returns the length of the content.
    fn check_value(&self, id: &ObjectId, value: &[u8]) -> Result<u64> {
        let stored = Stored::parse(value).map_err(|damage| damaged(id, damage))?;
        let len = stored.content_len();
        match stored.kind {
            ObjectKind::Tree => drop(decode_tree(id, value).map_err(|damage| damaged(id, damage))?),
            ObjectKind::Blob => self.objects().reader_of(id, value).map_err(|damage| damaged(id, damage))?.check()?,
        }
        Ok(len)
    }
}

const fn damaged(id: &ObjectId, damage: Damage) -> Error {
    Error::Damaged { id: *id, damage }
}

/// Where the ids of a group begin; those of the last one end with the greatest id.
fn start_of_group(group: u16) -> ObjectId {
    let mut bytes = [0; ObjectId::LEN];
    match (u8::try_from(group), bytes.first_mut()) {
        (Ok(group), Some(first)) => *first = group,
        _ => bytes = [u8::MAX; ObjectId::LEN],
    }
    ObjectId::from_bytes(bytes)
}

/// Goes on behind what cannot be read after `last`. Returns where the walk stands then, `None` if nothing more can be read of the group.
fn skip(walk: &mut Iter, group: u8, last: Option<ObjectId>) -> Result<Option<ObjectId>> {
    let group_start = u64::from(group) << 56;
    let group_end = group_start | (u64::MAX >> 8);
    let mut position = last.map_or(group_start, |id| id.short());
    while let Some(next) = position.checked_add(SKIP).filter(|next| *next <= group_end) {
        position = next;
        let mut key = [0; ObjectId::LEN];
        if let Some(start) = key.first_chunk_mut() {
            *start = position.to_be_bytes();
        }
        match walk.seek(&key) {
            Ok(()) => return Ok(walk.key().first_chunk().map(|key| ObjectId::from_bytes(*key))),
            Err(granite::Error::Corrupt { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
