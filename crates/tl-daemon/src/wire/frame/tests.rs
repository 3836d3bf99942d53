use proptest::prelude::*;

use super::*;
use crate::wire::{
    CheckpointId, Direction, Flush, LogQuery, ObjectId, PathBytes, Picked, Progress, Provenance, Restore,
};

fn sample_requests() -> Vec<Request> {
    let provenance = Provenance { session: Some("s".into()), message: Some("é".into()), ..Provenance::default() };
    vec![
        Request::Status,
        Request::Flush(Flush { scan: true, provenance: provenance.clone() }),
        Request::Resolve { name: "@-3".into(), zone: "Europe/Berlin".into() },
        Request::Log(LogQuery {
            paths: vec![PathBytes(b"a/\xff".to_vec())],
            since_us: Some(u64::MAX),
            direction: Direction::OldestFirst,
            limit: 3,
            from: Some(CheckpointId([9; 16])),
            ..LogQuery::default()
        }),
        Request::Objects { ids: vec![ObjectId([1; 32]), ObjectId([2; 32])] },
        Request::Restore(Restore {
            state: CheckpointId([3; 16]),
            paths: Vec::new(),
            picked: vec![Picked { path: PathBytes(b"x".to_vec()), content: ObjectId([4; 32]), len: 7 }],
            to: None,
            exact: true,
            dry_run: false,
            provenance,
        }),
        Request::EndRun { exit_code: Some(-1) },
        Request::Stop,
    ]
}

fn payload(frame: &[u8]) -> (u8, &[u8]) {
    let (header, rest) = frame.split_first_chunk().unwrap();
    let (len, kind) = parse_header(*header).unwrap();
    assert_eq!(len, rest.len());
    (kind, rest)
}

#[test]
fn what_was_encoded_is_decoded() {
    let mut messages: Vec<Message> =
        sample_requests().into_iter().map(|request| Message::Request(request.into())).collect();
    messages.push(Message::Data(vec![0; DATA_LEN_MAX]));
    messages.push(Message::Data(Vec::new()));
    messages.push(Message::Answer(Answer::Done.into()));
    messages.push(Message::Item(Item::Progress(Progress { phase: "x".into(), done: 1, total: None }).into()));
    messages.push(Message::Failure(Failure::new(crate::wire::FailureKind::Busy, "wait").hint("later")));
    for message in messages {
        let frame = message.encode().unwrap();
        let (kind, payload) = payload(&frame);
        assert_eq!(Message::decode(kind, payload).unwrap(), message);
    }
}

/// If it fails, the layout of frames is no longer the documented one.
#[test]
fn the_layout_is_the_documented_one() {
    let frame = Message::Request(Request::Stop.into()).encode().unwrap();
    assert_eq!(frame.len(), HEADER_LEN + 1);
    assert_eq!(frame[..5], [2, 0, 0, 0, 1]);
    assert_eq!(data_frame(b"ab").unwrap(), [3, 0, 0, 0, 3, b'a', b'b']);
}

/// If it fails, programs of one version misunderstand each other: the number of a request moved. Add new requests at the end.
#[test]
fn requests_keep_their_numbers() {
    let number = |request: Request| Message::Request(request.into()).encode().unwrap()[5];
    assert_eq!(number(Request::Status), 0);
    assert_eq!(number(Request::Objects { ids: Vec::new() }), 9);
    assert_eq!(number(Request::Gc { dry_run: true }), 20);
    assert_eq!(number(Request::Stop), 29);
}

#[test]
fn what_is_too_long_is_neither_sent_nor_taken() {
    let over = FRAME_LEN_MAX as u32 + 1;
    let [a, b, c, d] = over.to_le_bytes();
    assert_eq!(parse_header([a, b, c, d, 1]), Err(WireError::FrameLength { len: over.into() }));
    assert_eq!(parse_header([0, 0, 0, 0, 1]), Err(WireError::FrameLength { len: 0 }));
    assert!(parse_header([255, 255, 255, 255, 3]).is_err());
    assert!(data_frame(&vec![0; FRAME_LEN_MAX - 1]).is_ok());
    assert!(matches!(data_frame(&vec![0; FRAME_LEN_MAX]), Err(WireError::FrameLength { .. })));
}

#[test]
fn a_frame_that_goes_on_after_its_message_is_malformed() {
    let frame = Message::Request(Request::Status.into()).encode().unwrap();
    let (kind, payload) = payload(&frame);
    let longer = [payload, &[0]].concat();
    assert_eq!(Message::decode(kind, &longer), Err(WireError::Malformed { what: "request" }));
    assert_eq!(Message::decode(kind, &[]), Err(WireError::Malformed { what: "request" }));
    assert_eq!(Message::decode(77, payload), Err(WireError::UnknownKind { kind: 77 }));
}

/// If it fails, a message has several encodings, and damage can pass for a message that is in order.
#[test]
fn a_number_that_is_longer_than_it_need_be_is_malformed() {
    assert!(Message::decode(1, &[0]).is_ok());
    assert_eq!(Message::decode(1, &[0x80, 0]), Err(WireError::Malformed { what: "request" }));
    assert!(Message::decode(1, &[10, 5]).is_ok());
    assert_eq!(Message::decode(1, &[10, 0x85, 0]), Err(WireError::Malformed { what: "request" }));
}

proptest! {
    /// Whatever a peer sends is refused or understood; it never panics, and what is understood means the same when it is sent back.
    #[test]
    fn any_bytes_are_refused_or_understood(kind in 0..8_u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = Message::decode(kind, &bytes) {
            let frame = message.encode().unwrap();
            let again = Message::decode(frame[4], &frame[5..]).unwrap();
            // Numbers that are no numbers differ from themselves.
            prop_assert_eq!(format!("{message:?}"), format!("{again:?}"));
            if let Message::Request(request) = message {
                // Whether it is allowed or not, it is decided.
                drop(request.check());
            }
        }
    }

    /// Requests that were hit by noise: bytes changed, cut, lengths blown up.
    #[test]
    fn damaged_requests_are_refused_or_understood(
        which in 0..8_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let requests = sample_requests();
        let frame = Message::Request(requests[which % requests.len()].clone().into()).encode().unwrap();
        let mut payload = frame[5..].to_vec();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        payload.truncate(cut.index(payload.len()) + 1);
        if let Ok(Message::Request(request)) = Message::decode(1, &payload) {
            drop(request.check());
        }
    }
}
