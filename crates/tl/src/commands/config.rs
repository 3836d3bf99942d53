//! `tl config`: the settings of a store.
//!
//! No setting names a command to run or a path outside of the directory: a store's settings could come from somebody else.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use tl_daemon::wire::{Answer, Request, Setting};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Session, unexpected};

/// Show or change the settings
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show all settings
    List,
    /// Show one setting
    Get {
        /// Its name, such as `capture.window_ms`
        key: String,
    },
    /// Change a setting
    Set {
        /// Its name
        key: String,
        /// Its new value
        value: String,
    },
    /// Go back to what holds when nothing is said
    Unset {
        /// Its name
        key: String,
    },
}

#[derive(Serialize)]
struct SettingJson<'a> {
    key: &'a str,
    value: &'a str,
    is_default: bool,
    about: &'a str,
}

impl<'a> From<&'a Setting> for SettingJson<'a> {
    fn from(setting: &'a Setting) -> Self {
        Self { key: &setting.key, value: &setting.value, is_default: setting.is_default, about: &setting.about }
    }
}

pub fn run(context: &mut Context, arguments: Arguments) -> Result<()> {
    let (request, key) = match arguments.action {
        None | Some(Action::List) => (Request::Settings, None),
        Some(Action::Get { key }) => (Request::Settings, Some(key)),
        Some(Action::Set { key, value }) => (Request::Set { key: key.clone(), value: Some(value) }, Some(key)),
        Some(Action::Unset { key }) => (Request::Set { key: key.clone(), value: None }, Some(key)),
    };
    let mut session =
        if matches!(request, Request::Set { .. }) { Session::open_to_write(context)? } else { Session::open(context)? };
    let settings = match session.ask(request)? {
        Answer::Settings(settings) => settings,
        other => return Err(unexpected(&other)),
    };
    match key {
        None => list(&mut context.out, &settings),
        Some(key) => match settings.iter().find(|setting| setting.key == key) {
            Some(setting) if context.out.is_json() => context.out.json(&SettingJson::from(setting)),
            Some(setting) => context.out.line(&setting.value),
            None => Err(Failure::absent(format!("there is no setting {key:?}"), "`tl config list` shows all of them")),
        },
    }
}

fn list(out: &mut Output, settings: &[Setting]) -> Result<()> {
    if out.is_json() {
        return out.json(&settings.iter().map(SettingJson::from).collect::<Vec<_>>());
    }
    out.page()?;
    let paint = out.paint();
    for setting in settings {
        let value = if setting.is_default { paint.faint(&setting.value) } else { paint.strong(&setting.value) };
        out.line(format!("{} = {value}", paint.name(&setting.key)))?;
        out.line(format!("    {}", setting.about))?;
    }
    Ok(())
}
