//! The program through which long text is shown.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// What is used where the environment names none.
const DEFAULT: &str = "less";

/// A pager and the way to it.
#[derive(Debug)]
pub struct Pager {
    child: Child,
    stdin: Option<ChildStdin>,
}

/// The command line to use; `None` if the user wants none.
pub fn command(wanted: Option<&OsStr>) -> Option<OsString> {
    match wanted {
        None => Some(DEFAULT.into()),
        Some(command) if command.is_empty() || command == "cat" => None,
        Some(command) => Some(command.to_owned()),
    }
}

impl Pager {
    pub fn start(command: &OsStr) -> io::Result<Self> {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(command)
            // Leave when it fits on a screen, pass colours, leave the screen as it is.
            .env("LESS", std::env::var_os("LESS").unwrap_or_else(|| "FRX".into()))
            .stdin(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }

    /// Ends the text and waits for the reader.
    pub fn wait(mut self) -> io::Result<()> {
        drop(self.stdin.take());
        self.child.wait().map(|_status| ())
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stdin {
            Some(stdin) => stdin.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdin.as_mut().map_or(Ok(()), Write::flush)
    }
}
