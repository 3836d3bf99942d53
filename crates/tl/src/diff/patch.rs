//! A change as a patch: the unified form with the extended headers of Git, which `git apply` and `patch` read.

use anstyle::{AnsiColor, Style};
use tl_core::{Entry, EntryKind};

use super::content::Content;
use super::lines::{Comparison, Hunk, Line};
use super::renames::{FileChange, Side, Status};
use super::words;
use crate::text::{Canvas, Escaped, Quoted};

/// Longest part of the line that names a hunk, in bytes.
const HEADING_LEN_MAX: usize = 80;

const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const SAME: Style = Style::new();

/// How a patch is written.
#[derive(Debug, Clone, Copy)]
pub struct PatchOptions {
    /// Unchanged lines around each change.
    pub context_lines: usize,
    /// Mark words instead of lines. That is for people: no program applies it.
    pub words: bool,
}

impl Default for PatchOptions {
    fn default() -> Self {
        Self { context_lines: 3, words: false }
    }
}

/// Writes the change of one file.
pub fn write(canvas: &mut Canvas, file: &FileChange, before: &Content, after: &Content, options: PatchOptions) {
    if file.status() == Status::KindChanged {
        // A patch has no other way to say that a file became a link.
        let nothing = Content::Text(Vec::new());
        let gone = FileChange { after: None, ..file.clone() };
        let new = FileChange { before: None, ..file.clone() };
        write(canvas, &gone, before, &nothing, options);
        write(canvas, &new, &nothing, after, options);
        return;
    }
    if file.before.iter().chain(&file.after).any(|side| side.entry.is_directory()) {
        return directory(canvas, file);
    }
    header(canvas, file);
    match (before.text(), after.text()) {
        (Some(before), Some(after)) => text(canvas, file, before, after, options),
        _ if before == after => {}
        _ => obstacle(canvas, file, before, after),
    }
}

/// Writes what happened to a directory in words, which programs that read patches skip: a patch knows files alone.
fn directory(canvas: &mut Canvas, file: &FileChange) {
    let paint = canvas.paint();
    let path = Quoted::plain(file.path());
    let line = match (&file.before, &file.after) {
        (Some(before), Some(after)) => {
            format!("Directory {path}: mode {} instead of {}", after.entry.mode, before.entry.mode)
        }
        (None, Some(after)) => format!("Directory {path}: new, mode {}", after.entry.mode),
        _ => format!("Directory {path}: gone"),
    };
    canvas.line(paint.strong(line));
}

/// Mode with the bits that say what kind of file it is.
fn full_mode(entry: &Entry) -> u32 {
    let kind = match entry.kind {
        EntryKind::File => 0o100_000,
        EntryKind::Symlink => 0o120_000,
        EntryKind::Directory => 0o040_000,
    };
    match entry.kind {
        // Links have no permissions of their own.
        EntryKind::Symlink => kind,
        _ => kind | entry.mode.bits(),
    }
}

fn header(canvas: &mut Canvas, file: &FileChange) {
    let paint = canvas.paint();
    let (before, after) = (file.before.as_ref(), file.after.as_ref());
    let Some((old, new)) = before.or(after).zip(after.or(before)) else { return };
    let (old, new) = (old.path.as_bytes(), new.path.as_bytes());
    let names = format!("{} {}", Quoted { prefix: "a/", path: old }, Quoted { prefix: "b/", path: new });
    canvas.line(paint.strong(format_args!("diff --git {names}")));
    match (before, after) {
        (None, Some(side)) => canvas.line(paint.strong(format_args!("new file mode {:06o}", full_mode(&side.entry)))),
        (Some(side), None) => {
            canvas.line(paint.strong(format_args!("deleted file mode {:06o}", full_mode(&side.entry))));
        }
        (Some(before), Some(after)) if full_mode(&before.entry) != full_mode(&after.entry) => {
            canvas.line(paint.strong(format_args!("old mode {:06o}", full_mode(&before.entry))));
            canvas.line(paint.strong(format_args!("new mode {:06o}", full_mode(&after.entry))));
        }
        _ => {}
    }
    if let Some(percent) = file.similarity_percent {
        canvas.line(paint.strong(format_args!("similarity index {percent}%")));
        canvas.line(paint.strong(format_args!("rename from {}", Quoted::plain(old))));
        canvas.line(paint.strong(format_args!("rename to {}", Quoted::plain(new))));
    }
}

/// Writes the two lines that name the sides of a text, or `/dev/null`.
pub fn write_names(canvas: &mut Canvas, file: &FileChange) {
    let paint = canvas.paint();
    let name = |side: Option<&Side>, prefix| {
        let Some(side) = side else { return "/dev/null".to_owned() };
        let name = Quoted { prefix, path: side.path.as_bytes() }.to_string();
        // Programs take what follows a space for a time unless a tab ends the name.
        if name.contains(' ') && !name.starts_with('"') { name + "\t" } else { name }
    };
    canvas.line(paint.strong(format_args!("--- {}", name(file.before.as_ref(), "a/"))));
    canvas.line(paint.strong(format_args!("+++ {}", name(file.after.as_ref(), "b/"))));
}

fn text(canvas: &mut Canvas, file: &FileChange, before: &[u8], after: &[u8], options: PatchOptions) {
    let compared = Comparison::new(before, after);
    let hunks = compared.hunks(options.context_lines);
    if !hunks.is_empty() {
        write_names(canvas, file);
    }
    for hunk in &hunks {
        hunk_header(canvas, &compared, hunk);
        if options.words {
            words::write_hunk(canvas, &compared, hunk);
        } else {
            write_lines(canvas, &compared, hunk);
        }
    }
}

/// Writes the line that says where a hunk is.
pub fn hunk_header(canvas: &mut Canvas, compared: &Comparison<'_>, hunk: &Hunk) {
    let paint = canvas.paint();
    let place = format!("@@ -{} +{} @@", range(&hunk.before), range(&hunk.after));
    canvas.text(paint.name(place));
    if let Some(heading) = compared.heading(hunk) {
        canvas.text(' ');
        canvas.content(heading.get(..HEADING_LEN_MAX).unwrap_or(heading));
    }
    canvas.line("");
}

/// Lines of a side as a patch counts them: from 1, and with no lines the line before.
fn range(lines: &std::ops::Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => (lines.start + 1).to_string(),
        count => format!("{},{count}", lines.start + 1),
    }
}

/// Writes the lines of a hunk.
pub fn write_lines(canvas: &mut Canvas, compared: &Comparison<'_>, hunk: &Hunk) {
    for line in compared.lines_of(hunk) {
        let (style, prefix, line) = match line {
            Line::Same(line) => (SAME, ' ', line),
            Line::Removed(line) => (REMOVED, '-', line),
            Line::Added(line) => (ADDED, '+', line),
        };
        canvas.content_line(style, prefix, line);
        if !line.ends_with(b"\n") {
            canvas.line("\\ No newline at end of file");
        }
    }
}

fn obstacle(canvas: &mut Canvas, file: &FileChange, before: &Content, after: &Content) {
    let name = |side: Option<&Side>, prefix| {
        side.map_or_else(|| "/dev/null".to_owned(), |side| Quoted { prefix, path: side.path.as_bytes() }.to_string())
    };
    let (old, new) = (name(file.before.as_ref(), "a/"), name(file.after.as_ref(), "b/"));
    if matches!((before, after), (Content::Binary { .. } | Content::Text(_), Content::Binary { .. } | Content::Text(_)))
    {
        // These words are Git's, for the programs that know them.
        canvas.line(format_args!("Binary files {old} and {new} differ"));
        return;
    }
    let why: Vec<String> = [(old, before), (new, after)]
        .into_iter()
        .filter_map(|(name, side)| side.obstacle().map(|why| format!("{name}: {}", Escaped(why.as_bytes()))))
        .collect();
    canvas.line(format_args!("Not compared: {}", why.join("; ")));
}

#[cfg(test)]
mod tests;
