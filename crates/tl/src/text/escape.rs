//! Escapes for what a terminal would obey instead of show.

use std::fmt;

/// Bytes for a terminal: what is not UTF-8, and what is [harmful](is_harmful), is shown as an escape such as `\x1b` or `\u{202e}`. Tabs stay.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

/// True for characters that control a terminal, or make text look like other text: control characters, and those that change the direction of writing.
pub fn is_harmful(character: char) -> bool {
    let changes_direction = matches!(
        character,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    // The separators end a line for some programs and not for others.
    character.is_control() || changes_direction || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let mut plain = chunk.valid();
            while let Some((at, harmful)) = plain.char_indices().find(|(_, c)| is_harmful(*c) && *c != '\t') {
                let (before, rest) = plain.split_at(at);
                f.write_str(before)?;
                match harmful {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    c if c.is_ascii() => write!(f, "\\x{:02x}", c as u32)?,
                    c => write!(f, "\\u{{{:x}}}", c as u32)?,
                }
                plain = rest.get(harmful.len_utf8()..).unwrap_or_default();
            }
            f.write_str(plain)?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (bytes, expected) in [
            (&b"plain \xc3\xbc\ttext"[..], "plain \u{fc}\ttext"),
            (b"\x1b[2Jgone", "\\x1b[2Jgone"),
            (b"title\x07\x9b31m", "title\\x07\\x9b31m"),
            (b"c1 \xc2\x9b31m", "c1 \\u{9b}31m"),
            (b"a\r\n", "a\\r\\n"),
            ("evil\u{202e}txt.exe".as_bytes(), "evil\\u{202e}txt.exe"),
        ] {
            assert_eq!(Escaped(bytes).to_string(), expected);
        }
    }

    proptest! {
        /// If it fails, some bytes reach the terminal as a command.
        #[test]
        fn nothing_harmful_is_left(bytes: Vec<u8>) {
            let shown = Escaped(&bytes).to_string();
            prop_assert!(!shown.chars().any(|c| is_harmful(c) && c != '\t'));
        }
    }
}
