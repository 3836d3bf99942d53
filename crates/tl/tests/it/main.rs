//! Runs the real program, each command in a module of its own.

mod place;

mod completions;
mod config;
mod doctor;
mod du;
mod external;
mod failures;
mod flush;
mod gc;
mod info;
mod init;
mod label;
mod pins;
mod purge;
mod restore;
mod run;
mod start;
mod status;
mod stores;
mod verify;
mod watch;
