//! How far long work is, on standard error if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tl_daemon::wire::Progress;

use crate::environment::Environment;

/// A line that shows how far work is. It goes away when dropped.
#[derive(Debug)]
pub struct Bar {
    bar: Option<ProgressBar>,
    shows: bool,
}

impl Bar {
    /// A bar that appears with the first progress; never where nobody would see it.
    pub const fn new(environment: &Environment, json: bool) -> Self {
        Self { bar: None, shows: environment.stderr_is_terminal && !json }
    }

    pub fn show(&mut self, progress: &Progress) {
        if !self.shows {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let template = match progress.total {
            Some(_) => "{spinner} {msg} [{bar:30}] {human_pos}/{human_len} {eta}",
            None => "{spinner} {msg} {human_pos} {elapsed}",
        };
        // The templates are constants; one that could not be read leaves the bar as it was.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_position(progress.done);
        bar.set_message(progress.phase.clone());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
