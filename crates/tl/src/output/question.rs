//! Questions before something that cannot be taken back.

use std::io::{self, BufRead, Write};

use anyhow::{Context as _, Result};

use crate::environment::Environment;
use crate::failure::Failure;

/// Asks on the terminal; anything but a yes ends the command. Where nobody can be asked, the error says which option answers.
pub fn confirm(environment: &Environment, question: &str) -> Result<()> {
    if !environment.can_ask {
        return Err(Failure::input(
            format!("{question} Nobody can be asked here"),
            "`--yes` answers the question with yes",
        ));
    }
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Declined.into()),
    }
}
