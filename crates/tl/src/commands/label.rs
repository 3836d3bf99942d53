//! `tl label`: a short text for a state, shown in lists.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::Request;

use crate::context::Context;
use crate::output;
use crate::session::Session;

/// Give a state a short text that lists show
#[derive(Debug, Args)]
pub struct Arguments {
    /// The text; an empty one takes the label away
    label: String,
    /// The state
    #[arg(default_value = "@")]
    state: String,
}

#[derive(Serialize)]
struct Labelled<'a> {
    id: String,
    label: Option<&'a str>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let Arguments { label, state } = arguments;
    let mut session = Session::open_to_write(context)?;
    let id = session.resolve(state)?.id;
    session.done(Request::Label { id, label: label.clone() })?;
    if context.out.is_json() {
        let label = Some(label.as_str()).filter(|label| !label.is_empty());
        return context.out.json(&Labelled { id: output::checkpoint_id(id), label });
    }
    let paint = context.out.paint();
    let id = paint.id(output::short_id(id));
    context.out.line(if label.is_empty() {
        format!("{id} has no label")
    } else {
        format!("{id} is {}", paint.name(label))
    })
}
