//! The history of a Git repository, checked out commit by commit beside the daemon: each commit's checkpoint is what Git has, and comes back.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::disk;
use super::git::{self, Blobs, Git, Kind};
use super::{history, is_long, repositories, seed};
use crate::place::Place;

/// Most bytes of contents, and most paths, that are asked for at once.
const CAT_LEN_MAX: u64 = 64 << 20;
const CAT_PATHS_MAX: usize = 500;

/// If it fails, a checkpoint is not the working directory, or a state that comes back is not what it was.
#[test]
fn every_commit_is_recorded_as_git_has_it_and_comes_back() {
    let seed = seed();
    println!("TL_SEED={seed}");
    if !is_long() || repositories().is_empty() {
        let place = Place::new();
        let source = history::random(place.beside("source"), place.beside("home"), seed, 60);
        Replay::new(&place, source.dir().to_owned(), seed).run(6);
    }
    for source in repositories() {
        Replay::new(&Place::new(), source, seed).run(60);
    }
}

/// A checkpoint of a commit.
struct Recorded {
    commit: String,
    id: String,
    root: String,
    /// Nothing of the commit is left out by its own ignore rules.
    whole: bool,
}

struct Replay<'a> {
    place: &'a Place,
    source: PathBuf,
    rng: StdRng,
    seed: u64,
    /// In one of so many commits the daemon is stopped before it, in one it is killed.
    calm: u32,
    git: Git,
    blobs: Blobs,
    /// Which content of Git's a content of `tl`'s was compared with, and the other way round.
    known: BTreeMap<String, String>,
    backwards: BTreeMap<String, String>,
    /// Permission bits that new files lack.
    umask: u32,
    recorded: Vec<Recorded>,
    left_out: usize,
    submodules: usize,
    interruptions: usize,
    times: Times,
}

#[derive(Default)]
struct Times {
    checkout: Vec<Duration>,
    flush: Vec<Duration>,
    restore: Vec<Duration>,
    restore_elsewhere: Vec<Duration>,
}

impl<'a> Replay<'a> {
    fn new(place: &'a Place, source: PathBuf, seed: u64) -> Self {
        let git = Git::clone_of(&source, &place.project(), place.beside("home"));
        let blobs = git.blobs();
        Self {
            place,
            source,
            rng: StdRng::seed_from_u64(seed),
            seed,
            calm: if is_long() { 100 } else { 12 },
            git,
            blobs,
            known: BTreeMap::new(),
            backwards: BTreeMap::new(),
            umask: umask(),
            recorded: Vec::new(),
            left_out: 0,
            submodules: 0,
            interruptions: 0,
            times: Times::default(),
        }
    }

    fn run(mut self, restores: usize) {
        let begin = Instant::now();
        self.place.json(&["init"]);
        for commit in self.git.commits() {
            self.record(commit);
        }
        let replayed = begin.elapsed();
        let checkpoints = self.place.json(&["status"])["checkpoints"].clone();
        let checked = self.place.json(&["verify"]);
        assert_eq!(checked["damaged"], 0, "{checked}");
        self.restore_in_place(restores);
        self.restore_elsewhere(restores);
        self.report(&checkpoints, replayed);
    }

    /// Checks a commit out, and compares its checkpoint with Git's tree.
    fn record(&mut self, commit: String) {
        // What happens while nobody watches is found at the next start, whether the daemon ended well or not.
        match self.rng.random_range(0..self.calm) {
            0 => self.stop_daemon(),
            1 => self.kill_daemon(),
            _ => {}
        }
        let begin = Instant::now();
        self.git.check_out(&commit);
        self.times.checkout.push(begin.elapsed());
        let begin = Instant::now();
        let ended = self.place.run(&["flush", "--json"]);
        self.times.flush.push(begin.elapsed());
        assert_eq!(ended.code, 0, "commit {}, {commit}: {ended:?}\n{}", self.recorded.len(), self.place.log());
        let flushed = ended.json();
        let text = |field: &str| flushed[field].as_str().unwrap().to_owned();
        let (id, root) = (text("id"), text("root"));
        let context = format!("{}: commit {commit}, state {id}, TL_SEED={}", self.source.display(), self.seed);
        assert_eq!(flushed["complete"], true, "{context}");
        let whole = self.compare(&commit, &id, &context);
        self.recorded.push(Recorded { commit, id, root, whole });
    }

    fn stop_daemon(&mut self) {
        self.place.json(&["stop"]);
        self.interruptions += 1;
    }

    fn kill_daemon(&mut self) {
        if let Some(pid) = self.place.json(&["status"])["daemon"].as_i64() {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            self.interruptions += 1;
        }
    }

    /// Compares names, kinds, modes and contents. Returns whether all of the commit is recorded: what its own rules ignore may be absent, and nothing else.
    fn compare(&mut self, commit: &str, state: &str, context: &str) -> bool {
        let mut expected = self.git.tree(commit);
        let listed = self.place.json(&["ls", "-R", "--at", state]);
        let mut unread: Vec<(Vec<u8>, git::Node, String, u64)> = Vec::new();
        for entry in listed.as_array().unwrap() {
            let path = path_of(&entry["path"]);
            let shown = path.escape_ascii().to_string();
            let node = expected.remove(&path).unwrap_or_else(|| panic!("{context}: {shown} is not in Git's tree"));
            let (kind, bits) = match node.kind {
                Kind::File { executable: false } => ("file", 0o666 & !self.umask),
                Kind::File { executable: true } => ("file", 0o777 & !self.umask),
                Kind::Link => ("symlink", 0o777),
                Kind::Directory | Kind::Submodule => ("directory", 0o777 & !self.umask),
            };
            assert_eq!(entry["kind"], kind, "{context}: {shown}");
            if node.kind != Kind::Link {
                assert_eq!(entry["mode"], format!("{bits:04o}"), "{context}: {shown}");
            }
            self.submodules += usize::from(node.kind == Kind::Submodule);
            if kind == "directory" {
                continue;
            }
            let id = entry["id"].as_str().unwrap();
            match self.known.get(id) {
                Some(of_git) => assert_eq!(*of_git, node.id, "{context}: {shown}"),
                None => unread.push((path, node, id.to_owned(), entry["size"].as_u64().unwrap())),
            }
        }
        for path in expected.keys() {
            let shown = path.escape_ascii();
            assert!(self.git.ignores(path), "{context}: {shown} is not recorded");
        }
        self.left_out += expected.len();
        while !unread.is_empty() {
            let mut sum = 0;
            let fits = unread.iter().take(CAT_PATHS_MAX).take_while(|(.., size)| {
                sum += size;
                sum <= CAT_LEN_MAX
            });
            let rest = unread.split_off(fits.count().max(1));
            self.compare_contents(std::mem::replace(&mut unread, rest), state, context);
        }
        expected.is_empty()
    }

    fn compare_contents(&mut self, files: Vec<(Vec<u8>, git::Node, String, u64)>, state: &str, context: &str) {
        let mut arguments = ["cat", "--at", state, "--"].map(OsString::from).to_vec();
        arguments.extend(files.iter().map(|(path, ..)| OsString::from_vec(path.clone())));
        let ended = self.place.run(&arguments).ok();
        let mut contents = ended.stdout.as_slice();
        for (path, node, id, size) in files {
            let shown = path.escape_ascii();
            let (content, rest) = contents.split_at(usize::try_from(size).unwrap());
            contents = rest;
            assert!(content == self.blobs.get(&node.id), "{context}: {shown} is not {} of Git's", node.id);
            let other = self.backwards.insert(node.id.clone(), id.clone());
            assert!(other.is_none_or(|other| other == id), "{context}: {shown} has two ids");
            self.known.insert(id, node.id);
        }
        assert!(contents.is_empty(), "{context}: more than was listed");
    }

    /// States of which nothing was left out.
    fn some_states(&mut self, count: usize) -> Vec<usize> {
        let whole: Vec<usize> = (0..self.recorded.len()).filter(|at| self.recorded[*at].whole).collect();
        (0..count).map(|_| whole[self.rng.random_range(0..whole.len())]).collect()
    }

    fn restore_in_place(&mut self, count: usize) {
        // Ignored files stay where they are in a restore; here they would only be in the way of the comparison.
        self.git.run(&["clean", "-q", "-ffdX", "-e", "!.tl"]);
        let last_whole = self.recorded.iter().rfind(|recorded| recorded.whole).unwrap();
        self.git.check_out(&last_whole.commit.clone());
        let reference = self.reference("reference");
        for at in self.some_states(count) {
            let Recorded { commit, id, root, .. } = &self.recorded[at];
            let context = format!("{} in place, state {id}, TL_SEED={}", self.source.display(), self.seed);
            let begin = Instant::now();
            let restored = self.place.json(&["restore", id, "-y"]);
            self.times.restore.push(begin.elapsed());
            assert_eq!(restored["verified"], true, "{context}: {restored}");
            reference.check_out(commit);
            reference.clean();
            disk::assert_same(&disk::read(&self.place.project()), &disk::read(reference.dir()), &context);
            assert_eq!(disk::rsync_differences(&self.place.project(), reference.dir()), "", "{context}");
            assert_eq!(self.place.json(&["flush"])["root"], root.as_str(), "{context}");
        }
    }

    fn restore_elsewhere(&mut self, count: usize) {
        let reference = self.reference("reference");
        let target = self.place.beside("target");
        for at in self.some_states(count) {
            let Recorded { commit, id, .. } = &self.recorded[at];
            let context = format!("{} elsewhere, state {id}, TL_SEED={}", self.source.display(), self.seed);
            let begin = Instant::now();
            let restored = self.place.json(&["restore", id, "--to", target.to_str().unwrap()]);
            self.times.restore_elsewhere.push(begin.elapsed());
            assert_eq!(restored["verified"], true, "{context}: {restored}");
            reference.check_out(commit);
            reference.clean();
            disk::assert_same(&disk::read(&target), &disk::read(reference.dir()), &context);
            assert_eq!(disk::rsync_differences(&target, reference.dir()), "", "{context}");
            std::fs::remove_dir_all(&target).unwrap();
        }
    }

    /// A checkout that `tl` has nothing to do with.
    fn reference(&self, name: &str) -> Git {
        let dir = self.place.beside(name);
        if dir.exists() {
            return Git::at(dir, self.place.beside("home"));
        }
        Git::clone_of(&self.source, &dir, self.place.beside("home"))
    }

    fn report(&mut self, checkpoints: &Value, replayed: Duration) {
        println!("{}", self.source.display());
        println!(
            "  {} commits, {} distinct trees, {} contents; {checkpoints} checkpoints in {replayed:.1?}",
            self.recorded.len(),
            self.recorded.iter().map(|recorded| &recorded.root).collect::<std::collections::BTreeSet<_>>().len(),
            self.known.len()
        );
        println!(
            "  {} times a submodule was an empty directory; {} times a tracked path was ignored and left out; {} ends of the daemon",
            self.submodules, self.left_out, self.interruptions
        );
        for (name, times) in [
            ("git checkout", &mut self.times.checkout),
            ("tl flush", &mut self.times.flush),
            ("tl restore", &mut self.times.restore),
            ("tl restore --to", &mut self.times.restore_elsewhere),
        ] {
            times.sort_unstable();
            let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
            println!("  {name}: p50 {:.1?}, p99 {:.1?}, longest {:.1?}", at(50), at(99), at(100));
        }
        let memory = self.place.json(&["status"])["memory"].clone();
        println!("  daemon: {memory}");
        if is_long() {
            self.report_sizes();
        }
    }

    /// The size of the store beside that of Git's packs of the same history.
    fn report_sizes(&self) {
        self.place.json(&["stop"]);
        let store = disk::size(&self.place.beside("state/timelapse/stores"));
        let copy = Git::clone_of(&self.source, &self.place.beside("copy"), self.place.beside("home"));
        let packs = copy.dir().join(".git/objects/pack");
        copy.run(&["gc", "--quiet", "--prune=now"]);
        let packed = disk::size(&packs);
        copy.run(&["-c", "pack.window=0", "-c", "pack.depth=0", "repack", "-q", "-a", "-d", "-F"]);
        let without_deltas = disk::size(&packs);
        println!("  store {store} B, git gc's pack {packed} B ({:.2} times)", store as f64 / packed as f64);
        println!("  without deltas {without_deltas} B ({:.2} times)", store as f64 / without_deltas as f64);
    }
}

/// A path as `tl --json` prints it.
fn path_of(value: &Value) -> Vec<u8> {
    match value["hex"].as_str() {
        Some(digits) => hex::decode(digits).unwrap(),
        None => value.as_str().unwrap().as_bytes().to_vec(),
    }
}

/// The bits that the modes of new files lack.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    u32::from_str_radix(line.trim(), 8).unwrap()
}
