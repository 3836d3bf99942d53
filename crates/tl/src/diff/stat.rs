//! How much changed in each file, as a table.

use unicode_width::UnicodeWidthStr;

use super::content::Content;
use super::lines::Comparison;
use super::renames::FileChange;
use crate::text::{Canvas, Quoted};

/// Columns of a name above which its beginning is left out, if the table would be too wide.
const NAME_COLUMNS_MIN: usize = 20;
/// Columns for bars that a table always has.
const BAR_COLUMNS_MIN: usize = 10;

/// How much of a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// In lines.
    Lines {
        /// Those that come.
        added: usize,
        /// Those that go.
        removed: usize,
    },
    /// In bytes, where there are no lines to compare.
    Bytes {
        /// Before.
        before: u64,
        /// After.
        after: u64,
    },
}

impl Amount {
    /// Compares two contents.
    pub fn of(before: &Content, after: &Content) -> Self {
        match (before.text(), after.text()) {
            (Some(before), Some(after)) => {
                let compared = Comparison::new(before, after);
                Self::Lines { added: compared.added(), removed: compared.removed() }
            }
            _ => Self::Bytes { before: before.len(), after: after.len() },
        }
    }
}

/// The name of a file for a table; both names, with what they share once, if it was renamed.
fn name(file: &FileChange) -> String {
    let Some(old) = file.old_path() else { return Quoted::plain(file.path()).to_string() };
    let (old, new) = (Quoted::plain(old).to_string(), Quoted::plain(file.path()).to_string());
    if old.starts_with('"') || new.starts_with('"') {
        return format!("{old} => {new}");
    }
    let (old, new): (Vec<_>, Vec<_>) = (old.split('/').collect(), new.split('/').collect());
    let shortest = old.len().min(new.len());
    let front = old.iter().zip(&new).take(shortest.saturating_sub(1)).take_while(|(a, b)| a == b).count();
    let back_max = shortest - front;
    let mut back = old.iter().rev().zip(new.iter().rev()).take(back_max).take_while(|(a, b)| a == b).count();
    // What is left between the braces must not be nothing on both sides.
    if front + back == old.len() && front + back == new.len() {
        back = back.saturating_sub(1);
    }
    let join = |parts: &[&str]| parts.join("/");
    let middle = |parts: &[&str]| join(parts.get(front..parts.len() - back).unwrap_or_default());
    let inner = format!("{} => {}", middle(&old), middle(&new));
    if front + back == 0 {
        return inner;
    }
    let head = join(old.get(..front).unwrap_or_default());
    let tail = join(old.get(old.len() - back..).unwrap_or_default());
    let slash = |text: &str, at_end: bool| match (text.is_empty(), at_end) {
        (true, _) => String::new(),
        (false, true) => format!("{text}/"),
        (false, false) => format!("/{text}"),
    };
    format!("{}{{{inner}}}{}", slash(&head, true), slash(&tail, false))
}

/// The last columns of a text that is too wide.
fn shorten(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut start = 0;
    while text.get(start..).is_some_and(|rest| rest.width() + 3 > columns) {
        start += text.get(start..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
    }
    format!("...{}", text.get(start..).unwrap_or_default())
}

/// Writes the table, within about so many columns.
pub fn write(canvas: &mut Canvas, files: &[(FileChange, Amount)], columns: usize) {
    let paint = canvas.paint();
    let counts: Vec<String> = files.iter().map(|(_, amount)| count(amount)).collect();
    let count_columns = counts.iter().filter(|count| !count.contains(' ')).map(String::len).max().unwrap_or(1);
    let names: Vec<String> = files.iter().map(|(file, _)| name(file)).collect();
    let widest = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let room = columns.saturating_sub(count_columns + 4 + BAR_COLUMNS_MIN).max(NAME_COLUMNS_MIN);
    let name_columns = widest.min(room);
    let bar_columns = columns.saturating_sub(name_columns + count_columns + 4).max(BAR_COLUMNS_MIN);
    let most = files.iter().map(|(_, amount)| lines(amount).0 + lines(amount).1).max().unwrap_or(0);
    for (((_, amount), name), count) in files.iter().zip(&names).zip(&counts) {
        let name = shorten(name, name_columns);
        let padding = " ".repeat(name_columns.saturating_sub(name.width()));
        let (added, removed) = lines(amount);
        let (plus, minus) = bar(added, removed, most, bar_columns);
        let bars = format!("{}{}", paint.good("+".repeat(plus)), paint.bad("-".repeat(minus)));
        let line = format!(" {name}{padding} | {count:>count_columns$} {bars}");
        canvas.line(if plus + minus == 0 { line.trim_end() } else { &line });
    }
    canvas.line(summary(files));
}

fn lines(amount: &Amount) -> (usize, usize) {
    match amount {
        Amount::Lines { added, removed } => (*added, *removed),
        Amount::Bytes { .. } => (0, 0),
    }
}

fn count(amount: &Amount) -> String {
    match amount {
        Amount::Lines { added, removed } => (added + removed).to_string(),
        Amount::Bytes { before, after } => format!("Bin {before} -> {after} bytes"),
    }
}

/// Lengths of the two parts of a bar. What changed at all has at least one character.
fn bar(added: usize, removed: usize, most: usize, columns: usize) -> (usize, usize) {
    if most <= columns {
        return (added, removed);
    }
    let scale = |count: usize| if count == 0 { 0 } else { (count * columns / most).max(1) };
    (scale(added), scale(removed))
}

/// The last line: how much changed altogether.
pub fn summary(files: &[(FileChange, Amount)]) -> String {
    let (added, removed) = files.iter().fold((0, 0), |(added, removed), (_, amount)| {
        let (a, r) = lines(amount);
        (added + a, removed + r)
    });
    let plural = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let mut text = format!(" {}", plural(files.len(), "file changed", "files changed"));
    if added > 0 || removed == 0 {
        text += &format!(", {}", plural(added, "insertion(+)", "insertions(+)"));
    }
    if removed > 0 || added == 0 {
        text += &format!(", {}", plural(removed, "deletion(-)", "deletions(-)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use tl_core::{Blob, Entry, Mode, ObjectId, RepoPath};

    use super::*;
    use crate::diff::renames::Side;
    use crate::output::Paint;

    fn side(path: &str) -> Side {
        let entry = Entry::file(Blob { id: ObjectId::EMPTY_TREE, len: 1 }, Mode::new(0o644));
        Side { path: RepoPath::new(path.as_bytes()).unwrap().to_owned(), entry }
    }

    fn file(old: &str, new: &str) -> FileChange {
        FileChange { before: Some(side(old)), after: Some(side(new)), similarity_percent: None }
    }

    #[test]
    fn renamed_files_share_what_their_names_share() {
        for (old, new, expected) in [
            ("a", "b", "a => b"),
            ("src/a.rs", "src/b.rs", "src/{a.rs => b.rs}"),
            ("src/x/mod.rs", "src/y/mod.rs", "src/{x => y}/mod.rs"),
            ("x/mod.rs", "y/mod.rs", "{x => y}/mod.rs"),
            ("a/b", "a/c/b", "a/{ => c}/b"),
            ("a/b/b", "a/b", "a/{b => }/b"),
            ("a.rs", "d/a.rs", "{ => d}/a.rs"),
        ] {
            assert_eq!(name(&file(old, new)), expected);
        }
    }

    #[test]
    fn the_table_fits_and_adds_up() {
        let files = [
            (file("src/lib.rs", "src/lib.rs"), Amount::Lines { added: 300, removed: 100 }),
            (file("one", "one"), Amount::Lines { added: 0, removed: 1 }),
            (file("logo.png", "logo.png"), Amount::Bytes { before: 10, after: 2000 }),
        ];
        let mut canvas = Canvas::new(Paint::plain(), true);
        write(&mut canvas, &files, 40);
        let shown = String::from_utf8(canvas.into_bytes()).unwrap();
        let expected = [
            format!(" src/lib.rs | 400 {}{}", "+".repeat(17), "-".repeat(5)),
            " one        |   1 -".to_owned(),
            " logo.png   | Bin 10 -> 2000 bytes".to_owned(),
            " 3 files changed, 300 insertions(+), 101 deletions(-)".to_owned(),
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
        assert!(shown.lines().all(|line| line.len() <= 54));
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(shorten("a/very/long/path/to/file.rs", 14), ".../to/file.rs");
        assert_eq!(shorten("\u{65e5}\u{672c}\u{8a9e}.txt", 8), "....txt");
    }
}
