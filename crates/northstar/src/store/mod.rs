//! The data file below the trees: pages and their cache, metas, free space, and what a meta points to.

mod catalog;
mod free_list;
mod meta;
mod pages;
mod space;
mod table;

pub(crate) use catalog::{Catalog, Directory, LogPosition, NAME_LEN_MAX, RootRecord, TREES_MAX, TreeState};
pub(crate) use free_list::{Freed, Run, content_run};
pub(crate) use meta::{META_PAGES, Meta, PAGE_SIZES, read_newest};
pub(crate) use pages::PageStore;
pub(crate) use space::Space;
