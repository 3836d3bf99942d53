//! `tl repair`: what is damaged is mended where it can be, and what is lost is said.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::{Answer, Repair, Request};

use super::verify::{self, DamageJson};
use crate::context::Context;
use crate::failure::Failure;
use crate::session::{Session, unexpected};

/// Mend what is damaged from the files that are still there, and say what is lost
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct RepairedJson<'a> {
    dry_run: bool,
    found: u64,
    mended: u64,
    lost: u64,
    damage: Vec<DamageJson<'a>>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let request = Request::Repair(Repair { dry_run: arguments.dry_run });
    let (answer, damage) = verify::ask(context, &mut Session::open_to_write(context)?, request)?;
    let Answer::Repaired(repaired) = answer else { return Err(unexpected(&answer)) };
    if context.out.is_json() {
        context.out.json(&RepairedJson {
            dry_run: repaired.dry_run,
            found: repaired.found,
            mended: repaired.mended,
            lost: repaired.lost,
            damage: damage.iter().map(DamageJson::from).collect(),
        })?;
    } else {
        verify::show(&mut context.out, &damage)?;
        let would = if repaired.dry_run { "would be mended" } else { "mended" };
        let line = match repaired.found {
            0 => "nothing is damaged".to_owned(),
            found => format!("{found} places are damaged: {} {would}, {} lost", repaired.mended, repaired.lost),
        };
        context.out.line(line)?;
    }
    if repaired.lost > 0 {
        let message = format!("{} places cannot be mended", repaired.lost);
        return Err(Failure::damaged(message, "states that need what is lost can be restored without it"));
    }
    Ok(())
}
