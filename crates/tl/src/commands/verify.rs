//! `tl verify`: what is stored is read back and hashed.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::{Answer, Damage, Item, Request, Verify};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, Bar, Output};
use crate::session::{Session, unexpected};

/// Read back everything that is stored, and compare it with what was recorded
#[derive(Debug, Args)]
pub struct Arguments {
    /// Read only this share of the objects, chosen at random, such as 0.1
    #[arg(long, value_name = "SHARE")]
    sample: Option<f64>,
}

/// Something that is damaged, for programs.
#[derive(Debug, Serialize)]
pub struct DamageJson<'a> {
    what: &'a str,
    reason: &'a str,
    mended: bool,
}

impl<'a> From<&'a Damage> for DamageJson<'a> {
    fn from(damage: &'a Damage) -> Self {
        Self { what: &damage.what, reason: &damage.reason, mended: damage.mended }
    }
}

#[derive(Serialize)]
struct VerifiedJson<'a> {
    objects: u64,
    bytes: u64,
    checkpoints: u64,
    entries: u64,
    damaged: u64,
    damage: Vec<DamageJson<'a>>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let request = Request::Verify(Verify { sample: arguments.sample });
    let (answer, damage) = ask(context, &mut Session::open(context)?, request)?;
    let Answer::Verified(verified) = answer else { return Err(unexpected(&answer)) };
    if context.out.is_json() {
        context.out.json(&VerifiedJson {
            objects: verified.objects,
            bytes: verified.bytes,
            checkpoints: verified.checkpoints,
            entries: verified.entries,
            damaged: verified.damaged,
            damage: damage.iter().map(DamageJson::from).collect(),
        })?;
    } else {
        show(&mut context.out, &damage)?;
        context.out.line(format!(
            "read {} objects ({}) and {} states, compared {} entries",
            verified.objects,
            output::bytes(verified.bytes),
            verified.checkpoints,
            verified.entries,
        ))?;
    }
    if verified.damaged > 0 {
        let message = format!("the store is damaged in {} places", verified.damaged);
        return Err(Failure::damaged(message, "`tl repair` mends what the working directory still has"));
    }
    Ok(())
}

/// Asks for something that tells about damage, and gathers that.
pub fn ask(context: &Context, session: &mut Session, request: Request) -> Result<(Answer, Vec<Damage>)> {
    let mut bar = Bar::new(&context.environment, context.out.is_json());
    let mut damage = Vec::new();
    let answer = session.ask_each(request, |item| {
        match item {
            Item::Progress(progress) => bar.show(&progress),
            Item::Damage(one) => damage.push(one),
            _ => {}
        }
        Ok(())
    })?;
    Ok((answer, damage))
}

/// Lists damage for people.
pub fn show(out: &mut Output, damage: &[Damage]) -> Result<()> {
    let paint = out.paint();
    for Damage { what, reason, mended } in damage {
        let state = if *mended { paint.good("mended") } else { paint.bad("damaged") };
        out.line(format!("{state}  {what}: {reason}"))?;
    }
    Ok(())
}
