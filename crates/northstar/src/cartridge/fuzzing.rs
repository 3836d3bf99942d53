//! A door for a fuzzer. Not for programs.

use std::ops::Bound;
use std::path::Path;

use vfs::Mapping;

use super::coding::crc32c;
use super::header::{HEADER_LEN, SectionEntry, TABLE_ENTRY_LEN};
use super::kinds::{path_history, pending_tasks};
use super::reader::Cartridge;
use super::scan::{Entry, Order};

/// A cartridge of arbitrary bytes, once as it is and once past its checksums. What can be read of it must be of one piece: scans in both orders agree, and whatever a
/// scan finds a look-up finds.
pub fn cartridge(bytes: &[u8]) {
    read(bytes.to_vec());
    let mut sealed = bytes.to_vec();
    if seal(&mut sealed).is_some() {
        read(sealed);
    }
}

fn read(bytes: Vec<u8>) {
    let Ok(cartridge) = Cartridge::from_content(Path::new("fuzzed"), Mapping::of(bytes)) else { return };
    let is_sound = cartridge.verify().is_ok();
    let everything = (Bound::Unbounded, Bound::Unbounded);
    // What a group of hostile lengths expands to is bounded, and so is the number of entries looked at.
    let forward: Vec<_> = cartridge.scan(everything, Order::Forward).take(2000).collect();
    let backward: Vec<_> = cartridge.scan(everything, Order::Backward).take(2000).collect();
    for entry in forward.iter().flatten().take(200) {
        let Entry { key, value } = entry;
        let found = cartridge.get(key);
        let below = cartridge.count((Bound::Unbounded, Bound::Excluded(key)));
        if is_sound {
            debug_assert_eq!(found.ok().flatten(), Some(value.as_slice()));
            debug_assert!(below.is_ok_and(|below| below < cartridge.header().entries));
        }
    }
    if is_sound {
        debug_assert!(forward.len() == 2000 || forward.len() as u64 == cartridge.header().entries);
        debug_assert!(forward.len() == 2000 || forward.iter().flatten().eq(backward.iter().rev().flatten()));
    }
    let _types = pending_tasks::types(&cartridge);
    let _pending = pending_tasks::pending(&cartridge, b"mail").take(100).count();
    let _touched = path_history::touched(&cartridge, b"a/b/c", 0..=u64::MAX, Order::Backward).take(100).count();
}

/// Makes every checksum fit, as far as the sections can be found.
fn seal(bytes: &mut [u8]) -> Option<()> {
    let number = |bytes: &[u8], at: usize| bytes.get(at..)?.first_chunk().map(|found| u64::from_le_bytes(*found));
    let table_start = usize::try_from(number(bytes, 128)?).ok()?;
    let sections = number(bytes, 136)? as u32 as usize;
    for section in 0..sections.min(64) {
        let at = table_start.checked_add(section * TABLE_ENTRY_LEN)?;
        let Some(entry) = bytes.get(at..).and_then(|rest| rest.get(..TABLE_ENTRY_LEN)).and_then(SectionEntry::decode)
        else {
            continue;
        };
        let range = usize::try_from(entry.offset).ok().zip(usize::try_from(entry.len).ok());
        let range = range.and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let Some(crc) = range.and_then(|range| bytes.get(range)).map(crc32c) else { continue };
        bytes.get_mut(at + 16..)?.first_chunk_mut::<4>().map(|place| *place = crc.to_le_bytes())?;
    }
    let table_len = sections.checked_mul(TABLE_ENTRY_LEN)?;
    let table_crc = crc32c(bytes.get(table_start..)?.get(..table_len)?);
    bytes.get_mut(140..)?.first_chunk_mut::<4>().map(|place| *place = table_crc.to_le_bytes())?;
    let crc = crc32c(bytes.get(..HEADER_LEN - 4)?);
    bytes.get_mut(HEADER_LEN - 4..)?.first_chunk_mut::<4>().map(|place| *place = crc.to_le_bytes())
}

#[cfg(test)]
mod tests {
    /// If it fails, an input that a fuzzer once found makes a reader panic, or read two different things.
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let corpus = std::path::Path::new(&crate_dir).join("../../fuzz/corpus/cartridge");
        let files: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
        assert!(!files.is_empty());
        for file in files {
            super::cartridge(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }

    /// If it fails, a few changed bytes past the checksums do.
    #[test]
    fn changed_corpora_are_read_without_a_panic() {
        use rand::rngs::StdRng;
        use rand::{RngExt, SeedableRng};
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let corpus = std::path::Path::new(&crate_dir).join("../../fuzz/corpus/cartridge");
        let mut files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let files: Vec<_> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..3000 {
            let mut bytes = files[random.random_range(0..files.len())].clone();
            for _ in 0..random.random_range(1..5) {
                let at = random.random_range(0..bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = [0, 1, 0x7f, 0x80, 0xff, random.random()][random.random_range(0..6)];
                }
            }
            super::cartridge(&bytes);
        }
    }
}
