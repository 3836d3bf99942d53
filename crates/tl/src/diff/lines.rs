//! Which lines differ between two contents, by the histogram algorithm of the crate `imara-diff`.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

/// A run of lines that stands in place of another. One of the two can be empty; positions are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The lines that go.
    pub before: Range<usize>,
    /// The lines that come.
    pub after: Range<usize>,
}

/// Changes that are shown together, with unchanged lines around and between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Its lines on the one side.
    pub before: Range<usize>,
    /// Its lines on the other.
    pub after: Range<usize>,
    /// Its changes, as positions in [`Comparison::changes`].
    pub changes: Range<usize>,
}

/// One line of a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// It stands on both sides.
    Same(&'a [u8]),
    /// It goes.
    Removed(&'a [u8]),
    /// It comes.
    Added(&'a [u8]),
}

/// Two contents line by line. A line ends after its line feed; the last one may have none.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// The lines of the one side.
    pub before: Vec<&'a [u8]>,
    /// The lines of the other.
    pub after: Vec<&'a [u8]>,
    /// What differs, from the first line to the last. Between two changes there is at least one line that stands on both sides.
    pub changes: Vec<Change>,
}

/// The lines of a content, each with its line feed.
pub fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|byte| *byte == b'\n').collect()
}

impl<'a> Comparison<'a> {
    /// Compares two contents.
    pub fn new(before: &'a [u8], after: &'a [u8]) -> Self {
        let (before, after) = (lines(before), lines(after));
        let mut input = InternedInput::default();
        input.update_before(before.iter().copied());
        input.update_after(after.iter().copied());
        let mut diff = Diff::compute(Algorithm::Histogram, &input);
        diff.postprocess_lines(&input);
        let position = |range: Range<u32>| range.start as usize..range.end as usize;
        let changes = diff.hunks().map(|hunk| Change { before: position(hunk.before), after: position(hunk.after) });
        Self { changes: changes.collect(), before, after }
    }

    /// How many lines come.
    pub fn added(&self) -> usize {
        self.changes.iter().map(|change| change.after.len()).sum()
    }

    /// How many lines go.
    pub fn removed(&self) -> usize {
        self.changes.iter().map(|change| change.before.len()).sum()
    }

    /// The changes with up to `context` unchanged lines around each; those that come that near to each other are one hunk.
    pub fn hunks(&self, context: usize) -> Vec<Hunk> {
        let mut hunks: Vec<Hunk> = Vec::new();
        for (index, change) in self.changes.iter().enumerate() {
            let grown = Hunk {
                before: self.grow(&change.before, context, self.before.len()),
                after: self.grow(&change.after, context, self.after.len()),
                changes: index..index + 1,
            };
            match hunks.last_mut() {
                Some(last) if last.before.end >= grown.before.start => {
                    last.before.end = grown.before.end;
                    last.after.end = grown.after.end;
                    last.changes.end = grown.changes.end;
                }
                _ => hunks.push(grown),
            }
        }
        hunks
    }

    fn grow(&self, range: &Range<usize>, context: usize, len: usize) -> Range<usize> {
        range.start.saturating_sub(context)..range.end.saturating_add(context).min(len)
    }

    /// The lines of a hunk in the order in which a patch has them.
    pub fn lines_of(&self, hunk: &Hunk) -> Vec<Line<'a>> {
        let mut out = Vec::new();
        let mut at = hunk.before.start;
        for change in self.changes.get(hunk.changes.clone()).unwrap_or_default() {
            out.extend(part(&self.before, at..change.before.start).iter().map(|line| Line::Same(line)));
            out.extend(part(&self.before, change.before.clone()).iter().map(|line| Line::Removed(line)));
            out.extend(part(&self.after, change.after.clone()).iter().map(|line| Line::Added(line)));
            at = change.before.end;
        }
        out.extend(part(&self.before, at..hunk.before.end).iter().map(|line| Line::Same(line)));
        out
    }

    /// The line above a hunk that tells where it is, such as the head of a function: the last one that begins with a letter, `_` or `$`.
    pub fn heading(&self, hunk: &Hunk) -> Option<&'a [u8]> {
        let begins_something = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$';
        let above = part(&self.before, 0..hunk.before.start);
        let found = above.iter().rev().find(|line| line.first().is_some_and(|byte| begins_something(*byte)))?;
        Some(found.trim_ascii_end())
    }

    /// The content that has of each change the new lines if it is chosen, and the old ones otherwise. `chosen` answers for positions in
    /// [`Comparison::changes`].
    pub fn choose(&self, chosen: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0;
        for (index, change) in self.changes.iter().enumerate() {
            out.extend_from_slice(&part(&self.before, at..change.before.start).concat());
            let lines = match chosen(index) {
                true => part(&self.after, change.after.clone()),
                false => part(&self.before, change.before.clone()),
            };
            out.extend_from_slice(&lines.concat());
            at = change.before.end;
        }
        out.extend_from_slice(&part(&self.before, at..self.before.len()).concat());
        out
    }
}

fn part<'a, 'b>(lines: &'b [&'a [u8]], range: Range<usize>) -> &'b [&'a [u8]] {
    lines.get(range).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_content() -> impl Strategy<Value = Vec<u8>> {
        // Few different lines, so that they repeat; the last one may lack its line feed.
        let line = prop_oneof![Just("a\n"), Just("b\n"), Just("  c\n"), Just("\n"), Just("}\n"), Just("fn x() {\n")];
        (proptest::collection::vec(line, 0..40), prop_oneof![Just(""), Just("a"), Just("end")])
            .prop_map(|(lines, tail)| (lines.concat() + tail).into_bytes())
    }

    proptest! {
        /// If it fails, a restore of chosen hunks writes something else than was shown.
        #[test]
        fn all_changes_lead_to_the_new_content_and_none_to_the_old(before in any_content(), after in any_content()) {
            let compared = Comparison::new(&before, &after);
            prop_assert_eq!(compared.choose(|_| true), after.clone());
            prop_assert_eq!(compared.choose(|_| false), before.clone());
            prop_assert_eq!(compared.before.len() + compared.added(), compared.after.len() + compared.removed());
        }

        /// If it fails, a patch does not hold what it says.
        #[test]
        fn hunks_hold_both_sides_of_their_ranges(before in any_content(), after in any_content(), context in 0usize..5) {
            let compared = Comparison::new(&before, &after);
            let hunks = compared.hunks(context);
            let mut changes = 0;
            let mut last_end = None;
            for hunk in &hunks {
                prop_assert_eq!(hunk.changes.start, changes);
                changes = hunk.changes.end;
                prop_assert!(last_end.is_none_or(|end| end < hunk.before.start));
                last_end = Some(hunk.before.end);
                let lines = compared.lines_of(hunk);
                let old: Vec<_> = lines.iter().filter_map(|line| match line {
                    Line::Same(text) | Line::Removed(text) => Some(*text),
                    Line::Added(_) => None,
                }).collect();
                let new: Vec<_> = lines.iter().filter_map(|line| match line {
                    Line::Same(text) | Line::Added(text) => Some(*text),
                    Line::Removed(_) => None,
                }).collect();
                prop_assert_eq!(&old[..], &compared.before[hunk.before.clone()]);
                prop_assert_eq!(&new[..], &compared.after[hunk.after.clone()]);
            }
            prop_assert_eq!(changes, compared.changes.len());
        }
    }

    #[test]
    fn near_changes_share_a_hunk_and_far_ones_do_not() {
        let before: Vec<u8> = (0..30).flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let text = String::from_utf8(before.clone()).unwrap();
        let after = text.replace("5\n6\n", "five\n6\n").replace("\n10\n", "\nten\n").replace("\n20\n", "\ntwenty\n");
        let compared = Comparison::new(&before, after.as_bytes());
        let hunks = |context| compared.hunks(context).into_iter().map(|hunk| hunk.changes).collect::<Vec<_>>();
        assert_eq!(compared.changes.len(), 3);
        assert_eq!(hunks(1), [0..1, 1..2, 2..3]);
        assert_eq!(hunks(3), [0..2, 2..3]);
        assert_eq!(hunks(100), std::slice::from_ref(&(0..3)));
    }

    #[test]
    fn a_hunk_is_named_after_the_line_that_begins_its_block() {
        let before = b"use x;\nfn first() {\n    1\n}\nfn second() {\n    a\n    b\n    c\n    d\n}\n";
        let after = b"use x;\nfn first() {\n    1\n}\nfn second() {\n    a\n    b\n    c\n    D\n}\n";
        let compared = Comparison::new(before, after);
        assert_eq!(compared.heading(&compared.hunks(3)[0]), Some(&b"fn second() {"[..]));
    }

    #[test]
    fn some_changes_can_be_chosen() {
        let compared = Comparison::new(b"1\n2\n3\n4\n5\n", b"one\n2\n3\n4\nfive");
        assert_eq!(compared.choose(|index| index == 1), b"1\n2\n3\n4\nfive");
        assert_eq!(compared.choose(|index| index == 0), b"one\n2\n3\n4\n5\n");
    }
}
