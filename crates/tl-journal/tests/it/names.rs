//! Names for states.

use std::time::Duration;

use granite::Durability;
use jiff::tz::{TimeZone, offset};
use tl_core::ObjectId;
use tl_journal::names::{NameError, Now, parse_time, resolve};
use tl_journal::{Checkpoint, Draft, Journal, Reason};
use vfs::Vfs;
use vfs_sim::SimDisk;

use crate::journal::open_db;

/// 2026-11-20T12:30:00Z.
const NOON: u64 = 1_795_177_800;

fn now() -> Now {
    Now { time: Duration::from_secs(NOON), zone: TimeZone::fixed(offset(1)) }
}

/// One checkpoint a minute, the last one at `NOON`.
fn history(count: u64) -> (Journal, Vec<Checkpoint>, SimDisk) {
    let disk = SimDisk::new();
    let journal = Journal::open(&open_db(&disk)).unwrap();
    let mut all = Vec::new();
    for number in 1..=count {
        disk.set_now(Duration::from_secs(NOON - 60 * (count - number)));
        let mut draft = Draft::new(Reason::FsBatch, ObjectId::from_bytes([number as u8; 32]));
        draft.parents = all.last().map(|last: &Checkpoint| last.id).into_iter().collect();
        draft.provenance.session = (number == 2).then(|| "morning".into());
        all.push(journal.append(draft, &disk, Durability::Buffered).unwrap());
    }
    (journal, all, disk)
}

#[test]
fn every_form_of_a_name_leads_to_its_state() {
    let (journal, all, disk) = history(10);
    journal.pin("good", all[4].id, disk.now()).unwrap();
    let id = all[3].id.to_string();
    // Only the time is shared by what is a minute apart.
    let own_prefix = &id[..10];
    for (name, expected) in [
        ("@", 9),
        ("@-0", 9),
        ("@-3", 6),
        ("@~9", 0),
        (id.as_str(), 3),
        (&id.to_lowercase(), 3),
        (own_prefix, 3),
        ("good", 4),
        ("morning", 1),
        ("5m ago", 4),
        ("5 minutes ago", 4),
        ("90s ago", 7),
        ("now", 9),
        ("2026-11-20T12:26:30Z", 5),
        ("2026-11-20 13:26", 5),
        ("2026-11-20T13:26:00+01:00", 5),
        ("2026-11-20", 9),
    ] {
        let found = resolve(&journal, name, &now());
        assert_eq!(found.map(|found| found.sequence).map_err(|error| error.to_string()), Ok(expected + 1), "{name}");
    }
}

#[test]
fn an_ambiguous_beginning_lists_what_it_may_be() {
    let (journal, all, _disk) = history(10);
    let Err(NameError::Ambiguous { candidates, more, .. }) = resolve(&journal, &all[0].id.to_string()[..5], &now())
    else {
        panic!("five digits are not enough")
    };
    assert!(more);
    assert_eq!(candidates, all.iter().rev().take(8).map(|one| one.id).collect::<Vec<_>>());
}

#[test]
fn what_names_nothing_is_told_from_what_is_too_old() {
    let (journal, all, _disk) = history(3);
    for name in ["", "@x", "@-", "nothing", "ZZZZ", "01", "-5m ago", "5 apples ago"] {
        assert!(matches!(resolve(&journal, name, &now()), Err(NameError::Unknown { .. })), "{name}");
    }
    for name in ["@-3", "2d ago", "2026-11-19"] {
        let found = resolve(&journal, name, &now());
        assert!(matches!(found, Err(NameError::TooOld { oldest: Some(id), .. }) if id == all[0].id), "{name}");
    }
    let (empty, ..) = history(0);
    for name in ["@", "@-1", "5m ago"] {
        assert!(matches!(resolve(&empty, name, &now()), Err(NameError::Empty)), "{name}");
    }
}

/// A pulled commit is no state that the working directory ever had.
#[test]
fn imports_are_no_states_of_the_working_directory() {
    let (journal, all, disk) = history(2);
    let import = Draft::new(Reason::Import, ObjectId::EMPTY_TREE);
    let import = journal.append(import, &disk, Durability::Buffered).unwrap();
    for name in ["@", "now"] {
        assert_eq!(resolve(&journal, name, &now()).unwrap().id, all[1].id, "{name}");
    }
    assert_eq!(resolve(&journal, "@-1", &now()).unwrap().id, all[0].id);
    assert_eq!(resolve(&journal, &import.id.to_string(), &now()).unwrap().id, import.id);
}

#[test]
fn times_are_read_in_the_zone_of_the_caller() {
    let noon = |seconds: u64| Some(Duration::from_secs(NOON + seconds));
    assert_eq!(parse_time("2026-11-20T13:30", &now()), noon(0));
    assert_eq!(parse_time("2026-11-20T12:30:01Z", &now()), noon(1));
    let end_of_day = Duration::from_secs(NOON) + Duration::from_millis(10 * 3_600_000 + 1_799_999);
    assert_eq!(parse_time("2026-11-20", &now()), Some(end_of_day));
    assert_eq!(parse_time("yesterday", &now()), Some(Duration::from_secs(NOON - 86_400)));
    for text in ["", "ago", "2026", "12:30", "2026-13-01", "in 5m"] {
        assert_eq!(parse_time(text, &now()), None, "{text}");
    }
}
