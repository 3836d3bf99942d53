//! `tl stores`: every store of this user, and the only way to remove one.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use tl_daemon::stores::{Form, Listed, StoreId, Whereabouts};

use crate::context::Context;
use crate::output::{self, Clock, PathJson, confirm};

/// List every store with its directory, size and last save, or remove one
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Remove a store with all its history, for ever
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Remove {
    /// Its id, as `tl stores` shows it
    id: StoreId,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        None => list(context),
        Some(Action::Remove(arguments)) => remove(context, arguments),
    }
}

#[derive(Serialize)]
struct StoreJson<'a> {
    id: String,
    form: &'static str,
    root: Option<PathJson<'a>>,
    root_state: &'static str,
    disk_bytes: u64,
    last_save: Option<String>,
    error: Option<String>,
}

impl<'a> From<&'a Listed> for StoreJson<'a> {
    fn from(listed: &'a Listed) -> Self {
        Self {
            id: listed.id.to_string(),
            form: match listed.form {
                Form::Outside => "outside",
                Form::InTree => "in-tree",
            },
            root: listed.root.as_ref().map(|root| PathJson::of(&root.path)),
            root_state: match listed.whereabouts {
                Whereabouts::InPlace => "in-place",
                Whereabouts::Gone => "gone",
                Whereabouts::Replaced => "replaced",
            },
            disk_bytes: listed.disk_bytes,
            last_save: last_save_us(listed).map(output::rfc3339),
            error: listed.store.as_ref().err().map(ToString::to_string),
        }
    }
}

fn last_save_us(listed: &Listed) -> Option<u64> {
    u64::try_from(listed.last_write?.as_micros()).ok()
}

fn list(context: &mut Context) -> Result<()> {
    let listed = context.stores()?.list()?;
    if context.out.is_json() {
        return context.out.json(&listed.iter().map(StoreJson::from).collect::<Vec<_>>());
    }
    if listed.is_empty() {
        return context.out.line("no directory is protected yet: `tl init` protects the one in which it runs");
    }
    let clock = Clock::new(context.environment.zone());
    let paint = context.out.paint();
    for listed in &listed {
        let root = listed.root.as_ref().map_or_else(|| "(unknown)".to_owned(), |root| output::file(&root.path));
        let saved = last_save_us(listed).map_or_else(|| "never saved".to_owned(), |time| clock.ago(time));
        let size = output::bytes(listed.disk_bytes);
        let form = if listed.form == Form::InTree { ", in the tree" } else { "" };
        let line = format!("{}  {size:>10}  {saved:>12}  {root}{form}", paint.id(listed.id));
        match (&listed.store, listed.whereabouts) {
            (Err(error), _) => context.out.line(format!("{line}\n    {}", paint.bad(error)))?,
            (_, Whereabouts::InPlace) => context.out.line(line)?,
            (_, Whereabouts::Gone) => context.out.line(format!(
                "{line}\n    {} `tl restore --store {} --to DIR` brings it back",
                paint.bad("gone:"),
                listed.id
            ))?,
            (_, Whereabouts::Replaced) => {
                context.out.line(format!("{line}\n    {}", paint.bad("another directory is there now")))?;
            }
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Removed {
    removed: String,
}

fn remove(context: &mut Context, arguments: &Remove) -> Result<()> {
    let stores = context.stores()?;
    // An id that does not exist is said before anything is asked.
    let found = stores.list()?.into_iter().find(|listed| listed.id == arguments.id);
    let Some(listed) = found else {
        return Err(tl_daemon::Error::UnknownStore { id: arguments.id, marker: None }.into());
    };
    if !arguments.yes {
        let root = listed.root.map_or_else(|| "an unknown directory".to_owned(), |root| output::file(&root.path));
        let size = output::bytes(listed.disk_bytes);
        let question = format!("Remove store {} with the whole history of {root} ({size}), for ever?", arguments.id);
        confirm(&context.environment, &question)?;
    }
    stores.remove(arguments.id)?;
    if context.out.is_json() {
        return context.out.json(&Removed { removed: arguments.id.to_string() });
    }
    context.out.line(format!("removed store {}", arguments.id))
}
