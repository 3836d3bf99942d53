//! What the fuzz targets share with the tests that run their corpora.

pub mod database;
