//! The harness with the engines that granite is compared with. All run without compression, with the same memory and the same
//! durability; each as its users would configure it for the workload.

mod fjall_engine;
mod lmdb;
mod redb_engine;
mod rocks;
mod scan;
mod sled_engine;
mod sqlite;

use std::process::ExitCode;

use bench::alloc::CountingAllocator;
use bench::engines;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    if cfg!(all(target_arch = "x86_64", not(target_feature = "sse4.2"))) {
        eprintln!(
            "warning: built without SSE 4.2, so RocksDB computes checksums slowly; build with `cargo peers` instead"
        );
    }
    let mut all = engines::own();
    all.extend(rocks::specs());
    all.extend(fjall_engine::specs());
    all.push(redb_engine::spec());
    all.push(lmdb::spec());
    all.push(sqlite::spec());
    all.push(sled_engine::spec());
    bench::cli::main(&all)
}

/// The version of a package in the lock file that this program was built with.
fn locked_version(package: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let name = format!("name = \"{package}\"\nversion = \"");
    lock.split_once(&name)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("unknown", |(version, _)| version)
        .to_owned()
}
