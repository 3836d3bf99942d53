//! A manifest: its records, and what they add up to.

use std::path::Path;

use super::{Damage, open};
use crate::error::{Error, Result};
use crate::key::Seq;
use crate::manifest::file::find_records;
use crate::manifest::format::{HEADER_LEN, VERSION, decode_header};
use crate::manifest::{Edit, ManifestState, TableMeta};
use crate::options::KeyspaceOptions;

/// One atomic change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRecord {
    /// Where in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Its edits, in words.
    pub edits: Vec<String>,
}

/// What a manifest says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestTable {
    /// Number of its file.
    pub number: u64,
    /// Its level.
    pub level: u8,
    /// Length of the file in bytes.
    pub file_len: u64,
    /// Entries, without deletes of ranges.
    pub entries: u64,
    /// Of these, deletes.
    pub deletes: u64,
    /// Deletes of ranges.
    pub range_deletes: u64,
    /// The smallest key.
    pub smallest: Vec<u8>,
    /// The largest key.
    pub largest: Vec<u8>,
    /// The smallest sequence number.
    pub seq_min: Seq,
    /// The largest sequence number.
    pub seq_max: Seq,
    /// Segments that it points into, each with the bytes of the values pointed to.
    pub segments: Vec<(u64, u64)>,
}

/// What a manifest says of a keyspace.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyspaceDump {
    /// Its identifier.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// How it stores its data.
    pub options: KeyspaceOptions,
    /// Every operation up to this one is in tables.
    pub persisted: Seq,
    /// Its tables, by number.
    pub tables: Vec<ManifestTable>,
}

/// A manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestDump {
    /// Length of the file in bytes.
    pub file_len: u64,
    /// All records that can be read.
    pub records: Vec<ManifestRecord>,
    /// The keyspaces, as the records up to the first damage leave them.
    pub keyspaces: Vec<KeyspaceDump>,
    /// Segments below this number are not needed as log.
    pub log_start: u64,
    /// The sequence that the log begins with.
    pub log_first_seq: Seq,
    /// All file numbers in use are below.
    pub next_file: u64,
    /// Every operation up to this one was durable.
    pub durable: Seq,
    /// Sealed segments that tables may point into, with their lengths in bytes.
    pub segments: Vec<(u64, u64)>,
    /// What cannot be read. At the very end of the file this may be a change that never happened.
    pub damage: Vec<Damage>,
}

/// Reads the manifest at `path`.
///
/// # Errors
/// [`Error::NewerFormat`] or an error of the disk. Damage is no error.
pub fn manifest(path: impl AsRef<Path>) -> Result<ManifestDump> {
    let path = path.as_ref();
    let (file, file_len) = open(path)?;
    let mut bytes = vec![0; usize::try_from(file_len).unwrap_or(usize::MAX)];
    file.read_exact_at(0, &mut bytes).map_err(|error| Error::io("read", path, error))?;
    let mut damage = Vec::new();
    match bytes.first_chunk::<HEADER_LEN>().map_or(Err("the manifest is cut off"), decode_header) {
        Ok(version) if version != VERSION => {
            return Err(Error::NewerFormat { path: path.to_owned(), found: version, supported: VERSION });
        }
        Ok(_) => {}
        Err(what) => damage.push(Damage { offset: 0, what: what.to_owned() }),
    }
    let mut state = ManifestState::default();
    let mut records = Vec::new();
    let mut whole = damage.is_empty();
    for record in find_records(&bytes) {
        let Some(edits) = record.edits else {
            damage.push(Damage { offset: record.offset, what: format!("{} bytes are no record", record.len) });
            whole = false;
            continue;
        };
        records.push(ManifestRecord {
            offset: record.offset,
            len: record.len,
            edits: edits.iter().map(words).collect(),
        });
        for edit in edits {
            if whole && let Err(what) = state.apply(edit) {
                damage.push(Damage { offset: record.offset, what });
                whole = false;
            }
        }
    }
    Ok(ManifestDump {
        file_len,
        records,
        log_start: state.log_start,
        log_first_seq: state.log_first_seq,
        next_file: state.next_file,
        durable: state.durable,
        segments: state.segments.into_iter().collect(),
        keyspaces: state
            .keyspaces
            .into_iter()
            .map(|(id, keyspace)| KeyspaceDump {
                id,
                name: keyspace.name,
                options: keyspace.options,
                persisted: keyspace.persisted,
                tables: keyspace.tables.into_values().map(|(level, meta)| table(level, meta)).collect(),
            })
            .collect(),
        damage,
    })
}

fn table(level: u8, meta: TableMeta) -> ManifestTable {
    ManifestTable {
        number: meta.number,
        level,
        file_len: meta.file_len,
        entries: meta.entries,
        deletes: meta.deletes,
        range_deletes: meta.range_deletes,
        smallest: meta.smallest,
        largest: meta.largest,
        seq_min: meta.seq_min,
        seq_max: meta.seq_max,
        segments: meta.segments,
    }
}

fn words(edit: &Edit) -> String {
    match edit {
        Edit::CreateKeyspace { id, name, .. } => format!("create keyspace {id} {name:?}"),
        Edit::DropKeyspace { id } => format!("drop keyspace {id}"),
        Edit::AddTable { keyspace, level, table } => {
            format!("add table {} to level {level} of keyspace {keyspace}", table.number)
        }
        Edit::RemoveTable { keyspace, number } => format!("remove table {number} of keyspace {keyspace}"),
        Edit::Persisted { keyspace, seq } => format!("keyspace {keyspace} is in tables up to operation {seq}"),
        Edit::LogStart { segment, first_seq } => {
            format!("the log begins in segment {segment} with operation {first_seq}")
        }
        Edit::NextFile { number } => format!("file numbers are below {number}"),
        Edit::Durable { seq } => format!("durable up to operation {seq}"),
        Edit::AddSegment { number, len } => format!("add segment {number} of {len} bytes"),
        Edit::RemoveSegment { number } => format!("remove segment {number}"),
    }
}
