//! Frames: a length, a kind, a payload. What stands in messages is encoded with postcard; data is raw.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{Answer, Item};
use super::failure::Failure;
use super::request::Request;

/// Most bytes that follow a frame's length field.
pub const FRAME_LEN_MAX: usize = 1 << 20;
/// Most bytes of data that a sender puts into one frame.
pub const DATA_LEN_MAX: usize = 256 << 10;
/// Bytes of the length field and the kind.
pub(crate) const HEADER_LEN: usize = 5;

/// Everything that can go wrong with frames. The connection is of no further use then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A frame is longer than [`FRAME_LEN_MAX`], or empty.
    #[error("a frame of {len} bytes: 1 to {FRAME_LEN_MAX} are possible")]
    FrameLength {
        /// Its length field.
        len: u64,
    },
    /// A frame of an unknown kind.
    #[error("a frame of the unknown kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
    /// A payload that is not what its kind says.
    #[error("a malformed {what}")]
    Malformed {
        /// What it should have been.
        what: &'static str,
    },
    /// A frame that may not stand where it stands.
    #[error("{found} where {expected} was expected")]
    Unexpected {
        /// What came.
        found: &'static str,
        /// What should have come.
        expected: &'static str,
    },
}

/// What a frame holds. The numbers are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A [`Request`].
    Request = 1,
    /// An [`Item`]: more follows.
    Item = 2,
    /// Raw bytes: more follows.
    Data = 3,
    /// An [`Answer`]: the request is over.
    Answer = 4,
    /// A [`Failure`]: the request is over.
    Failure = 5,
}

impl FrameKind {
    fn of(code: u8) -> Result<Self, WireError> {
        [Self::Request, Self::Item, Self::Data, Self::Answer, Self::Failure]
            .into_iter()
            .find(|kind| *kind as u8 == code)
            .ok_or(WireError::UnknownKind { kind: code })
    }
}

/// The content of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// From a program.
    Request(Box<Request>),
    /// From the daemon.
    Item(Box<Item>),
    /// From either.
    Data(Vec<u8>),
    /// From the daemon.
    Answer(Box<Answer>),
    /// From the daemon.
    Failure(Failure),
}

impl Message {
    /// What it is, for errors.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "a request",
            Self::Item(_) => "an item",
            Self::Data(_) => "data",
            Self::Answer(_) => "an answer",
            Self::Failure(_) => "a failure",
        }
    }

    /// Takes the payload of a frame apart.
    ///
    /// # Errors
    /// [`WireError::UnknownKind`], [`WireError::Malformed`].
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Self, WireError> {
        Ok(match FrameKind::of(kind)? {
            FrameKind::Request => Self::Request(Box::new(parse(payload, "request")?)),
            FrameKind::Item => Self::Item(Box::new(parse(payload, "item")?)),
            FrameKind::Data => Self::Data(payload.to_vec()),
            FrameKind::Answer => Self::Answer(Box::new(parse(payload, "answer")?)),
            FrameKind::Failure => Self::Failure(parse(payload, "failure")?),
        })
    }

    /// The whole frame.
    ///
    /// # Errors
    /// [`WireError::FrameLength`] if it is over the limit: nothing of it may be sent.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        match self {
            Self::Request(request) => encode(FrameKind::Request, request),
            Self::Item(item) => encode(FrameKind::Item, item),
            Self::Data(bytes) => data_frame(bytes),
            Self::Answer(answer) => encode(FrameKind::Answer, answer),
            Self::Failure(failure) => encode(FrameKind::Failure, failure),
        }
    }
}

/// The length of the payload that follows a header, and its kind.
///
/// # Errors
/// [`WireError::FrameLength`].
pub(crate) fn parse_header(header: [u8; HEADER_LEN]) -> Result<(usize, u8), WireError> {
    let [b0, b1, b2, b3, kind] = header;
    let len = u32::from_le_bytes([b0, b1, b2, b3]);
    let wrong = WireError::FrameLength { len: len.into() };
    match usize::try_from(len) {
        Ok(len) if (1..=FRAME_LEN_MAX).contains(&len) => Ok((len - 1, kind)),
        _ => Err(wrong),
    }
}

/// A frame of raw bytes.
///
/// # Errors
/// [`WireError::FrameLength`].
pub(crate) fn data_frame(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut frame = Vec::with_capacity(HEADER_LEN + bytes.len());
    frame.extend_from_slice(&[0, 0, 0, 0, FrameKind::Data as u8]);
    frame.extend_from_slice(bytes);
    close(frame)
}

fn encode<T: Serialize>(kind: FrameKind, value: &T) -> Result<Vec<u8>, WireError> {
    let frame = postcard::to_extend(value, vec![0, 0, 0, 0, kind as u8]);
    // What is written to memory fails only for types that have no encoding, and those of the wire have one.
    close(frame.map_err(|_| WireError::Malformed { what: "value" })?)
}

/// Fills in the length.
fn close(mut frame: Vec<u8>) -> Result<Vec<u8>, WireError> {
    let len = frame.len() - (HEADER_LEN - 1);
    let wrong = WireError::FrameLength { len: len as u64 };
    let field = u32::try_from(len).ok().filter(|_| len <= FRAME_LEN_MAX).ok_or(wrong)?;
    frame.iter_mut().zip(field.to_le_bytes()).for_each(|(to, from)| *to = from);
    Ok(frame)
}

fn parse<T: DeserializeOwned + Serialize>(payload: &[u8], what: &'static str) -> Result<T, WireError> {
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) if is_encoding(&value, payload) => Ok(value),
        _ => Err(WireError::Malformed { what }),
    }
}

/// True if `value` is encoded as exactly `payload`. The decoder also takes numbers that are longer than they need be; here each message has one encoding.
fn is_encoding<T: Serialize>(value: &T, payload: &[u8]) -> bool {
    matches!(postcard::serialize_with_flavor(value, Expected(payload)), Ok([]))
}

/// Takes an encoding as long as it is what was expected. What is left of that is the output.
struct Expected<'a>(&'a [u8]);

impl<'a> Flavor for Expected<'a> {
    type Output = &'a [u8];

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(data).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.try_extend(&[data])
    }

    fn finalize(self) -> postcard::Result<&'a [u8]> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests;
