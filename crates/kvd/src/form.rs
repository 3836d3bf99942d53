//! The forms in which keys and values are read and written.

use std::ffi::OsStr;

use anyhow::Result;

use crate::failure::Failure;

/// How bytes look outside of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text; what is no printable text is escaped in lines: `\n`, `\t`, `\r`, `\\`, `\xNN`.
    Text,
    /// Two hexadecimal digits a byte.
    Hex,
    /// The bytes themselves.
    Raw,
}

impl Form {
    /// Reads an argument of the command line: text is taken as the shell passes it, without escapes.
    pub fn argument(self, argument: &OsStr) -> Result<Vec<u8>> {
        match self {
            Self::Hex => decode_hex(argument.as_encoded_bytes()),
            Self::Text | Self::Raw => Ok(argument.as_encoded_bytes().to_vec()),
        }
    }

    /// Reads a field of a line of standard input.
    pub fn field(self, field: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Text => unescape(field),
            Self::Hex => decode_hex(field),
            Self::Raw => Ok(field.to_vec()),
        }
    }

    /// Appends a key as it stands in a line: the first space of the line ends it, unless it is raw.
    pub fn push_key(self, key: &[u8], line: &mut Vec<u8>) {
        self.push(key, line, |letter| letter.is_control() || letter == '\\' || letter == ' ');
    }

    /// Appends a value as it stands at the end of a line.
    pub fn push_value(self, value: &[u8], line: &mut Vec<u8>) {
        self.push(value, line, |letter| letter.is_control() || letter == '\\');
    }

    /// Appends a value that stands alone: line ends, tabs and backslashes stay as they are.
    pub fn push_page(self, value: &[u8], page: &mut Vec<u8>) {
        self.push(value, page, |letter| letter.is_control() && letter != '\n' && letter != '\t');
    }

    fn push(self, bytes: &[u8], line: &mut Vec<u8>, escaped: impl Fn(char) -> bool) {
        match self {
            Self::Raw => line.extend_from_slice(bytes),
            Self::Hex => {
                let start = line.len();
                line.resize(start + bytes.len() * 2, 0);
                hex::encode_to_slice(bytes, &mut line[start..]).expect("there is room for two digits a byte");
            }
            Self::Text => escape(bytes, line, escaped),
        }
    }
}

fn decode_hex(text: &[u8]) -> Result<Vec<u8>> {
    hex::decode(text).map_err(|error| {
        Failure::input(
            format!("{:?} is not hexadecimal: {error}", excerpt(text)),
            "with --hex every byte is two digits",
        )
    })
}

/// The beginning of what the user wrote, short enough for an error message.
pub fn excerpt(text: &[u8]) -> String {
    const LETTERS: usize = 40;
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

fn escape(bytes: &[u8], line: &mut Vec<u8>, escaped: impl Fn(char) -> bool) {
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let encoded = letter.encode_utf8(&mut buffer).as_bytes();
            match letter {
                _ if !escaped(letter) => line.extend_from_slice(encoded),
                '\n' => line.extend_from_slice(b"\\n"),
                '\t' => line.extend_from_slice(b"\\t"),
                '\r' => line.extend_from_slice(b"\\r"),
                '\\' => line.extend_from_slice(b"\\\\"),
                _ => escape_bytes(encoded, line),
            }
        }
        escape_bytes(chunk.invalid(), line);
    }
}

fn escape_bytes(bytes: &[u8], line: &mut Vec<u8>) {
    for byte in bytes {
        line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
    }
}

fn unescape(field: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some(position) = rest.iter().position(|&byte| byte == b'\\') {
        bytes.extend_from_slice(&rest[..position]);
        let escape = &rest[position..];
        let (byte, len) = match escape {
            [_, b'n', ..] => (b'\n', 2),
            [_, b't', ..] => (b'\t', 2),
            [_, b'r', ..] => (b'\r', 2),
            [_, b'\\', ..] => (b'\\', 2),
            [_, b'x', high, low, ..] => match hex::decode([*high, *low]) {
                Ok(byte) => (byte[0], 4),
                Err(_) => return Err(bad_escape(escape)),
            },
            _ => return Err(bad_escape(escape)),
        };
        bytes.push(byte);
        rest = &escape[len..];
    }
    bytes.extend_from_slice(rest);
    Ok(bytes)
}

fn bad_escape(escape: &[u8]) -> anyhow::Error {
    Failure::input(
        format!("unknown escape at {:?}", excerpt(escape)),
        r"lines know \n, \t, \r, \\ and \xNN; use --raw to take backslashes as they are, or --hex",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If it fails, what `scan` prints cannot be fed to `batch`.
    #[test]
    fn every_byte_survives_the_way_out_and_in() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let text = "grün \u{2028} \u{85} \\n".as_bytes().to_vec();
        for bytes in [all, text, Vec::new(), b" ".to_vec()] {
            for form in [Form::Text, Form::Hex] {
                let (mut key, mut value) = (Vec::new(), Vec::new());
                form.push_key(&bytes, &mut key);
                form.push_value(&bytes, &mut value);
                assert_eq!(form.field(&key).unwrap(), bytes, "{form:?}");
                assert_eq!(form.field(&value).unwrap(), bytes, "{form:?}");
                assert!(!key.contains(&b' ') && !key.contains(&b'\n') && !value.contains(&b'\n'), "{form:?}");
            }
        }
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        let mut page = Vec::new();
        Form::Text.push_page(b"a\\n\n\tb\x1b[2J\xff", &mut page);
        assert_eq!(page, b"a\\n\n\tb\\x1b[2J\\xff");
    }

    #[test]
    fn escapes_that_nobody_wrote_on_purpose_are_refused() {
        for bad in [&b"\\"[..], b"a\\q", b"\\x1", b"\\xgg"] {
            assert!(Form::Text.field(bad).is_err(), "{bad:?}");
        }
        assert!(Form::Hex.field(b"abc").is_err());
    }
}
