//! The protocol between the daemon and the programs that use a store: handshake, frames, requests and answers.
//!
//! The types here are those of the wire. They are separate from those of the store, so that either can change without the other; the service turns one into
//! the other. The project's document on the protocol is normative. Nothing here opens a socket or a store.
//!
//! Whoever reads from a socket reads from a stranger: lengths are checked before memory is taken, texts and lists have limits, and a peer that is slow in the
//! middle of a frame is given up.

mod answer;
mod failure;
mod frame;
mod handshake;
mod request;
mod value;

pub use answer::{
    Answer, Collected, Damage, Event, Evicted, Health, Item, MeasuredMemory, ObjectHead, Page, PlanAction, PlanStep,
    Progress, Purged, Repaired, Restored, SkippedPath, Status, StoreFigures, Verified, WatchFigures,
};
pub use failure::{Failure, FailureKind};
pub use frame::{DATA_LEN_MAX, FRAME_LEN_MAX, FrameKind, Message, WireError};
pub(crate) use frame::{HEADER_LEN, data_frame, parse_header};
pub use handshake::{Greeting, HELLO_LEN, Hello, VERSION, Verdict, WELCOME_LEN, Wish};
pub use request::{
    Direction, Flush, IDS_MAX, LogQuery, PATHS_MAX, PICKED_MAX, Picked, Purge, Repair, Request, Restore, Step,
    Subscribe, TEXT_LEN_MAX, Verify,
};
pub use value::{
    ChangeStats, Checkpoint, CheckpointId, Completeness, Gap, GapCause, InvalidStoreId, ObjectId, PathBytes, Pin,
    Provenance, Reason, Setting, StoreId,
};
