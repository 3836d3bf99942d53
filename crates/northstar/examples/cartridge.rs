//! An index over the commits of a database: which orders are open in a city. It is built, brought forward, looked up, and always fresh.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use northstar::cartridge::{
    Catalog, Edits, Kind, Order, Policy, Position, Projection, StreamId, Trigger, View, prefix_end,
};
use northstar::{Change, Commit, Database, Options, Tree, TxnId};

/// An order is `city/state` under its number. The key in the index is `city`, a zero byte, and the number.
struct OpenOrders;

impl Projection for OpenOrders {
    type Change<'a> = &'a Change;

    fn kind() -> Kind {
        Kind::new("open_orders", 1).expect("a name")
    }

    fn project(_: u64, change: &&Change, edits: &mut Edits<'_>) -> northstar::cartridge::Result<()> {
        // The city of an order stays, so that its key is known without the order as it was before.
        let Change::Put { key: number, value, .. } = change else { return Ok(()) };
        let mut parts = value.split(|byte| *byte == b'/');
        let city = parts.next().unwrap_or_default();
        let entry = [city, &[0], number].concat();
        if parts.next() == Some(b"open") { edits.put(&entry, &[]) } else { edits.remove(&entry) }
    }
}

/// Feeds a view with what was committed since. The changes of a transaction come at once.
fn catch_up(view: &mut View<OpenOrders>, db: &Database) -> Result<(), Box<dyn std::error::Error>> {
    let mut watch = db.watch(TxnId(view.position().sequence));
    while let Some(Commit { txn, changes, .. }) = watch.try_next()? {
        // A program that may meet another database of the same length puts a hash of the commit here.
        let position = Position { sequence: txn.0, anchor: [0; 32] };
        view.push(position, &changes, Duration::ZERO)?;
    }
    Ok(())
}

fn open_in(view: &View<OpenOrders>, city: &str) -> Result<(u64, Vec<u8>), northstar::cartridge::Error> {
    let prefix = [city.as_bytes(), &[0]].concat();
    let end = prefix_end(&prefix);
    let range = (Bound::Included(prefix.as_slice()), end.as_ref().map(Vec::as_slice));
    let newest = view.scan(range, Order::Backward).next().transpose()?;
    Ok((view.count(range)?, newest.map(|entry| entry.key).unwrap_or_default()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let db = Database::open(dir.path().join("orders"), Options::new())?;
    for number in 1..=500u32 {
        let city = ["Bonn", "Kiel", "Ulm"][number as usize % 3];
        db.write(|txn| txn.put(Tree::DEFAULT, format!("{number:04}").as_bytes(), format!("{city}/open").as_bytes()))?;
    }

    let catalog = Catalog::new(Arc::new(vfs::DiskVfs::new()), dir.path());
    let stream = StreamId(*b"orders of a shop");
    let policy = Policy { positions_max: Some(100), ..Policy::default() };
    let mut view = View::<OpenOrders>::new(None, stream, policy.clone());
    catch_up(&mut view, &db)?;
    assert_eq!(view.due(Duration::ZERO), Some(Trigger::Missing));
    view.rebuild(&catalog)?;

    // Another program, or the same one tomorrow: the file, and what came since.
    db.write(|txn| txn.put(Tree::DEFAULT, b"0498", b"Bonn/done"))?;
    let cartridge = catalog.open_for::<OpenOrders>(stream, |position| position.sequence <= db.snapshot().txn().0)?;
    let mut view = View::<OpenOrders>::new(Some(cartridge), stream, policy);
    catch_up(&mut view, &db)?;
    assert_eq!(view.due(Duration::ZERO), None, "one change is not worth a build");
    assert_eq!(open_in(&view, "Bonn")?, (165, b"Bonn\x000495".to_vec()));
    assert_eq!(open_in(&view, "Kiel")?.0, 167);

    assert_eq!(catalog.verify("open_orders")?.entries, 500);
    println!("{:?}", catalog.inspect("open_orders")?.header);
    db.close()?;
    Ok(())
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
