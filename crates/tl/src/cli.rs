//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tl_daemon::wire::StoreId;

use crate::commands::{
    bisect, blame, cat, completions, config, daemon, diff, doctor, du, flush, gc, grep, info, init, label, log, ls,
    pin, pins, purge, redo, repair, restore, run, show, start, status, stop, stores, undo, unpin, verify, watch,
};

/// Continuous checkpoints of a working directory: every state of your files can be had back.
#[derive(Debug, Parser)]
#[command(
    name = "tl",
    version,
    max_term_width = 100,
    subcommand_required = true,
    disable_help_subcommand = true,
    after_help = "A state is named by `@` (the newest), `@-3`, an id or its first digits, `5m ago`, a time such as `2026-11-20T12:30`, a pin, or a session.\n\
                  Exit codes: 0 done, 1 not there, 2 change the command or the place, 3 damage, 4 try again later, 5 the system failed."
)]
pub struct Cli {
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Write JSON for programs instead of text for people
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true, help_heading = "Everywhere")]
    pub start_in: Option<PathBuf>,
    /// Use the store with this id, wherever its directory is
    #[arg(long, value_name = "ID", global = true, help_heading = "Everywhere")]
    pub store: Option<StoreId>,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, help_heading = "Everywhere")]
    pub color: ColorWhen,
    /// Do not start a daemon
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub no_daemon: bool,
    /// Do not page long output
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub no_pager: bool,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// One variant for each command, one file for each variant.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Arguments),
    Start(start::Arguments),
    Stop(stop::Arguments),
    Status(status::Arguments),
    Flush(flush::Arguments),
    Watch(watch::Arguments),
    Run(run::Arguments),
    Stores(stores::Arguments),
    Du(du::Arguments),
    Info(info::Arguments),
    Restore(restore::Arguments),
    Undo(undo::Arguments),
    Redo(redo::Arguments),
    Pin(pin::Arguments),
    Unpin(unpin::Arguments),
    Pins(pins::Arguments),
    Label(label::Arguments),
    Log(log::Arguments),
    Show(show::Arguments),
    Diff(diff::Arguments),
    Cat(cat::Arguments),
    Ls(ls::Arguments),
    Blame(blame::Arguments),
    Grep(grep::Arguments),
    Bisect(bisect::Arguments),
    Gc(gc::Arguments),
    Verify(verify::Arguments),
    Repair(repair::Arguments),
    Purge(purge::Arguments),
    Doctor(doctor::Arguments),
    Config(config::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true)]
    Daemon(daemon::Arguments),
    /// `tl NAME` runs the program `tl-NAME`.
    #[command(external_subcommand)]
    External(Vec<OsString>),
}
