//! Writes the database that `fixtures/vN` holds for the format's present version: `cargo run -p granite --example make_fixture -- DIR`.
//! A fixture of a released version is never written anew.

#[path = "../tests/it/ops/fixture/content.rs"]
mod content;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).ok_or("usage: make_fixture DIR")?;
    let db = granite::Db::open(dir, &content::options())?;
    content::make(&db)?;
    db.close()?;
    Ok(())
}
