//! The protocol of version 1, byte for byte: `fixtures/timelapse/v1/ipc.txt` has a line for each message below, its name and its frame.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use tl_daemon::wire::{
    Answer, ChangeStats, Checkpoint, CheckpointId, Collected, Completeness, Damage, Direction, Event, Evicted, Failure,
    FailureKind, Flush, Gap, GapCause, Greeting, Health, Hello, Item, LogQuery, MeasuredMemory, Message, ObjectHead,
    ObjectId, Page, PathBytes, Picked, Pin, PlanAction, PlanStep, Progress, Provenance, Purge, Purged, Reason, Repair,
    Repaired, Request, Restore, Restored, Setting, SkippedPath, Status, Step, StoreFigures, StoreId, Subscribe,
    Verdict, Verified, Verify, WatchFigures, Wish,
};

const A: CheckpointId = CheckpointId(*b"0123456789abcdef");
const B: CheckpointId = CheckpointId([0xb0; 16]);
const TREE: ObjectId = ObjectId([0x17; 32]);
const STORE: StoreId = StoreId([0xab; 16]);

fn fixture() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../fixtures/timelapse/v1/ipc.txt")
}

fn path(bytes: &[u8]) -> PathBytes {
    PathBytes(bytes.to_vec())
}

fn provenance() -> Provenance {
    Provenance {
        session: Some("s-1".into()),
        actor: Some("agent".into()),
        label: Some("green".into()),
        message: Some("übersetzt".into()),
    }
}

fn checkpoint(reason: Reason) -> Box<Checkpoint> {
    Box::new(Checkpoint {
        id: A,
        sequence: 300,
        time_us: 1_763_640_000_123_456,
        reason,
        generation: 12,
        parents: vec![B],
        root: TREE,
        saved: Some(ObjectId([0x5a; 32])),
        stats: ChangeStats {
            files_added: 1,
            files_changed: 2,
            files_removed: 3,
            bytes_added: 400,
            bytes_removed: 70_000,
        },
        touched: vec![path(b"dir/a"), path(b"odd\xff")],
        touched_more: true,
        completeness: Completeness {
            missing: 5,
            skipped: 1,
            listed: [
                GapCause::PermissionDenied,
                GapCause::ReadError,
                GapCause::Changing,
                GapCause::Unrecordable,
                GapCause::Special,
                GapCause::TooLarge,
            ]
            .map(|cause| Gap { path: path(b"gap"), cause })
            .to_vec(),
        },
        provenance: provenance(),
    })
}

const REASONS: [Reason; 8] = [
    Reason::FsBatch,
    Reason::Manual,
    Reason::Restore,
    Reason::BeforeRestore,
    Reason::Startup,
    Reason::Publish,
    Reason::Import,
    Reason::GcCompact,
];

/// One of each kind, in the order of their numbers.
fn requests() -> Vec<Request> {
    let step = || Step { dry_run: true, provenance: Provenance::default() };
    vec![
        Request::Status,
        Request::Metrics,
        Request::Flush(Flush { scan: true, provenance: provenance() }),
        Request::Subscribe(Subscribe { after_sequence: Some(299) }),
        Request::Resolve { name: "@-3".into(), zone: "Europe/Berlin".into() },
        Request::Checkpoint { id: A },
        Request::Log(LogQuery {
            paths: vec![path(b"dir"), path(b"odd\xff")],
            since_us: Some(1),
            until_us: Some(u64::MAX),
            session: Some("s-1".into()),
            actor: None,
            deleted: true,
            direction: Direction::OldestFirst,
            limit: 1000,
            from: Some(B),
        }),
        Request::Parents { id: B },
        Request::CommonAncestor { a: A, b: B },
        Request::Objects { ids: vec![TREE, ObjectId([0; 32])] },
        Request::PutBlob { len: 1 << 40 },
        Request::Lease { checkpoints: vec![A], roots: vec![TREE] },
        Request::Release,
        Request::Pins,
        Request::Pin { name: "release".into(), id: A },
        Request::Unpin { name: "release".into() },
        Request::Label { id: A, label: "green".into() },
        Request::Restore(Restore {
            state: A,
            paths: vec![path(b"dir")],
            picked: vec![Picked { path: path(b"dir/a"), content: TREE, len: 129 }],
            to: Some(path(b"/elsewhere")),
            exact: true,
            dry_run: false,
            provenance: provenance(),
        }),
        Request::Undo(step()),
        Request::Redo(step()),
        Request::Gc { dry_run: true },
        Request::Verify(Verify { sample: Some(0.25) }),
        Request::Repair(Repair { dry_run: true }),
        Request::Purge(Purge { paths: vec![path(b"secret")], dry_run: false }),
        Request::Settings,
        Request::Set { key: "retention.newest".into(), value: Some("9".into()) },
        Request::BeginRun { provenance: provenance() },
        Request::EndRun { exit_code: Some(-1) },
        Request::Fork { to: path(b"/state/stores/.new/db") },
        Request::Stop,
    ]
}

fn status(health: Health) -> Answer {
    Answer::Status(Box::new(Status {
        version: "1.2.3".into(),
        pid: Some(4242),
        started_us: 7,
        store_id: STORE,
        store: path(b"/state/stores/x"),
        root: path(b"/home/me/project"),
        health,
        head: Some(checkpoint(Reason::FsBatch)),
        checkpoints: 300,
        entries: 100_000,
        pending: 0,
        watch: Some(WatchFigures {
            backend: "inotify".into(),
            directories: 12,
            kernel_bytes: 12_960,
            events: 1 << 33,
            overflows: 1,
            scanned: vec![SkippedPath { path: path(b""), why: "a network filesystem".into() }],
            skipped: vec![SkippedPath { path: path(b"fifo"), why: "a FIFO".into() }],
        }),
        figures: StoreFigures { disk_bytes: 1, budget_bytes: Some(2), free_bytes: None },
        memory: Some(MeasuredMemory { anonymous: 3, shared: 4, resident: 5 }),
        session: None,
        notes: vec!["Nothing is wrong.".into()],
    }))
}

/// One of each kind, in the order of their numbers.
fn answers() -> Vec<Answer> {
    vec![
        Answer::Done,
        status(Health::Healthy),
        Answer::Text("timelapse_up 1\n".into()),
        Answer::Flushed { checkpoint: checkpoint(Reason::Manual), changed: true },
        Answer::Checkpoint(checkpoint(Reason::Import)),
        Answer::MaybeCheckpoint(None),
        Answer::Page(Page { next: Some(A) }),
        Answer::Object { id: TREE, len: 6 },
        Answer::Pins(vec![Pin { name: "release".into(), id: A, time_us: 128 }]),
        Answer::Restored(Box::new(Restored {
            state: A,
            safety: Some(B),
            checkpoint: None,
            written: 1,
            modes: 2,
            removed: 3,
            directories_made: 4,
            directories_removed: 5,
            captured_late: 6,
            refused: 7,
            bytes_written: 800,
            verified: Some(true),
            differing: vec![path(b"x")],
            dry_run: false,
            notes: vec!["It is done.".into()],
        })),
        Answer::Collected(Collected {
            checkpoints_removed: 1,
            checkpoints_kept: 2,
            objects_kept: 3,
            objects_removed: 4,
            bytes_freed: 5,
            bytes_left: 6,
            duration_us: 7,
            dry_run: true,
        }),
        Answer::Verified(Verified { objects: 1, bytes: 2, checkpoints: 3, entries: 4, damaged: 5 }),
        Answer::Repaired(Repaired { found: 1, mended: 2, lost: 3, dry_run: true }),
        Answer::Purged(Purged {
            objects: 1,
            bytes: 2,
            checkpoints: 3,
            shared_with: vec![path(b"copy")],
            scanned_files: Some(4),
            still_recorded: vec![path(b"secret")],
            kept_for_readers: true,
            published: 5,
            dry_run: false,
        }),
        Answer::Settings(vec![Setting {
            key: "retention.newest".into(),
            value: "2000".into(),
            is_default: true,
            about: "Checkpoints.".into(),
        }]),
    ]
}

/// One of each kind, in the order of their numbers.
fn items() -> Vec<Item> {
    vec![
        Item::Progress(Progress { phase: "marking".into(), done: 1, total: Some(200) }),
        Item::Event(Event::Checkpoint(checkpoint(Reason::Startup))),
        Item::Checkpoint(checkpoint(Reason::BeforeRestore)),
        Item::Object(ObjectHead::Stored { len: 300 }),
        Item::PlanStep(PlanStep { path: path(b"a"), action: PlanAction::Create, bytes: 1, saves: true, note: None }),
        Item::Evicted(Evicted { id: B, why: "older than a day".into() }),
        Item::Damage(Damage { what: "object".into(), reason: "its hash".into(), mended: false }),
    ]
}

/// The other variants of what stands in messages: each number that is on the wire is in one of them.
fn variants() -> Vec<(String, Message)> {
    let health = [
        Health::Starting,
        Health::Degraded { reasons: vec!["watch limit".into()] },
        Health::RootGone,
        Health::Failed { reason: "disk full".into() },
    ];
    let kinds = [
        FailureKind::NotFound,
        FailureKind::Ambiguous,
        FailureKind::Invalid,
        FailureKind::Busy,
        FailureKind::Retry,
        FailureKind::Full,
        FailureKind::Denied,
        FailureKind::Damaged,
        FailureKind::Purged,
        FailureKind::Newer,
        FailureKind::RootGone,
        FailureKind::Stopping,
        FailureKind::Unsupported,
        FailureKind::Internal,
    ];
    let mut found = vec![
        ("data".to_owned(), Message::Data(b"\0raw\xff".to_vec())),
        ("item-event-missed".to_owned(), Message::Item(Item::Event(Event::Missed { events: 9 }).into())),
        ("item-object-missing".to_owned(), Message::Item(Item::Object(ObjectHead::Missing).into())),
        ("item-object-purged".to_owned(), Message::Item(Item::Object(ObjectHead::Purged { len: 5 }).into())),
        ("request-log-default".to_owned(), Message::Request(Request::Log(LogQuery::default()).into())),
    ];
    for (number, health) in health.into_iter().enumerate() {
        found.push((format!("item-health-{number}"), Message::Item(Item::Event(Event::Health(health)).into())));
    }
    for (number, kind) in kinds.into_iter().enumerate() {
        found.push((format!("failure-{number}"), Message::Failure(Failure::new(kind, "no").hint("later"))));
    }
    for (number, reason) in REASONS.into_iter().enumerate() {
        let answer = Answer::MaybeCheckpoint(Some(checkpoint(reason)));
        found.push((format!("answer-reason-{number}"), Message::Answer(answer.into())));
    }
    let actions =
        [PlanAction::Create, PlanAction::Replace, PlanAction::SetMode, PlanAction::Remove, PlanAction::Refuse];
    for (number, action) in actions.into_iter().enumerate() {
        let step = PlanStep { path: path(b"a"), action, bytes: 0, saves: false, note: Some("why".into()) };
        found.push((format!("item-action-{number}"), Message::Item(Item::PlanStep(step).into())));
    }
    found
}

/// All messages by their names in the fixture.
fn messages() -> BTreeMap<String, Message> {
    let mut messages: BTreeMap<_, _> = variants().into_iter().collect();
    let numbered =
        |(number, message): (usize, Message)| (format!("{}-{number:02}", message.name().replace(' ', "-")), message);
    messages.extend(requests().into_iter().map(|request| Message::Request(request.into())).enumerate().map(numbered));
    messages.extend(answers().into_iter().map(|answer| Message::Answer(answer.into())).enumerate().map(numbered));
    messages.extend(items().into_iter().map(|item| Message::Item(item.into())).enumerate().map(numbered));
    messages
}

/// The first bytes of either side, by their names in the fixture.
fn greetings() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for (number, wish) in [Wish::Talk, Wish::Stop].into_iter().enumerate() {
        found.push((format!("hello-{number}"), Hello { version: 1, wish, store: STORE }.encode().to_vec()));
    }
    let verdicts =
        [Verdict::Welcome, Verdict::OtherVersion, Verdict::OtherStore, Verdict::TooManyPeers, Verdict::Ending];
    for (number, verdict) in verdicts.into_iter().enumerate() {
        let greeting = Greeting { version: 1, verdict, pid: 4242, store: STORE };
        found.push((format!("greeting-{number}"), greeting.encode().to_vec()));
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn lines() -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(fixture()).unwrap();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let line = |line: &str| {
        let (name, hex) = line.split_once(' ').unwrap();
        (name.to_owned(), hex.as_bytes().chunks(2).map(byte).collect())
    };
    text.lines().filter(|text| !text.starts_with('#')).map(line).collect()
}

/// If it fails, programs of version 1 that are out there misunderstand this one: a change on the wire is a new version of the protocol.
#[test]
fn messages_of_version_1_are_understood_and_sent_as_they_were() {
    let (messages, mut lines) = (messages(), lines());
    for (name, message) in &messages {
        let frame = lines.remove(name).unwrap_or_else(|| panic!("the fixture lacks {name}"));
        assert_eq!(hex(&message.encode().unwrap()), hex(&frame), "{name}");
        let len = u32::from_le_bytes(*frame.first_chunk().unwrap());
        assert_eq!(len as usize, frame.len() - 4, "{name}");
        assert_eq!(Message::decode(frame[4], &frame[5..]).unwrap(), *message, "{name}");
    }
    for (name, bytes) in greetings() {
        assert_eq!(lines.remove(&name).map(|line| hex(&line)), Some(hex(&bytes)), "{name}");
    }
    assert!(lines.is_empty(), "nothing is compared with {:?}", lines.keys());
}

/// If it fails, there is a kind of message whose bytes no fixture holds.
#[test]
fn every_number_of_the_protocol_is_in_the_fixture() {
    let lines = lines();
    for (prefix, count) in [("a-request-", 30), ("an-answer-", 15), ("an-item-", 7), ("failure-", 14)] {
        let numbers: Vec<u8> =
            lines.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, frame)| frame[5]).collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..count).collect::<Vec<u8>>(), "{prefix}");
        let frame_kind = lines.iter().find(|(name, _)| name.starts_with(prefix)).unwrap().1[4];
        // The next number is that of nothing: a kind that is added has to be added here too.
        assert!(Message::decode(frame_kind, &[count]).is_err() && Message::decode(frame_kind, &[count, 0]).is_err());
    }
}

/// Writes the fixture of the present version. That of a released version is never written anew.
#[test]
#[ignore = "it makes the fixture that the other tests read"]
fn write_the_fixture() {
    let mut text = "# Messages of the protocol's version 1, each with its frame. Made by `write_the_fixture` in crates/tl-daemon/tests/it/golden.rs.\n".to_owned();
    let frames = messages().into_iter().map(|(name, message)| (name, message.encode().unwrap()));
    for (name, bytes) in frames.chain(greetings()) {
        writeln!(text, "{name} {}", hex(&bytes)).unwrap();
    }
    std::fs::write(fixture(), text).unwrap();
}
