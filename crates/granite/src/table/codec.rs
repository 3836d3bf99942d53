//! How blocks are compressed.

use std::cell::RefCell;

use super::Malformed;

/// How the data of a table is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Codec {
    /// Not at all.
    None,
    /// LZ4: fast both ways.
    #[default]
    Lz4,
    /// Zstandard: smaller and slower.
    Zstd {
        /// From 1 (fast) to 22 (small). Others are taken as the nearest of these.
        level: i8,
    },
}

/// The codec of one stored block. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum StoredCodec {
    None = 0,
    Lz4 = 1,
    Zstd = 2,
}

impl StoredCodec {
    pub(super) const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::None),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl Codec {
    pub(super) const fn stored(self) -> StoredCodec {
        match self {
            Self::None => StoredCodec::None,
            Self::Lz4 => StoredCodec::Lz4,
            Self::Zstd { .. } => StoredCodec::Zstd,
        }
    }
}

/// Compresses blocks one after the other, reusing its state and its output buffer.
pub(super) struct Compressor {
    state: State,
    out: Vec<u8>,
}

enum State {
    None,
    Lz4(lz4_flex::block::CompressTable),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    pub(super) fn new(codec: Codec) -> std::io::Result<Self> {
        let state = match codec {
            Codec::None => State::None,
            Codec::Lz4 => State::Lz4(lz4_flex::block::CompressTable::small()),
            Codec::Zstd { level } => State::Zstd(zstd::bulk::Compressor::new(i32::from(level.clamp(1, 22)))?),
        };
        Ok(Self { state, out: Vec::new() })
    }

    /// The compressed form of `raw`, or `None` if it needs more than `len_max` bytes.
    pub(super) fn compress(&mut self, raw: &[u8], len_max: usize) -> Option<(StoredCodec, &[u8])> {
        let (codec, len) = match &mut self.state {
            State::None => return None,
            State::Lz4(table) => {
                // The encoder wants room for the worst case, whatever limit the result is to meet.
                self.out.resize(lz4_flex::block::get_maximum_output_size(raw.len()), 0);
                let len = lz4_flex::block::compress_into_with_table(raw, &mut self.out, table).ok()?;
                (StoredCodec::Lz4, len)
            }
            State::Zstd(compressor) => {
                self.out.resize(len_max, 0);
                // It fails where the output does not fit, which is the answer.
                let len = compressor.compress_to_buffer(raw, &mut self.out[..]).ok()?;
                (StoredCodec::Zstd, len)
            }
        };
        self.out.get(..len).filter(|out| out.len() <= len_max).map(|out| (codec, out))
    }

    /// Gives back the memory that an oversized block took.
    pub(super) fn shrink(&mut self, capacity_max: usize) {
        if self.out.capacity() > capacity_max {
            self.out = Vec::new();
        }
    }
}

thread_local! {
    /// A Zstandard context is 100 KiB and slow to make; it is made in a thread that meets such a block.
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Decompresses to exactly `raw_len` bytes, which the caller has limited.
pub(super) fn decompress(codec: StoredCodec, stored: &[u8], raw_len: usize) -> Result<Vec<u8>, Malformed> {
    const WRONG: Malformed = Malformed("a block does not decompress to the length it names");
    let mut raw = vec![0; raw_len];
    let len = match codec {
        StoredCodec::None => return Err(WRONG),
        StoredCodec::Lz4 => lz4_flex::block::decompress_into(stored, &mut raw).map_err(|_| WRONG)?,
        StoredCodec::Zstd => ZSTD.with_borrow_mut(|slot| {
            let context = match slot {
                Some(context) => context,
                None => slot.insert(
                    zstd::bulk::Decompressor::new().map_err(|_| Malformed("no memory for a Zstandard context"))?,
                ),
            };
            context.decompress_to_buffer(stored, &mut raw[..]).map_err(|_| WRONG)
        })?,
    };
    if len == raw_len { Ok(raw) } else { Err(WRONG) }
}
