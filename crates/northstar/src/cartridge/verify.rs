//! The full check of a cartridge: every byte, against everything that the format says of it.

use super::coding::padding;
use super::error::Result;
use super::header::{ALIGNMENT, HEADER_LEN, SectionKind};
use super::index::{INDEX_LEN_MAX, separator};
use super::reader::Cartridge;
use super::section::{Group, SECTION_LEN, SECTION_LEN_MAX, Section, shared_len};

/// What a full check looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Entries.
    pub entries: u64,
    /// Data sections.
    pub sections: u64,
    /// Bytes of keys, as they are without compression.
    pub key_bytes: u64,
    /// Bytes of values.
    pub value_bytes: u64,
}

impl Cartridge {
    /// Looks at every byte. What passes is exactly what a builder writes for its entries.
    ///
    /// # Errors
    /// [`Error::Damaged`](super::Error::Damaged), where the first thing that does not fit was noticed.
    pub fn verify(&self) -> Result<Verified> {
        self.verify_places()?;
        let index = self.index()?;
        let mut done = Verified::default();
        let mut last_key = Vec::new();
        for number in 0..index.count() {
            if index.before(number) != Some(done.entries) {
                return Err(self.damaged_index());
            }
            let section = self.data(number)?;
            let mut first = Group::default();
            section.group(0, &mut first).ok_or_else(|| self.damaged_data(number))?;
            let expected = first.key(0).map(|key| separator(&last_key, key));
            if index.separator(number) != expected {
                return Err(self.damaged_index());
            }
            let is_last = number + 1 == index.count();
            self.verify_section(&section, is_last, &mut last_key, &mut done)
                .ok_or_else(|| self.damaged_data(number))?;
            done.sections += 1;
        }
        if done.entries != self.header().entries {
            return Err(self.damaged(0, "the number of entries"));
        }
        Ok(done)
    }

    /// Sections follow each other without gaps but for zeros, and all checksums fit.
    fn verify_places(&self) -> Result<()> {
        let mut end = HEADER_LEN as u64;
        for number in 0..=self.sections() {
            let start = end + padding(end, ALIGNMENT);
            let zeros = self.bytes(end..start).unwrap_or(&[1]);
            if zeros.iter().any(|byte| *byte != 0) {
                return Err(self.damaged(end, "the bytes between two sections"));
            }
            if number == self.sections() {
                if self.header().table_offset != start {
                    return Err(self.damaged(start, "the place of the section table"));
                }
                break;
            }
            let entry = self.section_entry(number)?;
            if entry.offset != start {
                return Err(self.damaged(start, "the place of a section"));
            }
            let is_index = number + 1 == self.sections();
            let (kind, len_max) = match is_index {
                true => (SectionKind::Index, INDEX_LEN_MAX),
                false => (SectionKind::Data, SECTION_LEN_MAX),
            };
            self.section(number, kind, len_max)?;
            end = entry.offset + entry.len;
        }
        Ok(())
    }

    fn verify_section(
        &self,
        section: &Section<'_>,
        is_last: bool,
        last_key: &mut Vec<u8>,
        done: &mut Verified,
    ) -> Option<()> {
        let mut end = 0;
        let mut last_start = 0;
        let mut group = Group::default();
        let mut entries = 0;
        for number in 0..section.groups() {
            (section.group_start(number)? == end).then_some(())?;
            section.group(number, &mut group)?;
            for at in 0..group.len() {
                let (key, slot) = (group.key(at)?, group.slot(at)?);
                let shared = if at == 0 { 0 } else { shared_len(last_key, key) };
                let rises = done.entries == 0 || last_key.as_slice() < key;
                (rises && slot.shared == shared).then_some(())?;
                last_key.clear();
                last_key.extend_from_slice(key);
                done.entries += 1;
                entries += 1;
                done.key_bytes += key.len() as u64;
                done.value_bytes += section.value(slot)?.len() as u64;
                last_start = end;
                end = group.end_of(at)?;
            }
        }
        let zeros = section.padding_behind(end)?;
        let is_padding = zeros.len() as u64 == padding(end as u64, 4) && zeros.iter().all(|byte| *byte == 0);
        // The entry that fills a section is its last, and only the last section may not be full.
        let is_cut_right = last_start < SECTION_LEN && (is_last || end >= SECTION_LEN);
        (is_padding && is_cut_right && entries == section.count()).then_some(())
    }
}
