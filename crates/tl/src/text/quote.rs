//! Paths in patches, quoted as Git and GNU patch read them.

use std::fmt;

use super::escape::is_harmful;

/// A path with an optional prefix, as it stands in a patch: as it is, or, where it has bytes that a patch or a terminal would mistake, in double quotes with
/// the escapes of C.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a> {
    /// Such as `a/`.
    pub prefix: &'a str,
    /// The path.
    pub path: &'a [u8],
}

impl<'a> Quoted<'a> {
    /// A path without a prefix.
    pub const fn plain(path: &'a [u8]) -> Self {
        Self { prefix: "", path }
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = std::str::from_utf8(self.path).ok();
        if let Some(text) = text.filter(|text| !text.chars().any(|c| is_harmful(c) || matches!(c, '"' | '\\'))) {
            return write!(f, "{}{text}", self.prefix);
        }
        write!(f, "\"{}", self.prefix)?;
        for chunk in self.path.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if is_harmful(c) => octal(f, c.encode_utf8(&mut [0; 4]).as_bytes())?,
                    c => write!(f, "{c}")?,
                }
            }
            octal(f, chunk.invalid())?;
        }
        f.write_str("\"")
    }
}

fn octal(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\{byte:03o}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If it fails, `git apply` patches another file than the one that changed, or the terminal obeys a name.
    #[test]
    fn odd_names_are_quoted_as_in_c() {
        for (path, expected) in [
            (&b"src/main.rs"[..], "a/src/main.rs"),
            ("Stra\u{df}e b".as_bytes(), "a/Stra\u{df}e b"),
            (b"tab\there", "\"a/tab\\there\""),
            (b"quote\"back\\slash\n", "\"a/quote\\\"back\\\\slash\\n\""),
            (b"esc\x1b[2J", "\"a/esc\\033[2J\""),
            (b"latin-\xe9", "\"a/latin-\\351\""),
            ("\u{202e}".as_bytes(), "\"a/\\342\\200\\256\""),
        ] {
            assert_eq!(Quoted { prefix: "a/", path }.to_string(), expected);
        }
    }
}
