//! Bytes of the manifest. See `docs/format/granite.md`, "Manifest".

use crate::checksum::{Site, is_same};
use crate::coding::{Decoder, put_bytes, put_varint};
use crate::key::Seq;
use crate::options::{CompactionPolicy, KeyLayout, KeyspaceOptions};
use crate::table::{Codec, FilterPolicy};

pub(crate) const MAGIC: [u8; 8] = *b"GRANMAN\n";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_LEN: usize = 16;
pub(crate) const RECORD_HEADER_LEN: usize = 8;
/// Levels that a keyspace can have.
pub(crate) const LEVEL_COUNT: usize = 7;

pub(crate) fn encode_header() -> [u8; HEADER_LEN] {
    let mut out = [0; HEADER_LEN];
    let (magic, rest) = out.split_at_mut(8);
    let (version, crc) = rest.split_at_mut(4);
    magic.copy_from_slice(&MAGIC);
    version.copy_from_slice(&VERSION.to_le_bytes());
    let sum = crate::checksum::crc32c_append(crate::checksum::crc32c(magic), version);
    crc.copy_from_slice(&sum.to_le_bytes());
    out
}

/// The file's format version, or what is wrong with the header.
pub(crate) fn decode_header(bytes: &[u8; HEADER_LEN]) -> Result<u32, &'static str> {
    let mut input = Decoder::new(bytes);
    if input.array() != Some(MAGIC) {
        return Err("this is not a manifest: its magic is missing");
    }
    let (version, crc) = (input.u32(), input.u32());
    let (summed, _) = bytes.split_at(HEADER_LEN - 4);
    match (version, crc) {
        (Some(version), Some(crc)) if is_same(Site::ManifestHeader, crate::checksum::crc32c(summed), crc) => {
            Ok(version)
        }
        _ => Err("the manifest's header fails its checksum"),
    }
}

pub(crate) fn record_crc(offset: u64, len: u32, edits: &[u8]) -> u32 {
    let crc = crate::checksum::crc32c(&offset.to_le_bytes());
    let crc = crate::checksum::crc32c_append(crc, &len.to_le_bytes());
    crate::checksum::crc32c_append(crc, edits)
}

/// What the manifest knows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableMeta {
    pub(crate) number: u64,
    pub(crate) file_len: u64,
    pub(crate) entries: u64,
    pub(crate) deletes: u64,
    pub(crate) range_deletes: u64,
    /// Bounds of the user keys, both inclusive, range deletes' starts and ends among them.
    pub(crate) smallest: Vec<u8>,
    pub(crate) largest: Vec<u8>,
    pub(crate) seq_min: Seq,
    pub(crate) seq_max: Seq,
    /// Segments that the table points into, with the bytes of the values pointed to; rising numbers.
    pub(crate) segments: Vec<(u64, u64)>,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Edit {
    CreateKeyspace { id: u32, name: String, options: KeyspaceOptions },
    DropKeyspace { id: u32 },
    AddTable { keyspace: u32, level: u8, table: TableMeta },
    RemoveTable { keyspace: u32, number: u64 },
    Persisted { keyspace: u32, seq: Seq },
    LogStart { segment: u64, first_seq: Seq },
    NextFile { number: u64 },
    Durable { seq: Seq },
    AddSegment { number: u64, len: u64 },
    RemoveSegment { number: u64 },
}

fn put_table(out: &mut Vec<u8>, table: &TableMeta) {
    for number in [table.number, table.file_len, table.entries, table.deletes, table.range_deletes] {
        put_varint(out, number);
    }
    put_bytes(out, &table.smallest);
    put_bytes(out, &table.largest);
    put_varint(out, table.seq_min.get());
    put_varint(out, table.seq_max.get());
    put_varint(out, table.segments.len() as u64);
    for &(number, bytes) in &table.segments {
        put_varint(out, number);
        put_varint(out, bytes);
    }
}

fn take_table(input: &mut Decoder<'_>) -> Option<TableMeta> {
    let mut table = TableMeta {
        number: input.varint()?,
        file_len: input.varint()?,
        entries: input.varint()?,
        deletes: input.varint()?,
        range_deletes: input.varint()?,
        smallest: input.bytes()?.to_vec(),
        largest: input.bytes()?.to_vec(),
        seq_min: Seq::new(input.varint()?),
        seq_max: Seq::new(input.varint()?),
        segments: Vec::new(),
    };
    for _ in 0..input.varint()? {
        table.segments.push((input.varint()?, input.varint()?));
    }
    Some(table)
}

/// Encodes a keyspace's options: pairs of a tag byte and a value, so that later versions can add some.
fn encode_options(options: &KeyspaceOptions) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |tag: u8, value: u64| {
        out.push(tag);
        put_varint(&mut out, value);
    };
    put(
        1,
        match options.key_layout {
            KeyLayout::Plain => 0,
            KeyLayout::Hash { width } => u64::from(width),
        },
    );
    put(2, options.separation_threshold.map_or(0, u64::from));
    put(
        3,
        match options.codec {
            Codec::None => 0,
            Codec::Lz4 => 1,
            Codec::Zstd { level } => 2 + (u64::from(level as u8) << 8),
        },
    );
    put(
        4,
        match options.filter {
            FilterPolicy::None => 0,
            FilterPolicy::Bloom { bits_per_key } => u64::from(bits_per_key),
        },
    );
    put(5, u64::from(options.block_len));
    put(
        6,
        match options.compaction {
            CompactionPolicy::Leveled => 0,
            CompactionPolicy::Tiered => 1,
        },
    );
    out
}

fn decode_options(bytes: &[u8]) -> Option<KeyspaceOptions> {
    let mut options = KeyspaceOptions::new();
    let mut input = Decoder::new(bytes);
    while !input.is_empty() {
        let tag = input.u8()?;
        let value = input.varint()?;
        match tag {
            1 => {
                options.key_layout = match u8::try_from(value).ok()? {
                    0 => KeyLayout::Plain,
                    width => KeyLayout::Hash { width },
                };
            }
            2 => options.separation_threshold = Some(u32::try_from(value).ok()?).filter(|&bytes| bytes > 0),
            3 => {
                options.codec = match (value & 0xff, value >> 8) {
                    (0, 0) => Codec::None,
                    (1, 0) => Codec::Lz4,
                    (2, level) => Codec::Zstd { level: u8::try_from(level).ok()? as i8 },
                    _ => return None,
                };
            }
            4 => {
                options.filter = match u8::try_from(value).ok()? {
                    0 => FilterPolicy::None,
                    bits_per_key => FilterPolicy::Bloom { bits_per_key },
                };
            }
            5 => options.block_len = u32::try_from(value).ok()?,
            6 => {
                options.compaction = match value {
                    0 => CompactionPolicy::Leveled,
                    1 => CompactionPolicy::Tiered,
                    _ => return None,
                };
            }
            _ => return None,
        }
    }
    options.check().is_ok().then_some(options)
}

impl Edit {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::CreateKeyspace { id, name, options } => {
                out.push(1);
                put_varint(out, u64::from(*id));
                put_bytes(out, name.as_bytes());
                put_bytes(out, &encode_options(options));
            }
            Self::DropKeyspace { id } => {
                out.push(2);
                put_varint(out, u64::from(*id));
            }
            Self::AddTable { keyspace, level, table } => {
                out.push(3);
                put_varint(out, u64::from(*keyspace));
                out.push(*level);
                put_table(out, table);
            }
            Self::RemoveTable { keyspace, number } => {
                out.push(4);
                put_varint(out, u64::from(*keyspace));
                put_varint(out, *number);
            }
            Self::Persisted { keyspace, seq } => {
                out.push(5);
                put_varint(out, u64::from(*keyspace));
                put_varint(out, seq.get());
            }
            Self::LogStart { segment, first_seq } => {
                out.push(6);
                put_varint(out, *segment);
                put_varint(out, first_seq.get());
            }
            Self::NextFile { number } => {
                out.push(7);
                put_varint(out, *number);
            }
            Self::Durable { seq } => {
                out.push(8);
                put_varint(out, seq.get());
            }
            Self::AddSegment { number, len } => {
                out.push(9);
                put_varint(out, *number);
                put_varint(out, *len);
            }
            Self::RemoveSegment { number } => {
                out.push(10);
                put_varint(out, *number);
            }
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        let tag = input.u8()?;
        let id = |input: &mut Decoder<'_>| u32::try_from(input.varint()?).ok();
        Some(match tag {
            1 => Self::CreateKeyspace {
                id: id(input)?,
                name: std::str::from_utf8(input.bytes()?).ok()?.to_owned(),
                options: decode_options(input.bytes()?)?,
            },
            2 => Self::DropKeyspace { id: id(input)? },
            3 => Self::AddTable {
                keyspace: id(input)?,
                level: input.u8().filter(|&level| usize::from(level) < LEVEL_COUNT)?,
                table: take_table(input)?,
            },
            4 => Self::RemoveTable { keyspace: id(input)?, number: input.varint()? },
            5 => Self::Persisted { keyspace: id(input)?, seq: Seq::new(input.varint()?) },
            6 => Self::LogStart { segment: input.varint()?, first_seq: Seq::new(input.varint()?) },
            7 => Self::NextFile { number: input.varint()? },
            8 => Self::Durable { seq: Seq::new(input.varint()?) },
            9 => Self::AddSegment { number: input.varint()?, len: input.varint()? },
            10 => Self::RemoveSegment { number: input.varint()? },
            _ => return None,
        })
    }
}

/// The edits of one record, or `None` if any of it is malformed.
pub(crate) fn decode_edits(bytes: &[u8]) -> Option<Vec<Edit>> {
    let mut input = Decoder::new(bytes);
    let mut edits = Vec::new();
    while !input.is_empty() {
        edits.push(Edit::decode(&mut input)?);
    }
    Some(edits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn samples() -> Vec<Edit> {
        let table = TableMeta {
            number: 12,
            file_len: 1 << 33,
            entries: 100,
            deletes: 3,
            range_deletes: 1,
            smallest: b"a".to_vec(),
            largest: vec![0xff; 300],
            seq_min: Seq::new(1),
            seq_max: Seq::MAX,
            segments: vec![(3, 1000), (9, 1 << 40)],
        };
        let hashed = KeyspaceOptions::new()
            .key_layout(KeyLayout::Hash { width: 32 })
            .separation_threshold(None)
            .codec(Codec::Zstd { level: -3 })
            .filter(FilterPolicy::None)
            .compaction(CompactionPolicy::Tiered);
        vec![
            Edit::CreateKeyspace { id: 0, name: "default".into(), options: KeyspaceOptions::new() },
            Edit::CreateKeyspace { id: 1, name: "objects \u{e9}".into(), options: hashed },
            Edit::DropKeyspace { id: 1 },
            Edit::AddTable { keyspace: 0, level: 6, table },
            Edit::RemoveTable { keyspace: 0, number: 7 },
            Edit::Persisted { keyspace: 0, seq: Seq::new(99) },
            Edit::LogStart { segment: 4, first_seq: Seq::new(80) },
            Edit::NextFile { number: 13 },
            Edit::Durable { seq: Seq::new(98) },
            Edit::AddSegment { number: 3, len: 4096 },
            Edit::RemoveSegment { number: 2 },
        ]
    }

    #[test]
    fn edits_survive_their_encoding_and_none_can_be_cut_off() {
        for edit in samples() {
            let mut bytes = Vec::new();
            edit.encode(&mut bytes);
            assert_eq!(decode_edits(&bytes), Some(vec![edit.clone()]));
            for len in 1..bytes.len() {
                assert_eq!(decode_edits(&bytes[..len]), None, "{edit:?} cut to {len} bytes");
            }
        }
    }

    #[test]
    fn a_header_survives_no_flipped_bit() {
        let header = encode_header();
        assert_eq!(decode_header(&header), Ok(VERSION));
        for bit in 0..header.len() * 8 {
            let mut bad = header;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_header(&bad).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn no_input_makes_the_decoder_panic(bytes: Vec<u8>) {
            if let Some(edits) = decode_edits(&bytes) {
                prop_assert!(edits.len() <= bytes.len());
            }
        }
    }
}
