//! Pages: their memory and the header that all of them have. What is in them is known to `node` (tree pages) and `store` (the rest).

mod buffer;
mod header;

pub(crate) use buffer::{Head, Page, PageMut, PageRef};
pub(crate) use header::{PAGE_HEADER_LEN, PageHeader, PageKind, check, run_pages, seal};
