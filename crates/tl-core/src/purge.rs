//! Taking content out of the store for good.

use granite::{Durability, WriteBatch};

use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::objects::parse_blob;
use crate::store::Store;
use crate::stored::encode_purged;

/// Most bytes that are kept of an object to search files for.
pub const EVIDENCE_LEN_MAX: usize = 256;

/// What a purge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeReport {
    /// Objects whose content was taken out.
    pub purged: u64,
    /// Bytes of these as they were stored.
    pub bytes: u64,
    /// Objects that were not there, or purged before.
    pub absent: Vec<ObjectId>,
    /// For each object whose content was taken out, bytes that stood in the database: the last of its stored form, at most [`EVIDENCE_LEN_MAX`]. Whoever
    /// finds them in a file has found the content.
    pub evidence: Vec<Vec<u8>>,
    /// A snapshot or an iterator of the database was open: what it can see is still in files. Purge again once it is closed.
    pub kept_for_snapshots: bool,
}

impl Store {
    /// Takes the content of blobs out of the store, durably, and leaves a note in its place: reading one gives [`Error::Purged`] from then on.
    /// Then every file of the database that held the content is rewritten, also for blobs that were purged before. That can take as long as a copy
    /// of the database, and as much space for a while.
    ///
    /// The chunks of a blob are objects of their own, which other blobs may share: name those that are to go too ([`Store::for_each_chunk`]).
    /// If the same content is put again later, it is stored again; nothing may put it meanwhile.
    ///
    /// # Errors
    /// [`Error::Damaged`] for an object that is no readable blob, before anything is purged; or an error of the database. After that, purging the same
    /// blobs again finishes the work.
    pub fn purge(&self, blobs: impl IntoIterator<Item = ObjectId>) -> Result<PurgeReport> {
        let shared = &self.shared;
        let mut report = PurgeReport::default();
        let mut batch = WriteBatch::new();
        for id in blobs {
            let value = match self.stored_bytes(&id) {
                Err(Error::Missing { .. } | Error::Purged { .. }) => {
                    report.absent.push(id);
                    continue;
                }
                value => value?,
            };
            let stored = parse_blob(&value).map_err(|damage| Error::Damaged { id, damage })?;
            batch.delete(&shared.objects, id.as_bytes());
            batch.put(&shared.purged, id.as_bytes(), &encode_purged(stored.kind, stored.content_len()));
            report.purged += 1;
            report.bytes += value.len() as u64;
            let tail = value.len().saturating_sub(EVIDENCE_LEN_MAX);
            report.evidence.push(value.get(tail..).unwrap_or_default().to_vec());
        }
        if !batch.is_empty() {
            self.db().write(batch, Durability::Sync)?;
        }
        report.kept_for_snapshots = self.db().erase_dead()?.kept_for_snapshots;
        Ok(report)
    }
}
