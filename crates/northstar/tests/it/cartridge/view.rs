//! The always-fresh view, and when it asks for another cartridge.

use std::ops::Bound;
use std::time::Duration;

use northstar::cartridge::{Entry, Error, Order, Policy, PrefixRule, Result, Trigger, View};

use super::stream::*;

const NO_TIME: Duration = Duration::ZERO;

fn check(view: &View<Copied>, map: &Map) {
    let scanned = |range, order| view.scan(range, order).collect::<Result<Vec<Entry>>>().unwrap();
    assert_eq!(scanned(EVERYTHING, Order::Forward), entries(map));
    let mut backward = scanned(EVERYTHING, Order::Backward);
    backward.reverse();
    assert_eq!(backward, entries(map));
    assert_eq!(view.count(EVERYTHING).unwrap(), map.len() as u64);
    let keys: Vec<&[u8]> = map.keys().map(Vec::as_slice).collect();
    let step = keys.len() / 7 + 1;
    for lower in keys.iter().step_by(step) {
        assert_eq!(view.get(lower).unwrap(), map.get(*lower).map(Vec::as_slice));
        for upper in keys.iter().rev().step_by(step) {
            let range = (Bound::Excluded(*lower), Bound::Included(*upper));
            let expected: Vec<Entry> = entries(map)
                .into_iter()
                .filter(|entry| entry.key > lower.to_vec() && entry.key <= upper.to_vec())
                .collect();
            assert_eq!(scanned(range, Order::Forward), expected);
            assert_eq!(view.count(range).unwrap(), expected.len() as u64);
            assert_eq!(scanned(range, Order::Backward).len(), expected.len());
        }
    }
}

/// If it fails, a view is stale, or says something that never was.
#[test]
fn a_view_says_what_the_stream_says_at_every_position() {
    for seed in 40..46 {
        let stream = random_stream(seed, 160);
        let (_disk, catalog) = catalog();
        let mut view = View::<Copied>::new(None, STREAM, Policy::default());
        for (number, changes) in stream.iter().enumerate() {
            view.push(position(number + 1), changes, NO_TIME).unwrap();
            if number % 10 == 0 {
                check(&view, &map_of(&stream[..=number]));
            }
            if number % 50 == 20 {
                view.rebuild(&catalog).unwrap();
                check(&view, &map_of(&stream[..=number]));
            }
        }
        check(&view, &map_of(&stream));
        // And so does one that begins with the cartridge, as after a start.
        let cartridge = catalog.open_for::<Copied>(STREAM, |_| true).unwrap();
        let mut again = View::<Copied>::new(Some(cartridge), STREAM, Policy::default());
        let covered = again.position().sequence as usize;
        assert!(covered > 100 && covered < 160);
        for (number, changes) in stream.iter().enumerate().skip(covered) {
            again.push(position(number + 1), changes, NO_TIME).unwrap();
        }
        check(&again, &map_of(&stream));
    }
}

fn change(key: &str) -> Change {
    Change { key: key.as_bytes().to_vec(), value: Some(Vec::new()) }
}

fn rebuilt(policy: Policy) -> View<Copied> {
    let (_disk, catalog) = catalog();
    let mut view = View::<Copied>::new(None, STREAM, policy);
    assert_eq!(view.due(NO_TIME), Some(Trigger::Missing));
    view.push(position(1), [&change("a")], NO_TIME).unwrap();
    view.rebuild(&catalog).unwrap();
    assert_eq!(view.due(Duration::from_secs(1_000_000)), None);
    view
}

fn nothing() -> Policy {
    Policy { positions_max: None, age_max: None, prefixes: Vec::new(), tail_bytes_max: 1 << 20 }
}

/// If it fails, a cartridge falls behind by more than it may, or is built for nothing.
#[test]
fn new_positions_are_a_trigger() {
    let mut view = rebuilt(Policy { positions_max: Some(3), ..nothing() });
    for number in 2..=4 {
        view.push(position(number), [&change("b"), &change("c")], NO_TIME).unwrap();
        // Pieces of one position count once.
        view.push(position(number), [&change("d")], NO_TIME).unwrap();
        assert_eq!(view.due(NO_TIME), None);
    }
    view.push(position(5), [], NO_TIME).unwrap();
    assert_eq!(view.due(NO_TIME), Some(Trigger::Positions { uncovered: 4 }));
}

/// If it fails, what is not covered grows old, or time alone asks for a build.
#[test]
fn the_age_of_what_is_not_covered_is_a_trigger() {
    let at = Duration::from_secs;
    let mut view = rebuilt(Policy { age_max: Some(at(60)), ..nothing() });
    view.push(position(2), [&change("b")], at(1000)).unwrap();
    view.push(position(3), [&change("c")], at(1050)).unwrap();
    assert_eq!(view.due(at(1060)), None);
    assert_eq!(view.due(at(1061)), Some(Trigger::Age { age: at(61) }));
    // A clock that was set back.
    assert_eq!(view.due(at(3)), None);
}

/// If it fails, keys that somebody cares for are left to the tail.
#[test]
fn edits_below_a_prefix_are_a_trigger() {
    let rule = PrefixRule { prefix: b"hot/".to_vec(), edits_max: 2 };
    let mut view = rebuilt(Policy { prefixes: vec![rule], ..nothing() });
    view.push(position(2), [&change("cold/1"), &change("cold/2"), &change("hot/1"), &change("hot")], NO_TIME).unwrap();
    view.push(position(3), [&change("hot/1")], NO_TIME).unwrap();
    assert_eq!(view.due(NO_TIME), None);
    view.push(position(4), [&change("hot/2")], NO_TIME).unwrap();
    assert_eq!(view.due(NO_TIME), Some(Trigger::Prefix { prefix: b"hot/".to_vec(), edits: 3 }));
}

/// If it fails, a tail grows without a bound, or what was refused is half there.
#[test]
fn a_full_tail_is_refused_and_the_view_stays_as_it_was() {
    let mut view = rebuilt(Policy { tail_bytes_max: 1000, ..nothing() });
    let mut number = 1;
    let error = loop {
        number += 1;
        let (one, two) = (change(&format!("k{number}")), change(&format!("l{number}")));
        match view.push(position(number), [&one, &two], NO_TIME) {
            Ok(()) => assert!(number < 100),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::TailFull { bytes_max: 1000 }));
    assert!(matches!(view.due(NO_TIME), Some(Trigger::Memory { .. })), "there was a warning before");
    assert_eq!(view.position(), position(number - 1));
    assert_eq!(view.count(EVERYTHING).unwrap(), 1 + 2 * (number as u64 - 2));
    assert_eq!(view.get(format!("k{number}").as_bytes()).unwrap(), None);
    let (_disk, catalog) = catalog();
    view.rebuild(&catalog).unwrap();
    view.push(position(number), [&change("k")], NO_TIME).unwrap();
}
