//! Money moves between accounts by many threads at once; none is lost, and no reader sees it on its way.

use northstar::{Database, Options, Result, Tree};

const ACCOUNTS: u64 = 20;
const TRANSFERS: u64 = 50;

fn balance(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// Moves money if there is enough of it. Says whether there was.
fn transfer(db: &Database, accounts: Tree, from: u64, to: u64, amount: u64) -> Result<bool> {
    let mut txn = db.begin()?;
    let before = txn.savepoint()?;
    let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
    let credit = balance(txn.get(accounts, &to)?.as_deref()) + amount;
    txn.put(accounts, &to, &credit.to_be_bytes())?;
    let covered = balance(txn.get(accounts, &from)?.as_deref()).checked_sub(amount);
    match covered {
        Some(rest) => drop(txn.put(accounts, &from, &rest.to_be_bytes())?),
        None => txn.roll_back_to(&before)?,
    }
    txn.commit()?;
    Ok(covered.is_some())
}

fn total(db: &Database, accounts: Tree) -> Result<u64> {
    let snapshot = db.snapshot();
    let mut cursor = snapshot.cursor(accounts)?;
    let mut sum = 0;
    while cursor.next()? {
        sum += balance(Some(cursor.value()?));
    }
    Ok(sum)
}

fn main() -> Result<()> {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Database::open(dir.path().join("bank"), Options::new())?;
    let accounts = db.write(|txn| {
        let accounts = txn.create_tree("accounts")?;
        for account in 0..ACCOUNTS {
            txn.put(accounts, &account.to_be_bytes(), &100u64.to_be_bytes())?;
        }
        Ok(accounts)
    })?;

    std::thread::scope(|scope| {
        let clerks: Vec<_> = (0..4u64)
            .map(|clerk| {
                let db = &db;
                scope.spawn(move || -> Result<()> {
                    for n in 0..TRANSFERS {
                        let from = (n * 7 + clerk) % ACCOUNTS;
                        transfer(db, accounts, from, (from + n + 1) % ACCOUNTS, (n * 13) % 120)?;
                    }
                    Ok(())
                })
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(total(&db, accounts)?, ACCOUNTS * 100);
        }
        clerks.into_iter().try_for_each(|clerk| clerk.join().expect("a clerk does not panic"))
    })?;

    assert_eq!(total(&db, accounts)?, ACCOUNTS * 100);
    println!("{} syncs for {} transactions", db.stats().log_syncs, db.stats().txn);
    db.close()
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
