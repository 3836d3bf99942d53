//! Git repositories, asked through `git`.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A repository with a working tree, and a home in which no settings of the user's are.
pub struct Git {
    dir: PathBuf,
    home: PathBuf,
}

/// What stands at a path of a tree of Git's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File {
        executable: bool,
    },
    Link,
    Directory,
    /// Another repository, of which a checkout without submodules makes an empty directory.
    Submodule,
}

/// A path's kind and the id that Git gives to what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    pub id: String,
}

impl Git {
    /// The repository in `dir`.
    pub fn at(dir: PathBuf, home: PathBuf) -> Self {
        Self { dir, home }
    }

    /// A new repository in `dir`, which must be an empty directory or absent.
    pub fn init(dir: PathBuf, home: PathBuf) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        let git = Self::at(dir, home);
        git.run(&["init", "-q", "-b", "main"]);
        git
    }

    /// The history of what `source` has checked out, in `dir`, with nothing checked out. Files will be written as they are stored, whatever attributes they have.
    pub fn clone_of(source: &Path, dir: &Path, home: PathBuf) -> Self {
        let git = Self::at(dir.to_owned(), home);
        let mut clone = git.command(&["clone", "-q", "--no-local", "--single-branch", "--no-tags", "--no-checkout"]);
        clone.arg(source).arg(dir).current_dir("/");
        assert!(clone.status().unwrap().success(), "{} cannot be cloned", source.display());
        std::fs::create_dir_all(dir.join(".git/info")).unwrap();
        let plain = "* -text -eol -filter -ident -working-tree-encoding\n";
        std::fs::write(dir.join(".git/info/attributes"), plain).unwrap();
        git
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `git` in the repository.
    pub fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new("git");
        command.args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*", "-c", "core.autocrlf=false"]);
        command
            .args(["-c", "gc.auto=0", "-c", "advice.detachedHead=false", "-c", "init.defaultBranch=main"])
            .args(arguments);
        if self.dir.is_dir() {
            command.current_dir(&self.dir);
        }
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default()).env("HOME", &self.home);
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "A").env(format!("GIT_{who}_EMAIL"), "a@example.org");
        }
        command
    }

    /// Runs `git` and returns what it printed.
    #[track_caller]
    pub fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Vec<u8> {
        let output = self.command(arguments).stdin(Stdio::null()).output().unwrap();
        let shown: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        assert!(output.status.success(), "git {shown:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Every commit that led to what is checked out, parents first.
    pub fn commits(&self) -> Vec<String> {
        let list = self.run(&["rev-list", "--reverse", "--topo-order", "HEAD"]);
        String::from_utf8(list).unwrap().lines().map(str::to_owned).collect()
    }

    /// Makes the working tree that of a commit, and removes all that is not of it.
    pub fn check_out(&self, commit: &str) {
        self.run(&["checkout", "-q", "-f", "--detach", commit]);
    }

    /// Removes all that is not of the commit that is checked out.
    pub fn clean(&self) {
        self.run(&["clean", "-q", "-ffdx"]);
    }

    /// The tree of a commit, directories included, by path.
    pub fn tree(&self, commit: &str) -> BTreeMap<Vec<u8>, Node> {
        let list = self.run(&["ls-tree", "-r", "-t", "-z", "--full-tree", commit]);
        let entries = list.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        let node = |line: &[u8]| {
            let (head, path) = line.split_at(line.iter().position(|byte| *byte == b'\t').unwrap());
            let head = std::str::from_utf8(head).unwrap().split(' ').collect::<Vec<_>>();
            let kind = match head[0] {
                "100644" => Kind::File { executable: false },
                "100755" => Kind::File { executable: true },
                // Git wrote such modes once.
                "100664" => Kind::File { executable: false },
                "120000" => Kind::Link,
                "040000" => Kind::Directory,
                "160000" => Kind::Submodule,
                other => panic!("mode {other} in {commit}"),
            };
            (path[1..].to_vec(), Node { kind, id: head[2].to_owned() })
        };
        entries.map(node).collect()
    }

    /// True if the rules on the disk ignore a path, whether or not it is tracked.
    pub fn ignores(&self, path: &[u8]) -> bool {
        use std::os::unix::ffi::OsStrExt;

        let mut command = self.command(&["check-ignore", "-q", "--no-index", "--"]);
        match command.arg(OsStr::from_bytes(path)).status().unwrap().code() {
            Some(0) => true,
            Some(1) => false,
            other => panic!("git check-ignore: {other:?}"),
        }
    }

    /// Blobs of the repository.
    pub fn blobs(&self) -> Blobs {
        let mut command = self.command(&["cat-file", "--batch"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (asks, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Blobs { child, asks, answers }
    }
}

/// A `git` that answers with blobs.
pub struct Blobs {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Blobs {
    /// What a blob holds.
    pub fn get(&mut self, id: &str) -> Vec<u8> {
        let asks = self.asks.as_mut().unwrap();
        writeln!(asks, "{id}").unwrap();
        asks.flush().unwrap();
        let mut head = String::new();
        self.answers.read_line(&mut head).unwrap();
        let len = head.trim_end().strip_prefix(&format!("{id} blob ")).unwrap_or_else(|| panic!("{head}"));
        let mut content = vec![0; len.parse::<usize>().unwrap() + 1];
        self.answers.read_exact(&mut content).unwrap();
        content.pop();
        content
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        // The end of its input ends it; only a test that failed meets one that cannot be waited for.
        drop(self.asks.take());
        drop(self.child.wait());
    }
}
