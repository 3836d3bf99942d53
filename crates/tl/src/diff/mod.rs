//! What differs between two states, and how it is shown.
//!
//! [`renames`] makes files of the changed paths of two trees, [`content`] loads what they held, [`lines`] compares it. [`patch`], [`words`] and [`stat`] show
//! it to people, [`json`] to programs. Nothing here asks for anything but objects.

pub mod content;
pub mod json;
pub mod lines;
pub mod patch;
pub mod renames;
mod similarity;
pub mod stat;
pub mod words;
