use super::*;
use proptest::prelude::*;

fn path() -> impl Strategy<Value = RepoPathBuf> {
    prop::collection::vec(prop::collection::vec((1u8..=255).prop_filter("no slash", |byte| *byte != b'/'), 1..12), 1..4)
        .prop_filter_map("no path", |names| RepoPath::new(&names.join(&b'/')).ok().map(ToOwned::to_owned))
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of("\\PC{0,40}")
}

prop_compose! {
    fn checkpoint()(
        random in 1u128..,
        numbers: (u64, u64, u64),
        reason in 0usize..Reason::ALL.len(),
        parent_distances in prop::collection::vec(any::<u128>(), 0..4),
        root: [u8; 32],
        saved: Option<[u8; 32]>,
        stats: (u64, u64, u64, u64, u64),
        mut paths in prop::collection::vec(path(), 0..LISTED_MAX),
        more: bool,
        counts: (u64, u64),
        mut gaps in prop::collection::vec((path(), 0usize..GapCause::ALL.len()), 0..LISTED_MAX),
        texts in (text(), text(), text(), text()),
    ) -> Checkpoint {
        paths.sort();
        gaps.sort();
        Checkpoint {
            id: CheckpointId::from_bytes(random.to_be_bytes()),
            sequence: numbers.0,
            time: Duration::from_micros(numbers.1),
            reason: Reason::ALL[reason],
            generation: numbers.2,
            parents: parent_distances.iter().map(|distance| CheckpointId::from_bytes((distance % random).to_be_bytes())).collect(),
            root: ObjectId::from_bytes(root),
            saved: saved.map(ObjectId::from_bytes),
            stats: ChangeStats {
                files_added: stats.0, files_changed: stats.1, files_removed: stats.2, bytes_added: stats.3, bytes_removed: stats.4,
            },
            touched: Touched { listed: paths, more },
            completeness: Completeness {
                missing: counts.0,
                skipped: counts.1,
                listed: gaps.into_iter().map(|(path, cause)| Gap { path, cause: GapCause::ALL[cause] }).collect(),
            },
            provenance: Provenance { session: texts.0, actor: texts.1, label: texts.2, message: texts.3 },
        }
    }
}

proptest! {
    #[test]
    fn a_checkpoint_survives_its_record(checkpoint in checkpoint()) {
        prop_assert_eq!(Checkpoint::decode(checkpoint.id, &checkpoint.encode()), Ok(checkpoint));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(mut bytes: Vec<u8>, first in 0u8..3) {
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        if let Ok(found) = Checkpoint::decode(CheckpointId::MAX, &bytes) {
            prop_assert!(found.touched.listed.len() <= LISTED_MAX);
        }
    }

    #[test]
    fn a_record_that_is_cut_or_goes_on_is_refused(checkpoint in checkpoint(), cut_at: prop::sample::Index) {
        let mut record = checkpoint.encode();
        let len = cut_at.index(record.len());
        prop_assert!(Checkpoint::decode(checkpoint.id, &record[..len]).is_err());
        record.push(0);
        prop_assert_eq!(Checkpoint::decode(checkpoint.id, &record), Err(InvalidRecord::Malformed));
    }
}

fn small() -> Checkpoint {
    let names = ["src/journal/ancestry.rs", "src/journal/mod.rs", "src/lib.rs", "tests/it/main.rs", "README.md"];
    let mut listed: Vec<_> = names.iter().map(|name| RepoPath::new(name.as_bytes()).unwrap().to_owned()).collect();
    listed.sort();
    Checkpoint {
        id: CheckpointId::MAX,
        sequence: 1_000_000,
        time: Duration::from_micros(1_800_000_000_000_000),
        reason: Reason::FsBatch,
        generation: 1_000_000,
        parents: vec![CheckpointId::MIN],
        root: ObjectId::from_bytes([7; 32]),
        saved: Some(ObjectId::from_bytes([8; 32])),
        stats: ChangeStats {
            files_added: 1,
            files_changed: 4,
            files_removed: 0,
            bytes_added: 100_000,
            bytes_removed: 90_000,
        },
        touched: Touched { listed, more: false },
        completeness: Completeness::default(),
        provenance: Provenance {
            session: Some("agent-2026-11-20-a".into()),
            actor: Some("cargo fmt".into()),
            label: None,
            message: Some("formats the journal".into()),
        },
    }
}

/// The journal of a busy day holds tens of thousands of these.
#[test]
fn the_record_of_a_small_change_is_below_500_bytes() {
    let len = small().encode().len();
    assert!(len < 500, "{len} bytes");
}

#[test]
fn what_does_not_fit_is_left_out_and_said() {
    let mut checkpoint = small();
    let long = |digit: u8| RepoPath::new(&[b"a/".repeat(1000).as_slice(), &[digit]].concat()).unwrap().to_owned();
    checkpoint.touched.listed = vec![long(b'0'), long(b'1'), long(b'2')];
    checkpoint.provenance.session = Some("é".repeat(NAME_LEN_MAX));
    let found = Checkpoint::decode(checkpoint.id, &checkpoint.encode()).unwrap();
    assert_eq!(found.touched.listed, &checkpoint.touched.listed[..2]);
    assert!(found.touched.more);
    assert_eq!(found.provenance.session, Some("é".repeat(NAME_LEN_MAX / 2)));
}

/// A walk over ancestors would not end otherwise.
#[test]
fn a_parent_that_is_not_older_is_refused() {
    let mut checkpoint = small();
    checkpoint.parents = vec![checkpoint.id];
    assert_eq!(Checkpoint::decode(checkpoint.id, &checkpoint.encode()), Err(InvalidRecord::Malformed));
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut record = small().encode();
    record[0] = 2;
    assert_eq!(Checkpoint::decode(CheckpointId::MAX, &record), Err(InvalidRecord::NewerVersion(2)));
    record[0] = 0;
    assert_eq!(Checkpoint::decode(CheckpointId::MAX, &record), Err(InvalidRecord::Malformed));
}
