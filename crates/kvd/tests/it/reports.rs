//! stats, diag, compact, bench

use crate::program::Place;

fn filled() -> Place {
    let place = Place::new();
    let lines: String = (0..200).map(|number| format!("put key{number:03} {}\n", "v".repeat(number * 20))).collect();
    place.run_with(&["batch", "--every", "50"], lines.as_bytes()).ok();
    place
}

#[test]
fn stats_count_what_is_there() {
    let place = filled();
    let stats = place.run(&["stats", "--json"]).ok().json();
    assert_eq!(stats["keyspaces"][0]["name"], "default");
    assert_eq!(stats["keyspaces"][0]["memtable_entries"], 200);
    assert_eq!(stats["recovery"]["batches"], 4);
    assert_eq!(stats["gauges"]["visible_seq"], 200);
    let text = place.run(&["stats"]).ok();
    assert!(text.text().contains("in memory: 200 entries"), "{text:?}");
    assert!(text.text().contains("sequence: 200, durable: 200"), "{text:?}");
}

/// If it fails, `compact` does not do its work: entries stay in the log and deleted ones in tables.
#[test]
fn compact_moves_everything_into_tables_and_drops_what_is_deleted() {
    let place = filled();
    let lines: String = (0..150).map(|number| format!("del key{number:03}\n")).collect();
    place.run_with(&["batch"], lines.as_bytes()).ok();
    let report = place.run(&["compact", "--json"]).ok().json();
    assert!(report["bytes_after"].as_u64().unwrap() > 0, "{report}");
    let stats = place.run(&["stats", "--json"]).ok().json();
    let levels = stats["keyspaces"][0]["levels"].as_array().unwrap();
    let entries: u64 = levels.iter().map(|level| level["entries"].as_u64().unwrap()).sum();
    assert_eq!((entries, &stats["keyspaces"][0]["memtable_entries"]), (50, &0.into()));
    assert_eq!(place.run(&["scan", "--keys-only"]).ok().text().lines().count(), 50);
    place.run(&["compact", "--all"]).ok();
}

#[test]
fn diag_gives_a_page_with_options_levels_and_a_verdict() {
    let place = filled();
    let page = place.run(&["diag", "--memory", "8M"]).ok();
    for part in
        ["memory budget 8.0 MiB, durability sync, recovery tail", "keyspace    default", "log ", "Nothing to worry"]
    {
        assert!(page.text().contains(part), "{part}: {page:?}");
    }
    let json = place.run(&["diag", "--json"]).ok().json();
    assert_eq!(json["warnings"], serde_json::json!([]));
    assert_eq!(json["options"]["memory_budget_bytes"], 64 << 20);
    assert_eq!(json["stats"]["recovery"]["batches"], 4);
}

/// If it fails, a benchmark leaves its keys behind or touches those that were there.
#[test]
fn bench_reports_its_workloads_and_cleans_up() {
    let place = Place::new();
    place.run(&["put", "kept", "1"]).ok();
    let report = place.run(&["bench", "--count", "500", "--durable", "3", "--json"]).ok().json();
    let workloads: Vec<_> = report["workloads"].as_array().unwrap().iter().collect();
    let names: Vec<_> = workloads.iter().map(|one| one["workload"].as_str().unwrap()).collect();
    assert_eq!(names, ["fillrandom", "readrandom", "durable put"]);
    assert_eq!(workloads[1]["operations"], 500);
    for one in workloads {
        let figure = |name: &str| one[name].as_f64().unwrap();
        assert!(figure("p50_ns") <= figure("p99_ns") && figure("p99_ns") <= figure("max_ns"), "{report}");
        // The percentiles are of the time that was measured: no operation but the longest takes as long as it.
        assert!(figure("max_ns") * figure("operations") >= 0.99e9 * figure("seconds"), "{report}");
    }
    let text = place.run(&["bench", "--count", "10", "--durable", "1"]).ok();
    assert!(text.text().contains("a quick look; the crate `bench` measures properly"), "{text:?}");
    let stats = place.run(&["stats", "--json"]).ok().json();
    assert_eq!(stats["keyspaces"].as_array().unwrap().len(), 1);
    assert_eq!(place.run(&["get", "kept"]).ok().text(), "1\n");
}
