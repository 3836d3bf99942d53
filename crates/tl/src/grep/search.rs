//! What is searched for, and where in a content it is.

use std::ops::Range;

use anyhow::Result;
use regex::bytes::{Regex, RegexBuilder};

use crate::failure::Failure;

/// Most memory that an expression may take, in bytes, compiled and while it runs.
const SIZE_MAX: usize = 8 << 20;
/// Longest part of a line that is kept, in bytes.
const LINE_LEN_MAX: usize = 2 << 10;

/// How a pattern is understood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PatternOptions {
    /// Upper and lower case are the same.
    pub ignore_case: bool,
    /// Every character stands for itself.
    pub fixed: bool,
    /// Only whole words match.
    pub words: bool,
}

/// A regular expression over bytes, matched line by line.
#[derive(Debug)]
pub struct Pattern(Regex);

/// A line that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Its number, from 1.
    pub line: usize,
    /// The line without its end, cut if it is very long.
    pub text: Vec<u8>,
    /// The line was cut.
    pub cut: bool,
    /// Where in `text` the pattern stands first; of a line that was cut, as far as that is kept.
    pub span: Range<usize>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// One that is no regular expression, or takes more memory than a search may.
    pub fn new(pattern: &str, options: PatternOptions) -> Result<Self> {
        let mut expression = if options.fixed { regex::escape(pattern) } else { pattern.to_owned() };
        if options.words {
            expression = format!(r"\b(?:{expression})\b");
        }
        let built = RegexBuilder::new(&expression)
            .case_insensitive(options.ignore_case)
            .multi_line(true)
            .crlf(true)
            .size_limit(SIZE_MAX)
            .dfa_size_limit(SIZE_MAX)
            .build();
        match built {
            Ok(regex) => Ok(Self(regex)),
            Err(regex::Error::CompiledTooBig(_)) => Err(Failure::input(
                format!("the pattern needs more than {} MiB of memory", SIZE_MAX >> 20),
                "make its repetitions smaller",
            )),
            Err(error) => Err(Failure::input(
                format!("the pattern is no regular expression: {error}"),
                "`--fixed-strings` searches for the text as it stands",
            )),
        }
    }

    /// The lines of a content that match, at most `most`.
    pub fn search(&self, content: &[u8], most: usize) -> Vec<Match> {
        let mut found = Vec::new();
        // Most contents do not match at all: that is seen without looking at lines.
        let mut at = 0;
        let mut line = 1;
        while found.len() < most
            && let Some(hit) = content.get(at..).and_then(|rest| self.0.find(rest))
        {
            let skipped = content.get(at..at + hit.start()).unwrap_or_default();
            let line_start = at + skipped.iter().rposition(|byte| *byte == b'\n').map_or(0, |feed| feed + 1);
            line += skipped.iter().filter(|byte| **byte == b'\n').count();
            // An empty match behind the last line feed is in no line.
            let rest = content.get(line_start..).filter(|rest| !rest.is_empty());
            let Some(rest) = rest else { break };
            let len = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let next = (line_start + len + 1).min(content.len());
            let text = rest.get(..len).unwrap_or_default();
            // A pattern may run over the end of a line, or stand at the very end of the content: only what is in this line counts.
            if let Some(span) = self.0.find(text) {
                found.push(cut(line, text, span.range()));
            }
            line += 1;
            at = next;
            if at >= content.len() {
                break;
            }
        }
        found
    }
}

fn cut(line: usize, text: &[u8], span: Range<usize>) -> Match {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let kept = text.get(..LINE_LEN_MAX);
    let text = kept.unwrap_or(text);
    let span = span.start.min(text.len())..span.end.min(text.len());
    Match { line, text: text.to_vec(), cut: kept.is_some(), span }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str, options: PatternOptions) -> Pattern {
        Pattern::new(text, options).unwrap()
    }

    fn lines(pattern: &Pattern, content: &[u8]) -> Vec<(usize, Vec<u8>)> {
        pattern.search(content, usize::MAX).into_iter().map(|found| (found.line, found.text)).collect()
    }

    #[test]
    fn lines_are_found_with_their_numbers() {
        let found = pattern("b+", PatternOptions::default()).search(b"abba\nx\n\r\nb\r\nlast b", 10);
        let expected = [(1, &b"abba"[..], 1..3), (4, b"b", 0..1), (5, b"last b", 5..6)];
        let found: Vec<_> = found.iter().map(|found| (found.line, &found.text[..], found.span.clone())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn options_change_what_matches() {
        let content = b"a.b\naxb\nA.B\na.bc\n";
        let found = |text, options| {
            lines(&pattern(text, options), content).into_iter().map(|(line, _)| line).collect::<Vec<_>>()
        };
        let plain = PatternOptions::default();
        assert_eq!(found("a.b", plain), [1, 2, 4]);
        assert_eq!(found("a.b", PatternOptions { fixed: true, ..plain }), [1, 4]);
        assert_eq!(found("a.b", PatternOptions { ignore_case: true, ..plain }), [1, 2, 3, 4]);
        assert_eq!(found("a.b", PatternOptions { fixed: true, words: true, ..plain }), [1]);
        assert_eq!(found("^a.b$", plain), [1, 2]);
    }

    /// If it fails, a pattern takes all memory, or stops the program for hours.
    #[test]
    fn patterns_that_cost_too_much_are_refused() {
        let error = Pattern::new(r"(\w{1000}){1000}", PatternOptions::default()).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
        assert!(
            Pattern::new("(", PatternOptions::default()).unwrap_err().to_string().contains("no regular expression")
        );
    }

    #[test]
    fn very_long_lines_are_cut() {
        let content = [vec![b'x'; 10_000], b"needle".to_vec()].concat();
        let found = pattern("needle", PatternOptions::default()).search(&content, 10);
        assert!(found[0].cut && found[0].text.len() == LINE_LEN_MAX && found[0].span.is_empty());
    }

    proptest! {
        /// If it fails, a line that matches is missed, or one is told that does not match.
        #[test]
        fn exactly_the_lines_that_match_are_found(content in "([ab]{0,3}\n){0,6}[ab]{0,3}", expression in prop_oneof![Just("a"), Just("^b*$"), Just("ab|ba"), Just("a\\s*b")]) {
            let regex = pattern(expression, PatternOptions::default());
            let each = content.split_terminator('\n').enumerate();
            let expected: Vec<_> = each.filter(|(_, line)| regex.0.is_match(line.as_bytes()))
                .map(|(index, line)| (index + 1, line.as_bytes().to_vec())).collect();
            prop_assert_eq!(lines(&regex, content.as_bytes()), expected);
        }
    }
}
