//! `tl repair`: what is damaged is mended where it can be, and what is lost is said.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::session;
use tl_daemon::wire::Item;

use super::verify::{self, DamageJson};
use crate::context::Context;
use crate::failure::Failure;

/// Mend what is damaged from the files that are still there, and say what is lost. The daemon has to be stopped; `tl verify` only looks
#[derive(Debug, Args)]
pub struct Arguments {}

#[derive(Serialize)]
struct RepairedJson<'a> {
    found: u64,
    mended: u64,
    lost: u64,
    damage: Vec<DamageJson<'a>>,
}

pub fn run(context: &mut Context, _arguments: &Arguments) -> Result<()> {
    let place = context.place(&context.locate()?)?;
    let mut damage = Vec::new();
    let repaired = session::repair(&place, &mut |item| {
        if let Item::Damage(one) = item {
            damage.push(one);
        }
    })?;
    if context.out.is_json() {
        context.out.json(&RepairedJson {
            found: repaired.found,
            mended: repaired.mended,
            lost: repaired.lost,
            damage: damage.iter().map(DamageJson::from).collect(),
        })?;
    } else {
        verify::show(&mut context.out, &damage)?;
        let line = match repaired.found {
            0 => "nothing is damaged".to_owned(),
            found => format!("{found} places are damaged: {} mended, {} lost", repaired.mended, repaired.lost),
        };
        context.out.line(line)?;
    }
    if repaired.lost > 0 {
        let message = format!("{} places cannot be mended", repaired.lost);
        return Err(Failure::damaged(message, "states that need what is lost can be restored without it"));
    }
    Ok(())
}
