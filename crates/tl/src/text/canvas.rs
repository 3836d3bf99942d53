//! Text in the making, in memory: a store is given up before its reader begins to read.

use std::fmt::{self, Write as _};

use anstyle::Style;

use super::escape::Escaped;
use crate::output::Paint;

/// Text for people. Lines of files go in as bytes, and come out escaped if a terminal reads them.
#[derive(Debug)]
pub struct Canvas {
    out: Vec<u8>,
    paint: Paint,
    escapes: bool,
}

impl Canvas {
    /// Nothing yet. With `escapes`, contents of files are escaped; without, they keep every byte, as a patch needs it.
    pub const fn new(paint: Paint, escapes: bool) -> Self {
        Self { out: Vec::new(), paint, escapes }
    }

    /// How text is coloured.
    pub const fn paint(&self) -> Paint {
        self.paint
    }

    /// A line of text that holds nothing unescaped.
    pub fn line(&mut self, line: impl fmt::Display) {
        self.text(line);
        self.out.push(b'\n');
    }

    /// Text that holds nothing unescaped.
    pub fn text(&mut self, text: impl fmt::Display) {
        // Memory takes everything; only a `Display` that fails by itself could end this early, and what is shown here has none.
        let written = write!(Appender(&mut self.out), "{text}");
        debug_assert!(written.is_ok(), "a Display failed");
    }

    /// A line of a file behind a prefix, in a style.
    pub fn content_line(&mut self, style: Style, prefix: impl fmt::Display, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.begin(style);
        self.text(prefix);
        self.content(line);
        self.end(style);
        self.out.push(b'\n');
    }

    /// Bytes of a file in a style. A line feed among them would be styled over the end of the line.
    pub fn content_in(&mut self, style: Style, content: &[u8]) {
        self.begin(style);
        self.content(content);
        self.end(style);
    }

    /// Bytes of a file.
    pub fn content(&mut self, content: &[u8]) {
        if self.escapes {
            self.text(Escaped(content));
        } else {
            self.out.extend_from_slice(content);
        }
    }

    /// Everything.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn begin(&mut self, style: Style) {
        if self.paint.is_enabled() {
            self.text(style.render());
        }
    }

    fn end(&mut self, style: Style) {
        if self.paint.is_enabled() {
            self.text(style.render_reset());
        }
    }
}

/// Formatted text goes into memory, which does not fail.
struct Appender<'a>(&'a mut Vec<u8>);

impl fmt::Write for Appender<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
