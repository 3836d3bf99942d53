//! Runs the real program, each command in a module of its own.

mod place;

mod completions;
mod external;
mod failures;
mod stores;
