//! Colours, by what they mean.

use std::fmt;

use anstyle::{AnsiColor, Style};

use crate::cli::ColorWhen;
use crate::environment::Environment;

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    enabled: bool,
}

/// Text in a style.
#[derive(Debug, Clone, Copy)]
pub struct Painted<T> {
    text: T,
    style: Style,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = self.style;
        write!(f, "{style}")?;
        self.text.fmt(f)?;
        write!(f, "{style:#}")
    }
}

impl Paint {
    /// Whether text is coloured that goes to a terminal, or elsewhere.
    pub fn choose(when: ColorWhen, environment: &Environment, is_terminal: bool) -> Self {
        let enabled = match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => is_terminal && !environment.no_color && !environment.dumb_terminal,
        };
        Self { enabled }
    }

    /// No colour.
    #[cfg(test)]
    pub const fn plain() -> Self {
        Self { enabled: false }
    }

    /// True if there is any colour.
    pub const fn is_enabled(self) -> bool {
        self.enabled
    }

    /// Text in any style.
    pub const fn styled<T>(self, text: T, style: Style) -> Painted<T> {
        Painted { text, style: if self.enabled { style } else { Style::new() } }
    }

    /// An id.
    pub const fn id<T>(self, text: T) -> Painted<T> {
        self.styled(text, AnsiColor::Yellow.on_default())
    }

    /// What was added, or is well.
    pub const fn good<T>(self, text: T) -> Painted<T> {
        self.styled(text, AnsiColor::Green.on_default())
    }

    /// What was removed, or is not well.
    pub const fn bad<T>(self, text: T) -> Painted<T> {
        self.styled(text, AnsiColor::Red.on_default())
    }

    /// A name, such as that of a pin.
    pub const fn name<T>(self, text: T) -> Painted<T> {
        self.styled(text, AnsiColor::Cyan.on_default())
    }

    /// What matters most.
    pub const fn strong<T>(self, text: T) -> Painted<T> {
        self.styled(text, Style::new().bold())
    }

    /// What matters least.
    pub const fn faint<T>(self, text: T) -> Painted<T> {
        self.styled(text, Style::new().dimmed())
    }
}
