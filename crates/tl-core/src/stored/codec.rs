//! Compression with Zstandard, where it helps.

use std::fmt;
use std::io;

use parking_lot::Mutex;
use zstd::bulk;

use crate::error::Damage;

/// The fastest of the ordinary levels: saves are to be quick, and what stays long is packed again later.
const LEVEL: i32 = 1;
/// Contents below this many bytes are never compressed: a frame alone takes nine.
const COMPRESSED_LEN_MIN: usize = 96;
/// A content must shrink by this share to be worth the decompression: 1/16.
const GAIN_SHIFT: u32 = 4;

/// A compression context, which takes long to make and is used again.
#[derive(Default)]
pub(crate) struct Compressor {
    context: Option<bulk::Compressor<'static>>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// Appends one frame of `content`; leaves `out` as it was and says false if that is not worth it.
    pub(crate) fn compress(&mut self, content: &[u8], out: &mut Vec<u8>) -> bool {
        if content.len() < COMPRESSED_LEN_MIN {
            return false;
        }
        let start = out.len();
        // The frame gets no more room than it may take, so that zstd itself gives up when there is nothing to gain. That, and
        // a lack of memory for a context, only cost space: the content is stored as it is.
        out.resize(start + content.len() - (content.len() >> GAIN_SHIFT), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let frame_len = self.context().and_then(|context| context.compress_to_buffer(content, room));
        out.truncate(start + frame_len.as_ref().map_or(0, |len| *len));
        frame_len.is_ok()
    }

    fn context(&mut self) -> io::Result<&mut bulk::Compressor<'static>> {
        if self.context.is_none() {
            let mut context = bulk::Compressor::new(LEVEL)?;
            // The length stands before the frame already.
            context.include_contentsize(false)?;
            self.context = Some(context);
        }
        self.context.as_mut().ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }
}

/// Decompression contexts that nobody uses at the moment. One takes 160 KB, which for a small content is most of the work to make and to give back.
static DECOMPRESSORS: Mutex<Vec<bulk::Decompressor<'static>>> = Mutex::new(Vec::new());
/// More are given back to the system.
const DECOMPRESSORS_MAX: usize = 4;

/// The content of a frame, which must be exactly `len` bytes long. The caller has checked `len` against its limit.
pub(crate) fn decompress(frame: &[u8], len: usize) -> Result<Vec<u8>, Damage> {
    let kept = DECOMPRESSORS.lock().pop();
    let mut context = match kept {
        Some(context) => context,
        None => bulk::Decompressor::new().map_err(|_| Damage::Compression)?,
    };
    // Zeroed memory is not touched before it is needed, so a false length costs none.
    let mut content = vec![0; len];
    // A context that met a damaged frame begins anew with the next one.
    let found = context.decompress_to_buffer(frame, &mut content[..]);
    let mut idle = DECOMPRESSORS.lock();
    if idle.len() < DECOMPRESSORS_MAX {
        idle.push(context);
    }
    match found {
        Ok(found) if found == len => Ok(content),
        Ok(_) | Err(_) => Err(Damage::Compression),
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn compressed(content: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let helped = Compressor::default().compress(content, &mut out);
        assert!(out.starts_with(b"before"));
        assert!(helped || out.len() == 6);
        helped.then(|| out.split_off(6))
    }

    #[test]
    fn only_what_shrinks_is_compressed() {
        let text = b"what is said twice is said twice. ".repeat(50);
        let frame = compressed(&text).unwrap();
        assert!(frame.len() < text.len() / 8);
        assert_eq!(decompress(&frame, text.len()).unwrap(), text);
        assert_eq!(compressed(&text[..50]), None, "too short");
        let mut random = vec![0; 100_000];
        StdRng::seed_from_u64(1).fill_bytes(&mut random);
        assert_eq!(compressed(&random), None, "nothing to gain");
    }

    /// If it fails, a frame yields more or less than was announced, unnoticed.
    #[test]
    fn a_frame_must_yield_exactly_what_was_announced() {
        let text = vec![b'x'; 10_000];
        let frame = compressed(&text).unwrap();
        for len in [0, 1, 9_999, 10_001, 1 << 20] {
            assert_eq!(decompress(&frame, len), Err(Damage::Compression), "{len}");
        }
        assert_eq!(decompress(&frame[..frame.len() - 1], 10_000), Err(Damage::Compression));
        assert_eq!(decompress(b"", 10_000), Err(Damage::Compression));
        assert_eq!(decompress(&frame, text.len()).unwrap(), text, "a damaged frame spoils none after it");
    }
}
