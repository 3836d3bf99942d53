//! Bytes of unknown origin as text for people: names, messages and lines of files, none of which may drive a terminal.

mod canvas;
mod escape;
mod quote;

pub use canvas::Canvas;
pub use escape::Escaped;
pub use quote::Quoted;
