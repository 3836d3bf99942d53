//! Choosing parts of a change, hunk by hunk.

use anyhow::Result;

use crate::diff::content::Content;
use crate::diff::lines::{Comparison, Hunk};
use crate::diff::patch;
use crate::diff::renames::{FileChange, Status};
use crate::output::Paint;
use crate::text::Canvas;

const CONTEXT_LINES: usize = 3;

/// What was chosen of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Nothing: it stays as it is.
    Nothing,
    /// All of it.
    Whole,
    /// Some of its hunks: the content that it gets.
    Part(Vec<u8>),
}

/// What a person says to a part of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This one.
    Yes,
    /// Not this one.
    No,
    /// This one and the rest of the file.
    All,
    /// Neither this one nor the rest of the file.
    Done,
    /// Nothing more.
    Quit,
    /// In smaller parts.
    Split,
}

impl Answer {
    /// Reads an answer; nothing if it is none.
    pub fn read(line: &str) -> Option<Self> {
        Some(match line.trim() {
            "y" | "yes" => Self::Yes,
            "n" | "no" => Self::No,
            "a" => Self::All,
            "d" => Self::Done,
            "q" => Self::Quit,
            "s" => Self::Split,
            _ => return None,
        })
    }

    /// What the answers mean, for people.
    pub const HELP: &'static str = "y - take this part\n\
                                    n - leave it\n\
                                    a - take it and the rest of the file\n\
                                    d - leave it and the rest of the file\n\
                                    q - leave it and everything else\n\
                                    s - decide about smaller parts\n";
}

/// A part to decide about.
#[derive(Debug)]
pub struct Question<'a> {
    /// The change, as a patch.
    pub shown: &'a [u8],
    /// Which part of the file it is, from 1.
    pub number: usize,
    /// How many parts there are.
    pub count: usize,
    /// It can be split.
    pub can_split: bool,
}

/// Goes through one file after the other.
pub struct Chooser<F> {
    ask: F,
    paint: Paint,
    quit: bool,
}

impl<F: FnMut(&Question<'_>) -> Result<Answer>> Chooser<F> {
    /// A chooser that asks with `ask`, on a terminal.
    pub const fn new(ask: F, paint: Paint) -> Self {
        Self { ask, paint, quit: false }
    }

    /// Asks about a file.
    ///
    /// # Errors
    /// Those of asking.
    pub fn file(&mut self, file: &FileChange, before: &Content, after: &Content) -> Result<Choice> {
        if self.quit {
            return Ok(Choice::Nothing);
        }
        match (file.status(), before.text(), after.text()) {
            (Status::Modified, Some(before), Some(after)) => self.hunks(file, before, after),
            _ => self.whole(file, before, after),
        }
    }

    fn whole(&mut self, file: &FileChange, before: &Content, after: &Content) -> Result<Choice> {
        let mut canvas = Canvas::new(self.paint, true);
        patch::write(&mut canvas, file, before, after, patch::PatchOptions::default());
        let answer = (self.ask)(&Question { shown: &canvas.into_bytes(), number: 1, count: 1, can_split: false })?;
        self.quit = answer == Answer::Quit;
        Ok(if matches!(answer, Answer::Yes | Answer::All) { Choice::Whole } else { Choice::Nothing })
    }

    fn hunks(&mut self, file: &FileChange, before: &[u8], after: &[u8]) -> Result<Choice> {
        let compared = Comparison::new(before, after);
        let mut hunks = compared.hunks(CONTEXT_LINES);
        let mut chosen = vec![false; compared.changes.len()];
        let mut index = 0;
        while let Some(hunk) = hunks.get(index).cloned() {
            let mut canvas = Canvas::new(self.paint, true);
            if index == 0 {
                patch::write_names(&mut canvas, file);
            }
            patch::hunk_header(&mut canvas, &compared, &hunk);
            patch::write_lines(&mut canvas, &compared, &hunk);
            let can_split = hunk.changes.len() > 1;
            let shown = canvas.into_bytes();
            let answer = (self.ask)(&Question { shown: &shown, number: index + 1, count: hunks.len(), can_split })?;
            let (range, value) = match answer {
                Answer::Yes => (hunk.changes.clone(), true),
                Answer::All => (hunk.changes.start..chosen.len(), true),
                Answer::Split if can_split => {
                    hunks.splice(index..=index, split(&compared, &hunk));
                    continue;
                }
                _ => (0..0, false),
            };
            chosen.get_mut(range).unwrap_or_default().fill(value);
            self.quit = answer == Answer::Quit;
            if matches!(answer, Answer::All | Answer::Done | Answer::Quit) {
                break;
            }
            index += 1;
        }
        Ok(if chosen.iter().all(|chosen| *chosen) {
            Choice::Whole
        } else if chosen.iter().any(|chosen| *chosen) {
            Choice::Part(compared.choose(|change| chosen.get(change).copied().unwrap_or(false)))
        } else {
            Choice::Nothing
        })
    }
}

/// One hunk for each change of a hunk, with the unchanged lines between it and the next.
fn split(compared: &Comparison<'_>, hunk: &Hunk) -> Vec<Hunk> {
    let changes = compared.changes.get(hunk.changes.clone()).unwrap_or_default();
    let mut parts = Vec::with_capacity(changes.len());
    for offset in 0..changes.len() {
        let before = offset.checked_sub(1).and_then(|index| changes.get(index));
        let next = changes.get(offset + 1);
        parts.push(Hunk {
            before: before.map_or(hunk.before.start, |change| change.before.end)
                ..next.map_or(hunk.before.end, |next| next.before.start),
            after: before.map_or(hunk.after.start, |change| change.after.end)
                ..next.map_or(hunk.after.end, |next| next.after.start),
            changes: hunk.changes.start + offset..hunk.changes.start + offset + 1,
        });
    }
    parts
}

#[cfg(test)]
mod tests {
    use tl_core::{Blob, Entry, Mode, ObjectId, ObjectKind, RepoPath};

    use super::*;
    use crate::diff::renames::Side;

    fn side(content: &[u8]) -> Side {
        let id = ObjectId::of(ObjectKind::Blob, content);
        let entry = Entry::file(Blob { id, len: content.len() as u64 }, Mode::new(0o644));
        Side { path: RepoPath::new(b"f").unwrap().to_owned(), entry }
    }

    /// What comes of answers given one after the other, and what was asked.
    fn choose(before: &str, after: &str, answers: &[Answer]) -> (Choice, Vec<String>) {
        let file = FileChange {
            before: Some(side(before.as_bytes())),
            after: Some(side(after.as_bytes())),
            similarity_percent: None,
        };
        let mut answers = answers.iter();
        let mut asked = Vec::new();
        let ask = |question: &Question<'_>| {
            asked.push(String::from_utf8(question.shown.to_vec()).unwrap());
            Ok(*answers.next().expect("one question too many"))
        };
        let mut chooser = Chooser::new(ask, Paint::plain());
        let (old, new) = (Content::Text(before.into()), Content::Text(after.into()));
        let choice = chooser.file(&file, &old, &new).unwrap();
        assert!(answers.next().is_none(), "one question too few");
        (choice, asked)
    }

    const BEFORE: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n";
    const AFTER: &str = "one\n2\nthree\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\nfifteen\n";

    #[test]
    fn a_hunk_is_taken_or_left() {
        let (choice, asked) = choose(BEFORE, AFTER, &[Answer::No, Answer::Yes]);
        assert_eq!(choice, Choice::Part(BEFORE.replace("15", "fifteen").into_bytes()));
        assert!(asked[0].starts_with("--- a/f\n+++ b/f\n@@ -1,6 +1,6 @@\n-1\n+one\n"), "{}", asked[0]);
        assert!(asked[1].starts_with("@@ -12,4 +12,4 @@\n"), "{}", asked[1]);
        assert_eq!(choose(BEFORE, AFTER, &[Answer::Yes, Answer::Yes]).0, Choice::Whole);
        assert_eq!(choose(BEFORE, AFTER, &[Answer::No, Answer::No]).0, Choice::Nothing);
    }

    #[test]
    fn a_split_hunk_is_decided_change_by_change() {
        let (choice, asked) = choose(BEFORE, AFTER, &[Answer::Split, Answer::No, Answer::Yes, Answer::No]);
        assert_eq!(choice, Choice::Part(BEFORE.replace("\n3\n", "\nthree\n").into_bytes()));
        assert!(asked[2].starts_with("@@ -2,5 +2,5 @@\n 2\n-3\n+three\n"), "{}", asked[2]);
    }

    #[test]
    fn one_answer_can_be_for_the_rest_of_the_file() {
        assert_eq!(choose(BEFORE, AFTER, &[Answer::All]).0, Choice::Whole);
        assert_eq!(choose(BEFORE, AFTER, &[Answer::Done]).0, Choice::Nothing);
        let (choice, _) = choose(BEFORE, AFTER, &[Answer::Yes, Answer::Quit]);
        assert_eq!(choice, Choice::Part(BEFORE.replacen("1\n", "one\n", 1).replace("\n3\n", "\nthree\n").into_bytes()));
    }

    /// If it fails, a part that cannot be split is asked about for ever.
    #[test]
    fn what_cannot_be_split_is_left() {
        assert_eq!(choose("a\n", "b\n", &[Answer::Split]).0, Choice::Nothing);
    }
}
