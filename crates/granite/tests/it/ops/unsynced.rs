//! Every sync of a checkpoint, a bulk load, a repair and a reopening, left out in turn: a crash test must notice, or the sync is superfluous.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use granite::{Db, Durability, Error, WriteBatch};
use vfs::Vfs;
use vfs_sim::{
    Crash, CrashOptions, DiskError, Fault, NameLoss, Op, OpKind, Points, Sector, SimDisk, Sweep, SyncLoss, WriteLoss,
};

use super::{Model, all, buffered, check, key, on, open, put, value};

fn role(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("seg") => "a segment",
        Some("sst") => "a table",
        _ if path.ends_with("REPAIR") => "the mark of a repair",
        _ if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST")) => "the manifest",
        _ => "a directory",
    }
}

/// Each sync of a trace from operation `from` on, with what it makes durable.
fn syncs(trace: &[Op], from: u64) -> Vec<(u64, String)> {
    let mut written: BTreeSet<&Path> = BTreeSet::new();
    let mut changed: BTreeMap<&Path, BTreeSet<String>> = BTreeMap::new();
    let mut found = Vec::new();
    for op in trace {
        match op.kind {
            OpKind::Write | OpKind::SetLen | OpKind::Allocate => {
                written.insert(&op.path);
            }
            OpKind::Create | OpKind::CreateDir | OpKind::Remove | OpKind::Rename | OpKind::HardLink => {
                let name = op.target.as_ref().unwrap_or(&op.path);
                // Whether a new file is created or linked makes no difference to its name.
                let change = match op.kind {
                    OpKind::Remove => format!("{} less", role(name)),
                    _ => role(name).to_owned(),
                };
                changed.entry(name.parent().unwrap()).or_default().insert(change);
            }
            OpKind::SyncData | OpKind::SyncAll => {
                let state = if written.remove(&*op.path) { "written" } else { "as it was found" };
                found.push((op.number, format!("{} {state}", role(&op.path))));
            }
            OpKind::SyncDir => {
                let mut changes = changed.remove(&*op.path).unwrap_or_default();
                if changes.iter().any(|change| !change.ends_with("less")) {
                    changes.retain(|change| !change.ends_with("less"));
                }
                found.push((op.number, format!("names in {}: {changes:?}", op.path.display())));
            }
            _ => {}
        }
    }
    found.retain(|(number, _)| *number >= from);
    found
}

/// Which syncs were left out, and whether anything went wrong then.
#[derive(Default)]
struct Findings(BTreeMap<String, bool>);

impl Findings {
    /// Runs the program, whose operation begins with disk operation `from`, without each kind of sync in turn.
    fn look<N: Default>(
        &mut self,
        build: impl Fn() -> SimDisk,
        from: u64,
        program: impl Fn(&SimDisk, &mut N) -> Result<(), Error>,
        verdict: impl Fn(&SimDisk, &N) -> Result<(), Error>,
    ) {
        // Each name may survive without those that were made before it.
        let names = |seed| Crash::With(CrashOptions { names: NameLoss::PerName, ..CrashOptions::random(seed) });
        let crashes = std::iter::once(Crash::Nothing).chain((0..8).map(names)).collect();
        let sweep = Sweep { points: Points::All, crashes, seeds: 4 };
        // The moment at which most depends on the order of names: a manifest has got its own.
        let behind_rename =
            |point| Sweep { points: Points::Only(point), crashes: (0..150).map(names).collect(), seeds: 0 };
        if let Err(failure) = sweep.run(&build, &program, &verdict) {
            panic!("with all syncs: {failure}");
        }
        let rehearsal = build();
        program(&rehearsal, &mut N::default()).unwrap();
        let syncs = syncs(&rehearsal.trace(), from);
        let renames: Vec<u64> =
            rehearsal.trace().iter().filter(|op| op.kind == OpKind::Rename).map(|op| op.number).collect();
        for rename in &renames {
            if let Err(failure) = behind_rename(rename + 1).run(&build, &program, &verdict) {
                panic!("with all syncs: {failure}");
            }
        }
        let kinds: BTreeSet<&String> = syncs.iter().map(|(_, kind)| kind).collect();
        for kind in kinds {
            let left_out: BTreeSet<u64> = syncs.iter().filter(|(_, of)| of == kind).map(|(op, _)| *op).collect();
            let build = || {
                let disk = build();
                let left_out = left_out.clone();
                disk.ignore_syncs(move |sync| left_out.contains(&sync.op));
                disk
            };
            let noticed = sweep.run(build, &program, &verdict).is_err()
                || renames.iter().any(|rename| behind_rename(rename + 1).run(build, &program, &verdict).is_err());
            *self.0.entry(kind.clone()).or_default() |= noticed;
        }
    }

    /// Fails if one is missed nowhere, but for those of `elsewhere`, which other tests are about.
    fn assert_all_noticed(&self, elsewhere: &[&str]) {
        let unnoticed = self.0.iter().filter(|(kind, noticed)| !**noticed && !elsewhere.contains(&kind.as_str()));
        let unnoticed: Vec<&String> = unnoticed.map(|(kind, _)| kind).collect();
        assert!(unnoticed.is_empty(), "nobody notices that these are missing: {unnoticed:#?} of {:#?}", self.0);
    }
}

/// A closed database with tables, values in segments, and a tail of log.
fn closed() -> (SimDisk, Model) {
    let disk = SimDisk::new();
    let (db, keyspace) = open(&disk, "/db").unwrap();
    let mut model = Model::new();
    put(&keyspace, &mut model, 0..60, 1);
    db.compact().unwrap();
    put(&keyspace, &mut model, 20..30, 2);
    db.flush().unwrap();
    put(&keyspace, &mut model, 40..45, 3);
    drop((db, keyspace));
    disk.settle();
    (disk.kill(), model)
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// If it fails, a sync of a checkpoint is superfluous, or a checkpoint that was reported as done can vanish or come out damaged, or one
/// that was not can be taken for a database.
#[test]
fn mutation_without_a_sync_of_a_checkpoint_is_noticed() {
    let mut findings = Findings::default();
    for is_copied in [false, true] {
        let (base, before) = closed();
        let mut model = before.clone();
        model.insert(key(50), value(50, 9));
        let prepare = |disk: &SimDisk| -> Result<Db, Error> {
            let db = Db::open("/db", &buffered(on(disk)))?;
            if is_copied {
                // EXDEV.
                disk.inject(Fault::fail(DiskError::Os(18)).on([OpKind::HardLink]));
            }
            // Only the checkpoint makes it durable.
            db.existing_keyspace("k")?.put(&key(50), &value(50, 9))?;
            Ok(db)
        };
        let from = {
            let disk = base.kill();
            let _db = prepare(&disk).unwrap();
            disk.op_count()
        };
        let program = |disk: &SimDisk, done: &mut bool| {
            prepare(disk)?.checkpoint("/copies/copy")?;
            *done = true;
            disk.cut_power();
            Ok(())
        };
        let verdict = |disk: &SimDisk, done: &bool| {
            let found = all(&open(disk, "/db")?.1)?;
            assert!(found == model || (!*done && found == before), "the origin, done: {done}");
            match Db::open("/copies/copy", &on(disk).create_if_missing(false)) {
                Ok(copy) => check(&copy.existing_keyspace("k")?, &model),
                Err(Error::NotADatabase { .. }) => assert!(!*done, "a finished checkpoint is gone"),
                Err(error) => panic!("something that looks like a checkpoint does not open: {error}"),
            }
            Ok(())
        };
        findings.look(|| base.kill(), from, program, verdict);
    }
    findings.assert_all_noticed(&[]);
}

/// If it fails, a sync of a bulk load is superfluous, or a load that was reported as done can vanish or come out damaged.
#[test]
fn mutation_without_a_sync_of_a_load_is_noticed() {
    let mut findings = Findings::default();
    for puts_before in [false, true] {
        let (base, before) = closed();
        let mut base_model = before.clone();
        if puts_before {
            base_model.insert(key(50), value(50, 9));
        }
        let load: Vec<_> = (30..200).map(|number| (key(number), value(number, 4))).collect();
        let mut loaded = base_model.clone();
        loaded.extend(load.clone());
        let prepare = |disk: &SimDisk| -> Result<Db, Error> {
            let db = Db::open("/db", &buffered(on(disk)))?;
            // Without anything in memory there is no flush ahead of the load, which would sync the same directory.
            db.flush()?;
            if puts_before {
                db.existing_keyspace("k")?.put(&key(50), &value(50, 9))?;
            }
            Ok(db)
        };
        let from = {
            let disk = base.kill();
            let _db = prepare(&disk).unwrap();
            disk.op_count()
        };
        let program = |disk: &SimDisk, done: &mut bool| {
            let db = prepare(disk)?;
            db.existing_keyspace("k")?.ingest(load.clone())?;
            *done = true;
            disk.cut_power();
            Ok(())
        };
        let verdict = |disk: &SimDisk, done: &bool| {
            let (_db, keyspace) = open(disk, "/db")?;
            let found = all(&keyspace)?;
            assert!(found == loaded || (!*done && (found == before || found == base_model)), "done: {done}");
            // The sequence that the load took is not given out again.
            keyspace.put(&key(31), b"after")?;
            assert_eq!(keyspace.get(&key(31))?.as_deref(), Some(&b"after"[..]), "a later write is hidden by the load");
            Ok(())
        };
        findings.look(|| base.kill(), from, program, verdict);
    }
    // Behind a flush there is nothing left to sync in the directory.
    findings.assert_all_noticed(&["names in /db: {}"]);
}

/// A damaged database, of a process that was killed: what it did not sync is in the page cache only.
fn damaged(damage: &str) -> SimDisk {
    let (disk, _) = closed();
    let db = Db::open("/db", &buffered(on(&disk))).unwrap();
    put(&db.existing_keyspace("k").unwrap(), &mut Model::new(), 200..230, 5);
    let disk = disk.kill();
    drop(db);
    let mut paths = disk.read_dir(Path::new("/db")).unwrap();
    paths.sort();
    match damage {
        "table" => {
            let table = paths.iter().find(|path| path.extension().is_some_and(|extension| extension == "sst"));
            disk.corrupt(table.unwrap(), 40..60, 1).unwrap();
        }
        "values" => disk.corrupt(paths.iter().find(|path| is_segment(path)).unwrap(), 200..260, 1).unwrap(),
        _ => {
            disk.remove_file(Path::new("/db/MANIFEST")).unwrap();
            disk.sync_dir(Path::new("/db")).unwrap();
        }
    }
    disk
}

/// If it fails, a sync of a repair is superfluous, or a loss of power during or after a repair takes what it had saved, or the damaged original.
#[test]
fn mutation_without_a_sync_of_a_repair_is_noticed() {
    let repaired = |disk: &SimDisk| {
        granite::repair("/db", &on(disk)).unwrap();
        let db = Db::open("/db", &on(disk)).unwrap();
        let name = db.keyspace_names().into_iter().next().unwrap();
        all(&db.existing_keyspace(&name).unwrap()).unwrap()
    };
    let mut findings = Findings::default();
    for damage in ["table", "values", "manifest"] {
        let wanted = repaired(&damaged(damage));
        let report = granite::repair("/db", &on(&damaged(damage))).unwrap();
        let (is_loss, originals) = (report.is_loss(), report.originals);
        let program = |disk: &SimDisk, done: &mut bool| {
            granite::repair("/db", &on(disk))?;
            *done = true;
            disk.cut_power();
            Ok(())
        };
        let verdict = |disk: &SimDisk, done: &bool| {
            let before_open = disk.kill();
            // An open removes what the manifest does not name.
            let opened = Db::open("/db", &on(disk).create_if_missing(false));
            for lost in &originals {
                let before: PathBuf = Path::new("/db").join(lost.file_name().unwrap());
                let is_there = [lost, &before].iter().any(|path| disk.metadata(path).is_ok());
                assert!(is_there, "the original {} is gone", lost.display());
            }
            // What the killed process had not synced, from number 200 on, may be gone.
            let known = |model: Model| model.into_iter().filter(|(of, _)| *of < key(200)).collect::<Model>();
            if let (false, "manifest", Ok(db)) = (*done, damage, &opened) {
                // All that the manifest names is there.
                let name = db.keyspace_names().into_iter().next().unwrap();
                let found = all(&db.existing_keyspace(&name)?)?;
                assert!(known(found) == known(wanted.clone()), "half a repair is taken for a database");
            } else if !*done {
                let again = granite::repair("/db", &on(&before_open.kill())).unwrap();
                assert!(is_loss || !again.is_loss(), "a second repair reports a loss: {again:?}");
                assert!(known(repaired(&before_open)) == known(wanted.clone()), "a second repair gives something else");
            } else {
                let db = opened?;
                let name = db.keyspace_names().into_iter().next().unwrap();
                assert!(all(&db.existing_keyspace(&name)?)? == wanted, "another content after the repair");
                assert!(granite::verify("/db", &on(&disk.kill()))?.is_intact(), "damaged after the repair");
            }
            Ok(())
        };
        findings.look(|| damaged(damage), damaged(damage).op_count(), program, verdict);
    }
    findings.assert_all_noticed(&[]);
}

/// If it fails, a repair without a manifest that was cut short by a loss of power leaves a torn table that the next repair takes for a part of the
/// database: since the table claims to hold the log's newest entries, all others in the log are dropped.
#[test]
fn a_rebuild_that_was_cut_short_leaves_nothing_behind_for_the_next() {
    let crash = Crash::With(CrashOptions {
        seed: 19,
        writes: WriteLoss::Sectors,
        names: NameLoss::PerName,
        sector: Sector::B512,
        survival: 0.5,
        tearing: 0.1,
    });
    let is_known = |(key_found, _): &(Vec<u8>, Vec<u8>)| *key_found < key(200);
    let content = |disk: &SimDisk| -> Result<Model, Error> {
        let db = Db::open("/db", &on(disk))?;
        let name = db.keyspace_names().into_iter().next().unwrap();
        Ok(all(&db.existing_keyspace(&name)?)?.into_iter().filter(is_known).collect())
    };
    let whole = damaged("manifest");
    granite::repair("/db", &on(&whole)).unwrap();
    let wanted = content(&whole).unwrap();
    let sweep = Sweep { points: Points::All, crashes: vec![crash, Crash::Everything], seeds: 60 };
    let mut torn = std::cell::Cell::new(0);
    let report = sweep.run(
        || damaged("manifest"),
        |disk: &SimDisk, (): &mut ()| granite::repair("/db", &on(disk)).map(drop),
        |disk, ()| {
            torn.set(torn.get() + u32::from(disk.metadata(Path::new("/db/REPAIR")).is_ok()));
            let report = granite::repair("/db", &on(disk))?;
            assert!(!report.is_loss(), "{report:?}");
            assert!(report.originals.is_empty(), "{report:?}");
            assert!(content(disk)? == wanted, "the second repair gives something else");
            assert!(granite::verify("/db", &on(disk))?.is_intact());
            assert!(disk.metadata(Path::new("/db/REPAIR")).is_err(), "the mark stays");
            Ok::<_, Error>(())
        },
    );
    if let Err(failure) = report {
        panic!("{failure}");
    }
    assert!(*torn.get_mut() > 100, "hardly any crash met a rebuild under way");
}

/// If it fails, the mark of a rebuild outlives it, and a later rebuild throws away what was written since.
#[test]
fn a_mark_that_outlived_its_rebuild_does_no_harm() {
    let build = || {
        let disk = damaged("manifest").kill();
        // Until the new manifest is there.
        let renames = disk.kill();
        granite::repair("/db", &on(&renames)).unwrap();
        let rename = renames.trace().into_iter().find(|op| op.kind == OpKind::Rename).unwrap().number;
        disk.freeze_after(rename + 2);
        // It has done all that counts.
        granite::repair("/db", &on(&disk)).unwrap();
        let left = disk.kill();
        assert!(["MANIFEST", "REPAIR"].iter().all(|name| left.metadata(&Path::new("/db").join(name)).is_ok()));
        left.settle();
        left.kill()
    };
    let program = |disk: &SimDisk, acknowledged: &mut u32| {
        let db = Db::open("/db", &on(disk))?;
        let name = db.keyspace_names().into_iter().next().unwrap();
        let keyspace = db.existing_keyspace(&name)?;
        for number in 300..340 {
            keyspace.put(&key(number), &value(number, 6))?;
            *acknowledged = number - 299;
            if number % 16 == 0 {
                db.flush()?;
            }
        }
        disk.cut_power();
        Ok::<_, Error>(())
    };
    let verdict = |disk: &SimDisk, acknowledged: &u32| {
        disk.remove_file(Path::new("/db/MANIFEST")).unwrap();
        let report = granite::repair("/db", &on(disk))?;
        let db = Db::open("/db", &on(disk))?;
        let name = db.keyspace_names().into_iter().next().unwrap();
        let keyspace = db.existing_keyspace(&name)?;
        for number in 300..300 + acknowledged {
            assert!(keyspace.get(&key(number))? == Some(value(number, 6)), "{number} is gone: {report:?}");
        }
        Ok::<_, Error>(())
    };
    if let Err(failure) = Sweep::with_seeds(6).run(build, program, verdict) {
        panic!("{failure}");
    }
}

/// If it fails, a sync of a reopening is superfluous, or what a reopened database holds is lost with the power.
#[test]
fn mutation_without_a_sync_of_a_reopening_is_noticed() {
    let (base, before) = closed();
    let mut model = before.clone();
    model.extend((100..130).map(|number| (key(number), value(number, 2))));
    // The database must stay open, so the program begins with the poisoning.
    let poison = |disk: &SimDisk| {
        let db = Db::open("/db", &buffered(on(disk)))?;
        let keyspace = db.existing_keyspace("k")?;
        for number in 100..130 {
            keyspace.put(&key(number), &value(number, 2))?;
        }
        let fault = disk.inject(Fault::lost_sync(SyncLoss::All).on([OpKind::SyncData]).at(is_segment));
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, &key(999), &value(999, 9));
        let refused = db.write(batch, Durability::Sync).unwrap_err();
        if disk.is_frozen() {
            return Err(refused);
        }
        assert!(disk.fault_hits(fault) > 0);
        disk.clear_faults();
        Ok::<_, Error>(db)
    };
    let from = {
        let disk = base.kill();
        let _db = poison(&disk).unwrap();
        disk.op_count()
    };
    let program = |disk: &SimDisk, done: &mut bool| {
        let _db = poison(disk)?.reopen()?;
        *done = true;
        disk.cut_power();
        Ok(())
    };
    let verdict = |disk: &SimDisk, done: &bool| {
        let found = all(&open(disk, "/db")?.1)?;
        assert!(
            found == model || (!*done && (before.iter().all(|(key, value)| found.get(key) == Some(value)))),
            "done: {done}"
        );
        Ok(())
    };
    let mut findings = Findings::default();
    findings.look(|| base.kill(), from, program, verdict);
    // The second half of a reopening is an open like any other: it syncs what it finds, so that the change of the manifest before it is durable
    // twice over. That each of these is needed is shown where they stand alone, by the tests in `mutation`.
    findings.assert_all_noticed(&["the manifest written", "the manifest as it was found", "names in /db: {}"]);
}
