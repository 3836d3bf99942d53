//! A Git repository with a random history: files, links, submodules, odd names, kinds that change, branches.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::git::Git;

/// The files of a commit: their modes as Git writes them, and what they hold.
type State = BTreeMap<Vec<u8>, (&'static str, Vec<u8>)>;

const NAMES: [&[u8]; 14] = [
    b"a",
    b"b",
    b"src",
    b"lib.rs",
    b"with space",
    b"new\nline",
    b"\xff\xfe",
    b".hidden",
    b"tilde~",
    b"x.tmp",
    b"y.log",
    "\u{fc}\u{e9}".as_bytes(),
    b"-option",
    b"at@sign",
];
/// Rules that leave some of the names out.
const RULES: [&[u8]; 3] = [b"*.log\n", b"*.log\n!y.log\n", b"/src/a\n"];

/// Makes a repository with `commits` commits in `dir`, the same for the same seed, and returns it with the last one checked out.
pub fn random(dir: PathBuf, home: PathBuf, seed: u64, commits: usize) -> Git {
    let git = Git::init(dir, home);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut states = vec![State::new()];
    let mut stream = Vec::new();
    for number in 1..=commits {
        // Now and then a branch begins at an older commit.
        let parent = if number > 2 && rng.random_bool(0.1) { rng.random_range(1..number) } else { number - 1 };
        let mut state = states[parent].clone();
        for _ in 0..rng.random_range(1..6) {
            change(&mut state, &mut rng);
        }
        write_commit(&mut stream, number, parent, &state);
        states.push(state);
    }
    let mut import = git.command(&["fast-import", "--quiet", "--force"]).stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(&stream).unwrap();
    assert!(import.wait().unwrap().success(), "seed {seed}");
    git.check_out("main");
    git
}

/// A commit for `git fast-import`. One that begins a branch merges the end of the last one, so that all commits lead to the last.
fn write_commit(stream: &mut Vec<u8>, number: usize, parent: usize, state: &State) {
    let mut line = |text: &[u8]| stream.extend_from_slice(text);
    line(format!("commit refs/heads/main\nmark :{number}\n").as_bytes());
    line(format!("committer A <a@example.org> {} +0000\ndata 0\n", 1_700_000_000 + number).as_bytes());
    if parent > 0 {
        line(format!("from :{parent}\n").as_bytes());
    }
    if parent + 1 < number {
        line(format!("merge :{}\n", number - 1).as_bytes());
    }
    line(b"deleteall\n");
    for (path, (mode, content)) in state {
        let path: String = path.iter().map(|byte| format!("\\{byte:03o}")).collect();
        if *mode == "160000" {
            line(format!("M 160000 {} \"{path}\"\n", "c".repeat(40)).as_bytes());
        } else {
            line(format!("M {mode} inline \"{path}\"\ndata {}\n", content.len()).as_bytes());
            line(content);
            line(b"\n");
        }
    }
}

fn change(state: &mut State, rng: &mut StdRng) {
    let path = path(rng);
    let existing = {
        let paths: Vec<_> = state.keys().cloned().collect();
        (!paths.is_empty()).then(|| paths[rng.random_range(0..paths.len())].clone())
    };
    match (rng.random_range(0..12), existing) {
        (0..=3, _) | (_, None) => place(state, path, (["100644", "100755"][rng.random_range(0..2)], content(rng))),
        (4, _) => place(state, path, ("120000", [b"target/".as_slice(), NAMES[rng.random_range(0..14)]].concat())),
        (5, _) => place(state, path, ("160000", Vec::new())),
        (6, _) => place(state, b".gitignore".to_vec(), ("100644", RULES[rng.random_range(0..3)].to_vec())),
        (7, Some(old)) => drop(state.remove(&old)),
        (8, Some(old)) => {
            let node = state.remove(&old).unwrap();
            place(state, path, node);
        }
        (9, Some(old)) => {
            // A directory, if the path begins with one.
            let top: Vec<u8> = old.split(|byte| *byte == b'/').next().unwrap().to_vec();
            state.retain(|path, _| !(path.starts_with(&top) && path.get(top.len()) == Some(&b'/')));
        }
        (_, Some(old)) => {
            let node = state.get_mut(&old).unwrap();
            if node.0.starts_with("100") {
                *node = (["100644", "100755"][rng.random_range(0..2)], content(rng));
            }
        }
    }
}

/// Puts a file where nothing, or something else, was.
fn place(state: &mut State, path: Vec<u8>, node: (&'static str, Vec<u8>)) {
    let is_in = |inner: &[u8], outer: &[u8]| inner.starts_with(outer) && inner.get(outer.len()) == Some(&b'/');
    state.retain(|other, _| !is_in(other, &path) && !is_in(&path, other));
    state.insert(path, node);
}

fn path(rng: &mut StdRng) -> Vec<u8> {
    let depth = rng.random_range(1..4);
    let names: Vec<&[u8]> = (0..depth).map(|_| NAMES[rng.random_range(0..NAMES.len())]).collect();
    names.join(&b'/')
}

fn content(rng: &mut StdRng) -> Vec<u8> {
    let len = [0, 10, 300, 5000, 150_000][rng.random_range(0..5)];
    let byte: u8 = rng.random();
    (0..len).map(|at: usize| byte.wrapping_mul((at >> 4) as u8) ^ byte).collect()
}
