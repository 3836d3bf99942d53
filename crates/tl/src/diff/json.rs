//! A change for programs.

use serde::Serialize;
use tl_core::EntryKind;

use super::content::Content;
use super::lines::{Comparison, Line};
use super::renames::{FileChange, Side};
use crate::output::PathJson;

/// One file that differs. The fields are documented in the book's chapter on history.
#[derive(Debug, Serialize)]
pub struct FileJson<'a> {
    status: &'static str,
    path: PathJson<'a>,
    old_path: Option<PathJson<'a>>,
    similarity_percent: Option<u8>,
    before: Option<SideJson>,
    after: Option<SideJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines_added: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines_removed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hunks: Option<Vec<HunkJson<'a>>>,
}

#[derive(Debug, Serialize)]
struct SideJson {
    kind: &'static str,
    mode: String,
    size: u64,
    id: String,
}

/// Part of a file that differs. Lines are counted from 1; without lines, a side begins with the one before.
#[derive(Debug, Serialize)]
struct HunkJson<'a> {
    old_start: usize,
    old_lines: usize,
    new_start: usize,
    new_lines: usize,
    lines: Vec<LineJson<'a>>,
}

#[derive(Debug, Serialize)]
struct LineJson<'a> {
    op: &'static str,
    text: PathJson<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_newline: bool,
}

/// The name of a kind for programs.
pub const fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Symlink => "symlink",
        EntryKind::Directory => "directory",
    }
}

impl From<&Side> for SideJson {
    fn from(side: &Side) -> Self {
        let entry = &side.entry;
        Self { kind: kind_name(entry.kind), mode: entry.mode.to_string(), size: entry.size, id: entry.id.to_string() }
    }
}

impl<'a> FileJson<'a> {
    /// What happened to a file, without what it held.
    pub fn new(file: &'a FileChange) -> Self {
        Self {
            status: file.status().name(),
            path: PathJson(file.path()),
            old_path: file.old_path().map(PathJson),
            similarity_percent: file.similarity_percent,
            before: file.before.as_ref().map(SideJson::from),
            after: file.after.as_ref().map(SideJson::from),
            content: None,
            lines_added: None,
            lines_removed: None,
            hunks: None,
        }
    }

    /// What it held, too: how many lines differ, and, with `context_lines`, which.
    #[must_use]
    pub fn with_contents(mut self, before: &'a Content, after: &'a Content, context_lines: Option<usize>) -> Self {
        let worst = if before.text().is_some() { after } else { before };
        self.content = Some(worst.kind());
        if let (Some(before), Some(after)) = (before.text(), after.text()) {
            let compared = Comparison::new(before, after);
            self.lines_added = Some(compared.added());
            self.lines_removed = Some(compared.removed());
            self.hunks = context_lines.map(|context| hunks(&compared, context));
        }
        self
    }
}

fn hunks<'a>(compared: &Comparison<'a>, context_lines: usize) -> Vec<HunkJson<'a>> {
    let start = |range: &std::ops::Range<usize>| range.start + usize::from(!range.is_empty());
    let hunks = compared.hunks(context_lines);
    let hunk = |hunk: &super::lines::Hunk| HunkJson {
        old_start: start(&hunk.before),
        old_lines: hunk.before.len(),
        new_start: start(&hunk.after),
        new_lines: hunk.after.len(),
        lines: compared.lines_of(hunk).into_iter().map(line).collect(),
    };
    hunks.iter().map(hunk).collect()
}

fn line(line: Line<'_>) -> LineJson<'_> {
    let (op, text) = match line {
        Line::Same(text) => (" ", text),
        Line::Removed(text) => ("-", text),
        Line::Added(text) => ("+", text),
    };
    let stripped = text.strip_suffix(b"\n");
    LineJson { op, text: PathJson(stripped.unwrap_or(text)), no_newline: stripped.is_none() }
}
