//! kvd: load, read back, kill the program in the middle of a second load, open again, and check that what is left is a prefix of
//! the batches that contains every acknowledged one.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::kvd::{Kvd, Load};
use super::sources::Source;
use super::{DataSet, cargo, empty_directory, mebibytes};

/// Files of one committed batch.
pub(super) const BATCH_FILES: usize = 64;
/// The keys of the two loads begin with these.
const FIRST: &str = "first/";
const SECOND: &str = "second/";

pub(super) fn run(root: &Path, data: &DataSet) -> Result<()> {
    cargo(root, &["build", "--release", "--locked", "-p", "kvd"])?;
    let database = data.target.join("demo").join("database");
    empty_directory(&database)?;
    let kvd = Kvd::new(data.target.join("release").join(format!("kvd{}", std::env::consts::EXE_SUFFIX)), database);
    let files = data.files.as_slice();

    load_everything(&kvd, files, data.bytes())?;
    read_back(&kvd, files)?;
    let survivors = kill_and_reopen(&kvd, files)?;
    println!("\nMoving everything from the log into tables, and reading it once more:");
    kvd.show(&["compact"])?;
    compare_all(&kvd, files)?;
    println!("\nThe whole database, checked by kvd:");
    kvd.show(&["verify"])?;
    println!("\nIts figures:");
    kvd.show(&["stats"])?;
    println!("\nDone: {} keys stand as they were written. Look around with", files.len() + survivors);
    println!("  {}", kvd.command_line(&["scan", "--limit", "3"]));
    Ok(())
}

fn load_everything(kvd: &Kvd, files: &[Source], bytes: usize) -> Result<()> {
    println!("\nLoading all of it, {BATCH_FILES} files a batch; kvd acknowledges a batch once it is durable:");
    let start = Instant::now();
    if let Load::Killed { .. } = kvd.load(files, FIRST, None)? {
        bail!("the load was cut off");
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("  {} in {seconds:.2} s", mebibytes(bytes));
    Ok(())
}

fn read_back(kvd: &Kvd, files: &[Source]) -> Result<()> {
    let middle = &files[files.len() / 2];
    let key = format!("{FIRST}{}", middle.path);
    println!("\nOne file by its key:");
    let value = kvd.output(&["get", "--raw", &key])?;
    ensure!(value == middle.content, "{key} came back with other bytes");
    println!("  {key}: {} bytes, as they were", value.len());

    let package = middle.path.split('/').next().unwrap_or_default();
    let of_package: Vec<&Source> = files.iter().filter(|file| file.path.split('/').next() == Some(package)).collect();
    println!("\nAll files of one package, by prefix:");
    let count = kvd.compare(FIRST, &format!("{package}/"), &of_package)?;
    ensure!(count == of_package.len(), "{count} of {} files of {package} came back", of_package.len());
    println!("  {package}: {count} files, in order, as they were");

    println!("\nEverything:");
    compare_all(kvd, files)
}

fn compare_all(kvd: &Kvd, files: &[Source]) -> Result<()> {
    let all: Vec<&Source> = files.iter().collect();
    let count = kvd.compare(FIRST, "", &all)?;
    ensure!(count == files.len(), "{count} of {} files came back", files.len());
    println!("  {count} files of the first load, in order, as they were");
    Ok(())
}

/// Returns how many keys of the second load survived the kill.
fn kill_and_reopen(kvd: &Kvd, files: &[Source]) -> Result<usize> {
    let batches = files.len().div_ceil(BATCH_FILES);
    println!("\nLoading it a second time, and killing kvd with signal 9 half way:");
    let Load::Killed { acknowledged } = kvd.load(files, SECOND, Some(batches / 2))? else {
        bail!("the load ended before it could be killed");
    };
    println!("  killed after {acknowledged} of {batches} batches were acknowledged");

    println!("\nOpening it again:");
    let start = Instant::now();
    let all: Vec<&Source> = files.iter().collect();
    let survivors = kvd.compare(SECOND, "", &all)?;
    let seconds = start.elapsed().as_secs_f64();
    judge_survivors(survivors, acknowledged, files.len())?;
    println!(
        "  {survivors} files of the second load in {} whole batches, every acknowledged one among them ({seconds:.2} s)",
        survivors.div_ceil(BATCH_FILES)
    );
    compare_all(kvd, files)?;
    Ok(survivors)
}

/// What survives must be whole batches, and every acknowledged one.
fn judge_survivors(survivors: usize, acknowledged: usize, files: usize) -> Result<()> {
    let least = (acknowledged * BATCH_FILES).min(files);
    ensure!(survivors >= least, "{survivors} files of the second load are left, but {least} were acknowledged");
    let whole = survivors.is_multiple_of(BATCH_FILES) || survivors == files;
    ensure!(whole, "{survivors} files of the second load are left: a batch of {BATCH_FILES} was torn");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The demo would otherwise praise a database that lost or tore a batch.
    #[test]
    fn canary_lost_and_torn_batches_are_told() {
        judge_survivors(3 * BATCH_FILES, 2, 1000).unwrap();
        judge_survivors(1000, 16, 1000).unwrap();
        assert!(judge_survivors(2 * BATCH_FILES, 3, 1000).unwrap_err().to_string().contains("acknowledged"));
        assert!(judge_survivors(3 * BATCH_FILES + 1, 3, 1000).unwrap_err().to_string().contains("torn"));
    }
}
