//! Changes word by word.

use std::ops::Range;

use anstyle::{AnsiColor, Style};
use imara_diff::{Algorithm, Diff, InternedInput};

use super::lines::{Comparison, Hunk};
use crate::text::Canvas;

/// Above this many words a change is shown line by line: nobody reads it word by word.
const WORDS_MAX: usize = 100_000;

/// A part of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// It stands on both sides.
    Same(&'a [u8]),
    /// It goes.
    Removed(&'a [u8]),
    /// It comes.
    Added(&'a [u8]),
}

/// Runs of letters, digits, `_` and everything beyond ASCII; runs of blanks; line feeds and all other characters one by one.
fn words(text: &[u8]) -> Vec<Range<usize>> {
    #[derive(PartialEq, Clone, Copy)]
    enum Class {
        Word,
        Blank,
        Single,
    }
    let class = |byte: u8| match byte {
        b'_' | 0x80.. => Class::Word,
        _ if byte.is_ascii_alphanumeric() => Class::Word,
        b' ' | b'\t' => Class::Blank,
        _ => Class::Single,
    };
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut last = Class::Single;
    for (index, byte) in text.iter().enumerate() {
        let found = class(*byte);
        match words.last_mut() {
            Some(word) if found == last && found != Class::Single => word.end = index + 1,
            _ => words.push(index..index + 1),
        }
        last = found;
    }
    words
}

/// What differs between two texts; nothing if they have too many words.
pub fn segments<'a>(before: &'a [u8], after: &'a [u8]) -> Option<Vec<Segment<'a>>> {
    let (old, new) = (words(before), words(after));
    if old.len().max(new.len()) > WORDS_MAX {
        return None;
    }
    let mut input = InternedInput::default();
    input.update_before(old.iter().map(|word| span(before, word.clone())));
    input.update_after(new.iter().map(|word| span(after, word.clone())));
    let mut diff = Diff::compute(Algorithm::Myers, &input);
    diff.postprocess_no_heuristic(&input);
    let mut out = Vec::new();
    let mut push = |segment: fn(&'a [u8]) -> Segment<'a>, text: &'a [u8]| {
        if !text.is_empty() {
            out.push(segment(text));
        }
    };
    let mut at = 0;
    for hunk in diff.hunks() {
        let gone = text_of(before, &old, hunk.before.start as usize..hunk.before.end as usize, at);
        push(Segment::Same, span(before, at..gone.start));
        push(Segment::Removed, span(before, gone.clone()));
        push(Segment::Added, span(after, text_of(after, &new, hunk.after.start as usize..hunk.after.end as usize, 0)));
        at = gone.end;
    }
    push(Segment::Same, span(before, at..before.len()));
    Some(out)
}

fn span(text: &[u8], range: Range<usize>) -> &[u8] {
    text.get(range).unwrap_or_default()
}

/// Where a range of words stands in its text; an empty range stands before its first word, but not before `least`.
fn text_of(text: &[u8], words: &[Range<usize>], range: Range<usize>, least: usize) -> Range<usize> {
    let start_of = |index: usize| words.get(index).map_or(text.len(), |word| word.start);
    let start = start_of(range.start).max(least);
    start..start_of(range.end).max(start)
}

/// Writes a hunk with the words marked that differ: by `[-` and `-]`, `{+` and `+}`, or by colour where there is one.
pub fn write_hunk(canvas: &mut Canvas, compared: &Comparison<'_>, hunk: &Hunk) {
    let mut at = hunk.before.start;
    let changes = compared.changes.get(hunk.changes.clone()).unwrap_or_default();
    let lines = |lines: &[&[u8]], range: Range<usize>| lines.get(range).unwrap_or_default().concat();
    let mut writer = Writer::new(canvas);
    for change in changes {
        writer.segment(Segment::Same(&lines(&compared.before, at..change.before.start)));
        let (old, new) = (lines(&compared.before, change.before.clone()), lines(&compared.after, change.after.clone()));
        match segments(&old, &new) {
            Some(segments) => segments.into_iter().for_each(|segment| writer.segment(segment)),
            None => {
                [Segment::Removed(&old), Segment::Added(&new)].into_iter().for_each(|segment| writer.segment(segment));
            }
        }
        at = change.before.end;
    }
    writer.segment(Segment::Same(&lines(&compared.before, at..hunk.before.end)));
    writer.end();
}

/// Lines in the making.
struct Writer<'a> {
    canvas: &'a mut Canvas,
    /// Something stands in the line.
    begun: bool,
    /// Something stands in it that stays.
    stays: bool,
}

impl<'a> Writer<'a> {
    const fn new(canvas: &'a mut Canvas) -> Self {
        Self { canvas, begun: false, stays: false }
    }

    fn segment(&mut self, segment: Segment<'_>) {
        let (text, removed) = match segment {
            Segment::Same(text) | Segment::Added(text) => (text, false),
            Segment::Removed(text) => (text, true),
        };
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            let words = piece.strip_suffix(b"\n").unwrap_or(piece);
            if !words.is_empty() {
                self.words(segment, words);
                self.stays |= !removed;
            }
            // A line break that goes is shown if all of its line goes.
            if words.len() < piece.len() && (!removed || (self.begun && !self.stays)) {
                self.break_line();
            }
        }
    }

    fn words(&mut self, segment: Segment<'_>, words: &[u8]) {
        if !std::mem::replace(&mut self.begun, true) {
            self.canvas.text(' ');
        }
        let (style, open, close) = match segment {
            Segment::Same(_) => return self.canvas.content(words),
            Segment::Removed(_) => (AnsiColor::Red.on_default(), "[-", "-]"),
            Segment::Added(_) => (AnsiColor::Green.on_default(), "{+", "+}"),
        };
        if self.canvas.paint().is_enabled() {
            self.canvas.content_in(style, words);
        } else {
            self.canvas.text(open);
            self.canvas.content_in(Style::new(), words);
            self.canvas.text(close);
        }
    }

    fn break_line(&mut self) {
        self.canvas.line("");
        (self.begun, self.stays) = (false, false);
    }

    fn end(&mut self) {
        if self.begun {
            self.break_line();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::Paint;

    proptest! {
        /// If it fails, word mode shows something that neither side says, or hides something.
        #[test]
        fn segments_hold_both_sides(before in "[ab_ .\n\u{fc}]{0,60}", after in "[ab_ .\n\u{fc}]{0,60}") {
            let found = segments(before.as_bytes(), after.as_bytes()).unwrap();
            let side = |wanted: fn(&Segment<'_>) -> bool| found.iter().filter(|segment| wanted(segment)).flat_map(|segment| match segment {
                Segment::Same(text) | Segment::Removed(text) | Segment::Added(text) => text.to_vec(),
            }).collect::<Vec<u8>>();
            prop_assert_eq!(side(|segment| !matches!(segment, Segment::Added(_))), before.as_bytes());
            prop_assert_eq!(side(|segment| !matches!(segment, Segment::Removed(_))), after.as_bytes());
        }
    }

    fn shown(before: &str, after: &str) -> String {
        let compared = Comparison::new(before.as_bytes(), after.as_bytes());
        let mut canvas = Canvas::new(Paint::plain(), true);
        for hunk in compared.hunks(3) {
            write_hunk(&mut canvas, &compared, &hunk);
        }
        String::from_utf8(canvas.into_bytes()).unwrap()
    }

    #[test]
    fn lines_that_go_or_come_as_a_whole_keep_their_line() {
        assert_eq!(shown("a\nb\nc\n", "a\nc\n"), " a\n [-b-]\n c\n");
        assert_eq!(shown("a\nc\n", "a\nb b\nc\n"), " a\n {+b b+}\n c\n");
    }

    #[test]
    fn joined_lines_are_one_line() {
        assert_eq!(shown("a\nb\n", "a b\n"), " a{+ +}b\n");
    }
}
