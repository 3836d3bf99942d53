//! verify and repair

use std::fs;

use crate::program::Place;

/// Many keys in tables of several blocks, and a few in the log.
fn place() -> Place {
    let place = Place::new();
    // Values that do not compress, so that there is more than one block.
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{:016x}", state >> 3)
    };
    let lines: String =
        (0..2000).map(|number| format!("put key{number:04} {}{}{}\n", noise(), noise(), noise())).collect();
    place.run_with(&["batch"], lines.as_bytes()).ok();
    place.run(&["compact"]).ok();
    place.run(&["put", "late", "1"]).ok();
    place
}

fn damage_a_table(place: &Place) {
    let paths = fs::read_dir(place.database()).unwrap().map(|entry| entry.unwrap().path());
    let table = paths.into_iter().find(|path| path.extension().is_some_and(|found| found == "sst")).unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[100] ^= 1;
    fs::write(table, bytes).unwrap();
}

#[test]
fn a_healthy_database_is_intact_and_needs_no_repair() {
    let place = place();
    let verified = place.run(&["verify"]).ok();
    assert!(verified.text().ends_with("intact\n"), "{verified:?}");
    let json = place.run(&["verify", "--json"]).ok().json();
    assert_eq!((&json["intact"], &json["entries"]), (&true.into(), &2000.into()));
    let repaired = place.run(&["repair", "--json"]).ok().json();
    assert_eq!(repaired["tables_rewritten"], 0);
    assert_eq!(place.run(&["scan", "--keys-only"]).ok().text().lines().count(), 2001);
}

/// If it fails, damage is not found, or a repair loses more than was damaged, or hides what it lost.
#[test]
fn damage_is_found_and_repaired_and_the_loss_is_told() {
    let place = place();
    damage_a_table(&place);
    let found = place.run(&["verify"]).code(3);
    assert!(found.text().contains("wrong: ") && found.text().contains(".sst at byte "), "{found:?}");
    let findings = place.run(&["verify", "--json"]).code(3).json();
    assert_eq!(findings["intact"], false);
    let repaired = place.run(&["repair"]).code(3);
    assert!(repaired.text().contains("lost: entries of keyspace default from "), "{repaired:?}");
    assert!(repaired.text().contains("kept: the damaged original as "), "{repaired:?}");
    place.run(&["verify"]).ok();
    let left = place.run(&["scan", "--keys-only"]).ok().text().lines().count();
    assert!((1000..2001).contains(&left), "{left} keys are left");
    assert_eq!(place.run(&["get", "late"]).ok().text(), "1\n");
    place.run(&["repair"]).ok();
}

#[test]
fn a_lost_manifest_is_rebuilt() {
    let place = place();
    fs::remove_file(place.database().join("MANIFEST")).unwrap();
    place.run(&["verify"]).code(3);
    let repaired = place.run(&["repair", "--json"]);
    let report = repaired.json();
    assert_eq!(report["manifest_rebuilt"], true, "{repaired:?}");
    place.run(&["verify"]).ok();
    let stats = place.run(&["stats", "--json"]).ok().json();
    let keyspaces: Vec<_> =
        stats["keyspaces"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let keys: usize = keyspaces
        .iter()
        .map(|name| place.run(&["scan", "--keys-only", "--keyspace", name]).ok().text().lines().count())
        .sum();
    assert_eq!(keys, 2001, "{report}");
}
