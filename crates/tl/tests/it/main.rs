//! Runs the real program, each command in a module of its own.

mod acceptance;
mod past;
mod place;

mod bisect;
mod blame;
mod cat;
mod completions;
mod config;
mod diff;
mod doctor;
mod du;
mod external;
mod failures;
mod flush;
mod gc;
mod grep;
mod info;
mod init;
mod label;
mod log;
mod ls;
mod pins;
mod purge;
mod repair;
mod restore;
mod run;
mod show;
mod start;
mod status;
mod stores;
mod verify;
mod watch;
