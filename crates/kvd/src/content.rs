//! What entries of tables and operations of the log say, in words and as JSON.

use granite::inspect::Content;
use serde_json::{Map, Value};

use crate::form::Form;
use crate::output::insert_bytes;

/// Appends `KEY @SEQUENCE put VALUE` and the like, without an end of the line.
pub fn push_words(key: &[u8], seq: granite::Seq, content: &Content, form: Form, line: &mut Vec<u8>) {
    form.push_key(key, line);
    line.extend_from_slice(format!(" @{seq} ").as_bytes());
    match content {
        Content::Delete => line.extend_from_slice(b"del"),
        Content::Inline(value) => {
            line.extend_from_slice(b"put ");
            form.push_value(value, line);
        }
        Content::Separated { segment, offset, len, crc } => line.extend_from_slice(
            format!("put {len} bytes in segment {segment} at byte {offset}, crc {crc:08x}").as_bytes(),
        ),
        Content::DeleteRange { end } => {
            line.extend_from_slice(b"del up to ");
            form.push_key(end, line);
        }
        Content::Malformed(bytes) => {
            line.extend_from_slice(b"malformed ");
            Form::Hex.push_value(bytes, line);
        }
    }
}

/// The same as an object.
pub fn object(key: &[u8], seq: granite::Seq, content: &Content, form: Form) -> Map<String, Value> {
    let mut object = Map::new();
    insert_bytes(&mut object, "key", key, form);
    object.insert("seq".into(), seq.get().into());
    let kind = match content {
        Content::Delete => "delete",
        Content::Inline(value) => {
            insert_bytes(&mut object, "value", value, form);
            "put"
        }
        Content::Separated { segment, offset, len, crc } => {
            object.insert("segment".into(), (*segment).into());
            object.insert("offset".into(), (*offset).into());
            object.insert("len".into(), (*len).into());
            object.insert("crc".into(), (*crc).into());
            "put_separated"
        }
        Content::DeleteRange { end } => {
            insert_bytes(&mut object, "end", end, form);
            "delete_range"
        }
        Content::Malformed(bytes) => {
            object.insert("bytes_hex".into(), hex::encode(bytes).into());
            "malformed"
        }
    };
    object.insert("kind".into(), kind.into());
    object
}
