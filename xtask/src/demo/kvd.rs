//! Drives kvd as a user's script would: by its command line, its standard input and its output.

use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::engine::BATCH_FILES;
use super::sources::Source;

pub struct Kvd {
    program: PathBuf,
    database: PathBuf,
}

/// How a load ended.
pub enum Load {
    Finished,
    Killed {
        /// Batches that kvd had acknowledged as durable before.
        acknowledged: usize,
    },
}

impl Kvd {
    pub fn new(program: PathBuf, database: PathBuf) -> Self {
        Self { program, database }
    }

    /// The command as one would type it.
    pub fn command_line(&self, arguments: &[&str]) -> String {
        format!("{} --db {} {}", self.program.display(), self.database.display(), arguments.join(" "))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--db").arg(&self.database).args(arguments);
        command
    }

    /// Runs a command whose output the user sees.
    pub fn show(&self, arguments: &[&str]) -> Result<()> {
        let status = self.command(arguments).status().with_context(|| self.command_line(arguments))?;
        ensure!(status.success(), "{}: {status}", self.command_line(arguments));
        Ok(())
    }

    /// Runs a command and returns what it writes.
    pub fn output(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let output =
            self.command(arguments).stderr(Stdio::inherit()).output().with_context(|| self.command_line(arguments))?;
        ensure!(output.status.success(), "{}: {}", self.command_line(arguments), output.status);
        Ok(output.stdout)
    }

    /// Puts `files` under keys that begin with `load`; kills kvd once it has acknowledged `kill_after` batches.
    pub fn load(&self, files: &[Source], load: &str, kill_after: Option<usize>) -> Result<Load> {
        let every = BATCH_FILES.to_string();
        let arguments = ["batch", "--hex", "--every", &every, "--ack"];
        println!("  $ {}", self.command_line(&arguments));
        let mut child = self
            .command(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| self.command_line(&arguments))?;
        let input = child.stdin.take().context("kvd has no standard input")?;
        let output = child.stdout.take().context("kvd has no standard output")?;
        thread::scope(|scope| {
            let writer = scope.spawn(|| write_batch(input, files, load));
            let mut acknowledged = 0;
            for line in BufReader::new(output).lines() {
                line.context("read what kvd acknowledges")?;
                acknowledged += 1;
                if kill_after == Some(acknowledged) {
                    // On Unix this is signal 9: kvd gets no chance to tidy up.
                    child.kill().context("kill kvd")?;
                    break;
                }
            }
            let status = child.wait().context("wait for kvd")?;
            let written = writer.join().map_err(|_panic| anyhow!("the thread that writes to kvd panicked"))?;
            if kill_after == Some(acknowledged) {
                return Ok(Load::Killed { acknowledged });
            }
            ensure!(status.success(), "{}: {status}", self.command_line(&arguments));
            written.context("write to kvd")?;
            let batches = files.len().div_ceil(BATCH_FILES);
            ensure!(acknowledged >= batches, "kvd acknowledged {acknowledged} of {batches} batches");
            Ok(Load::Finished)
        })
    }

    /// Scans the keys that begin with `load` and `prefix` and compares them, in order, with the first of `files`.
    /// Returns how many there are.
    pub fn compare(&self, load: &str, prefix: &str, files: &[&Source]) -> Result<usize> {
        let encoded = hex::encode(format!("{load}{prefix}"));
        let arguments = ["scan", "--hex", "--prefix", &encoded];
        println!("  $ {}", self.command_line(&arguments));
        let mut child =
            self.command(&arguments).stdout(Stdio::piped()).spawn().with_context(|| self.command_line(&arguments))?;
        let output = child.stdout.take().context("kvd has no standard output")?;
        let mut count = 0;
        for line in BufReader::new(output).lines() {
            let line = line.context("read what kvd scans")?;
            let mut words = line.split_whitespace().map(hex::decode);
            let (Some(Ok(key)), Some(Ok(value)), None) = (words.next(), words.next(), words.next()) else {
                bail!("`kvd scan --hex` printed a line that is not `KEY VALUE`: {:.80}", line);
            };
            let expected = files.get(count).with_context(|| format!("more than {count} keys came back"))?;
            let wanted = format!("{load}{}", expected.path);
            ensure!(key == wanted.as_bytes(), "{} came back in the place of {wanted}", String::from_utf8_lossy(&key));
            ensure!(value == expected.content, "{wanted} came back with other bytes");
            count += 1;
        }
        let status = child.wait().context("wait for kvd")?;
        ensure!(status.success(), "{}: {status}", self.command_line(&arguments));
        Ok(count)
    }
}

/// Writes `put KEY VALUE` lines. That kvd goes away in the middle is no error here: the reader of its output tells why.
fn write_batch(input: ChildStdin, files: &[Source], load: &str) -> Result<()> {
    let mut input = BufWriter::with_capacity(1 << 20, input);
    for file in files {
        let key = hex::encode(format!("{load}{}", file.path));
        match writeln!(input, "put {key} {}", hex::encode(&file.content)) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
    match input.flush() {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
