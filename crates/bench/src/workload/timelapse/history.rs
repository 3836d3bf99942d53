//! The room that a project's history takes: every commit of a Git repository recorded in turn, beside what `git gc` makes of the repository.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use granite::Durability;
use rand::RngExt;
use tl_core::ObjectId;
use tl_journal::Dirty;

use super::Contender;
use super::git::Git;
use super::keeper::output_of;
use super::repository::Subject;
use super::text::text;
use super::tree::{content_len, path_of};
use crate::engines::{NoDatabase, Tool};
use crate::measure::{Measurement, Meter, Recorder};
use crate::process;
use crate::workload::Site;

/// Commits and files of the history that is made up where none is given.
const COMMITS: u64 = 1000;
const FILES: u64 = 200;
const CHANGED_MAX: u64 = 3;
/// Lines of a file that a commit changes.
const LINES_MAX: u64 = 8;
const LINE_BYTES_MAX: usize = 80;

pub(super) fn run(site: &Site<'_>, contender: Contender) -> Result<Measurement> {
    let work_tree = site.dir.join("work");
    fs::create_dir(&work_tree)?;
    let git = Git::at(Tool::Git, &site.dir.join("source"), &work_tree)?;
    match &site.parameters.history {
        Some(given) => {
            let given = fs::canonicalize(given).with_context(|| format!("cannot find {}", given.display()))?;
            let clone = ["clone", "--quiet", "--bare", "--no-hardlinks", "--single-branch"].map(Path::new);
            let mut command = git.command(clone.into_iter().chain([given.as_path(), git.repository()]));
            command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
            output_of(&mut command)?;
        }
        None => make_up(site, &git)?,
    }
    match contender {
        Contender::Timelapse => replay(site, &git, &work_tree),
        _ => pack(&git),
    }
}

/// Records the working directory after each commit.
fn replay(site: &Site<'_>, git: &Git, work_tree: &Path) -> Result<Measurement> {
    let commits = git.run(["rev-list", "--reverse", "--topo-order", "HEAD"])?;
    let subject = Subject::open(site, &site.dir.join("store"), Some(work_tree))?;
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(&subject.disk)?;
    let mut contents_bytes = 0;
    for commit in commits.lines() {
        git.run(["checkout", "--quiet", "--force", "--detach", commit])?;
        recorder.call(|| {
            let outcome = subject.update(&Dirty::everything(), Durability::Buffered)?;
            contents_bytes += outcome.bytes_read;
            Ok((1, outcome.bytes_read))
        })?;
    }
    let mut done = meter.stop(&recorder)?;
    let listed = git.run(["ls-tree", "-r", "--format=%(objecttype)", "HEAD"])?;
    let expected = listed.lines().filter(|kind| *kind == "blob").count();
    let repository = &subject.repository;
    let root = repository.journal().head().context("nothing was recorded")?.root;
    let mut found = 0;
    for change in repository.store().diff(&ObjectId::EMPTY_TREE, &root)? {
        found += usize::from(change?.after.is_some_and(|entry| !entry.is_directory()));
    }
    ensure!(found == expected, "{found} files are recorded, Git has {expected}");
    let db = repository.db();
    db.flush()?;
    db.compact()?;
    db.wait_for_background()?;
    let figures = [
        ("store_bytes", repository.disk_bytes()? as f64),
        ("checkpoints", repository.journal().count() as f64),
        ("contents_bytes", contents_bytes as f64),
    ];
    done.extra = figures.map(|(name, value)| (name.to_owned(), value)).into();
    Ok(done)
}

/// Packs the repository.
fn pack(git: &Git) -> Result<Measurement> {
    let commits = git.run(["rev-list", "--count", "HEAD"])?.trim().parse()?;
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(&NoDatabase)?;
    recorder.call(|| git.run(["gc", "--quiet", "--prune=now"]).map(|_| (commits, commits)))?;
    let mut done = meter.stop(&recorder)?;
    let packs = process::files_under(&git.repository().join("objects/pack"))?;
    let bytes = packs.iter().try_fold(0, |sum, path| fs::metadata(path).map(|found| sum + found.len()))?;
    done.extra.insert("store_bytes".to_owned(), bytes as f64);
    Ok(done)
}

/// Makes a history of small edits, the same each time.
fn make_up(site: &Site<'_>, git: &Git) -> Result<()> {
    let mut rng = site.rng(1);
    let mut files: Vec<Vec<String>> = Vec::new();
    for index in 0..FILES {
        let content = text(&mut rng, content_len(index, 0));
        files.push(String::from_utf8_lossy(&content).lines().map(str::to_owned).collect());
    }
    let stream_path = site.dir.join("stream");
    let mut stream = Vec::new();
    for commit in 0..site.scaled(COMMITS) {
        let head = format!("commit refs/heads/main\ncommitter bench <bench@localhost> {commit} +0000\ndata 5\nstate\n");
        stream.extend_from_slice(head.as_bytes());
        let changed: Vec<u64> = if commit == 0 {
            (0..FILES).collect()
        } else {
            (0..rng.random_range(1..=CHANGED_MAX)).map(|_| rng.random_range(0..FILES)).collect()
        };
        for index in changed {
            let lines = &mut files[usize::try_from(index)?];
            for _ in 0..rng.random_range(1..=LINES_MAX) {
                let place = rng.random_range(0..=lines.len());
                let new: String =
                    (0..rng.random_range(1..=LINE_BYTES_MAX)).map(|_| rng.random_range('a'..='z')).collect();
                match lines.get_mut(place) {
                    Some(line) if rng.random() => *line = new,
                    _ => lines.insert(place, new),
                }
            }
            let content = lines.join("\n");
            let change = format!("M 100644 inline {}\ndata {}\n{content}\n", path_of(index), content.len());
            stream.extend_from_slice(change.as_bytes());
        }
    }
    fs::write(&stream_path, &stream)?;
    git.run(["init", "--quiet", "--initial-branch=main"])?;
    let mut import = git.command(["fast-import", "--quiet"]);
    output_of(import.stdin(File::open(&stream_path)?))?;
    Ok(fs::remove_file(&stream_path)?)
}
