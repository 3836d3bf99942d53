//! Which state brought each line of a file.
//!
//! A walk from the newest version of a file to the oldest: a line belongs to the newest version whose predecessor did not have it. The walk ends as soon as
//! every line has found its version.

use crate::diff::lines::{Comparison, lines};

/// A file in the making: its lines, and where each came from as far as that is known.
#[derive(Debug)]
pub struct Blame<V> {
    /// The file as it is asked about.
    content: Vec<u8>,
    /// For each line of it the version that brought it.
    origins: Vec<Option<Origin<V>>>,
    /// Lines of the version that was looked at last which also stand in the file, with their positions there; rising in both.
    open: Vec<Open>,
    /// The version that was looked at last, and its content.
    last: (V, Vec<u8>),
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<V> {
    /// The version that brought it.
    pub version: V,
    /// Its position in that version, from 0.
    pub line: usize,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    in_version: usize,
    in_file: usize,
}

impl<V: Copy> Blame<V> {
    /// Begins with the newest version.
    pub fn new(version: V, content: Vec<u8>) -> Self {
        let count = lines(&content).len();
        let open = (0..count).map(|line| Open { in_version: line, in_file: line }).collect();
        let origins = std::iter::repeat_with(|| None).take(count).collect();
        Self { last: (version, content.clone()), content, origins, open }
    }

    /// True once every line has found its version.
    pub const fn is_complete(&self) -> bool {
        self.open.is_empty()
    }

    /// Goes on to the version before the last one: what that did not have came with the last one.
    pub fn older(&mut self, version: V, content: Vec<u8>) {
        let (newer, newer_content) = &self.last;
        let compared = Comparison::new(&content, newer_content);
        let mut changes = compared.changes.iter().peekable();
        let mut still_open = Vec::with_capacity(self.open.len());
        // How much further down a line stands in the newer version than in the older.
        let (mut after_end, mut before_end) = (0, 0);
        for open in self.open.drain(..) {
            while let Some(change) = changes.next_if(|change| change.after.end <= open.in_version) {
                (after_end, before_end) = (change.after.end, change.before.end);
            }
            let is_new = changes.peek().is_some_and(|change| change.after.contains(&open.in_version));
            if is_new {
                if let Some(origin) = self.origins.get_mut(open.in_file) {
                    *origin = Some(Origin { version: *newer, line: open.in_version });
                }
            } else {
                still_open.push(Open { in_version: open.in_version - after_end + before_end, in_file: open.in_file });
            }
        }
        self.open = still_open;
        self.last = (version, content);
    }

    /// Ends with the last version: it brought what is left. Each line of the file, with where it came from.
    pub fn finish(mut self) -> Vec<(Origin<V>, Vec<u8>)> {
        let last = self.last.0;
        for open in &self.open {
            if let Some(origin) = self.origins.get_mut(open.in_file) {
                *origin = Some(Origin { version: last, line: open.in_version });
            }
        }
        let origins = self.origins.into_iter().flatten();
        origins.zip(lines(&self.content)).map(|(origin, line)| (origin, line.to_vec())).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The versions that brought the lines, the versions given from the oldest to the newest and numbered from 0.
    fn blame(versions: &[&str]) -> Vec<(usize, usize)> {
        let mut versions = versions.iter().map(|text| text.as_bytes().to_vec()).enumerate().rev();
        let (newest, content) = versions.next().unwrap();
        let mut blame = Blame::new(newest, content);
        for (version, content) in versions {
            blame.older(version, content);
        }
        blame.finish().into_iter().map(|(origin, _)| (origin.version, origin.line)).collect()
    }

    #[test]
    fn each_line_belongs_to_the_version_that_brought_it() {
        assert_eq!(blame(&["a\nb\n"]), [(0, 0), (0, 1)]);
        assert_eq!(blame(&["a\n", "a\nb\n", "c\na\nb\n"]), [(2, 0), (0, 0), (1, 1)]);
    }

    /// If it fails, a line that was taken out and put back is told to have been there all the time.
    #[test]
    fn a_line_that_came_back_belongs_to_its_return() {
        assert_eq!(blame(&["a\nb\nc\n", "a\nc\n", "a\nb\nc\n"]), [(0, 0), (2, 1), (0, 2)]);
    }

    #[test]
    fn what_stands_on_its_old_place_is_found_behind_many_changes() {
        let versions = ["1\n2\n3\n4\n5\n", "2\n3\n4\n5\n", "0\n2\n4\n5\n", "0\n2\nx\n4\n5\ny\n"];
        assert_eq!(blame(&versions), [(2, 0), (0, 1), (3, 2), (0, 3), (0, 4), (3, 5)]);
    }

    #[test]
    fn an_empty_file_has_no_lines() {
        assert_eq!(blame(&["a\n", ""]), []);
    }

    proptest! {
        /// If it fails, a line is told to come from a version, or a place in it, where it does not stand.
        #[test]
        fn every_line_stands_where_it_is_said_to_come_from(versions in proptest::collection::vec("([abc]\n){0,8}", 1..8)) {
            let texts: Vec<&str> = versions.iter().map(String::as_str).collect();
            let newest = lines(texts.last().unwrap().as_bytes());
            let found = blame(&texts);
            prop_assert_eq!(found.len(), newest.len());
            for ((version, line), text) in found.into_iter().zip(newest) {
                prop_assert_eq!(lines(texts[version].as_bytes())[line], text);
            }
        }
    }
}
