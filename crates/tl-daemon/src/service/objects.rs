//! Objects as they are stored, and contents that a peer puts.

use super::convert::{object_of, to_object};
use super::{Answered, Peer, Replies, Service, gone};
use crate::wire::{Answer, Failure, FailureKind, Item, ObjectHead, ObjectId};

/// Bytes of contents that one peer may put.
const CONTENTS_LEN_MAX: u64 = 64 << 20;

impl Service {
    pub(super) fn objects(&self, ids: &[ObjectId], replies: &mut dyn Replies) -> Answered {
        for id in ids {
            match self.repository.store().stored_bytes(&object_of(*id)) {
                Ok(bytes) => {
                    replies.item(Item::Object(ObjectHead::Stored { len: bytes.len() as u64 })).map_err(gone)?;
                    replies.data(&bytes).map_err(gone)?;
                }
                Err(tl_core::Error::Missing { .. }) => replies.item(Item::Object(ObjectHead::Missing)).map_err(gone)?,
                Err(tl_core::Error::Purged { len, .. }) => {
                    replies.item(Item::Object(ObjectHead::Purged { len })).map_err(gone)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Answer::Done)
    }
}

/// Takes a content in and keeps it for the peer.
pub(super) fn put_blob(peer: &mut Peer, len: u64, replies: &mut dyn Replies) -> Answered {
    let present: u64 = peer.contents.values().map(|content| content.len() as u64).sum();
    let is_too_much = present.saturating_add(len) > CONTENTS_LEN_MAX;
    let mut content = Vec::new();
    let mut received = 0;
    while received < len {
        let bytes = replies.receive().map_err(gone)?;
        received += bytes.len() as u64;
        if bytes.is_empty() || received > len {
            return Err(
                Failure::new(FailureKind::Invalid, format!("{len} bytes were announced, {received} came")).into()
            );
        }
        // What does not fit is read nevertheless: the peer learns of it when it listens again.
        if !is_too_much {
            content.extend_from_slice(&bytes);
        }
    }
    if is_too_much {
        let message = format!("contents of more than {CONTENTS_LEN_MAX} bytes for one restore");
        return Err(Failure::new(FailureKind::Invalid, message).into());
    }
    let id = to_object(tl_core::ObjectId::of(tl_core::ObjectKind::Blob, &content));
    peer.contents.insert(id, content);
    Ok(Answer::Object { id, len })
}
