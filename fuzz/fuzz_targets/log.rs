#![no_main]

use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| granite::fuzzing::log(&(Arc::new(vfs_sim::SimDisk::new()) as _), bytes));
