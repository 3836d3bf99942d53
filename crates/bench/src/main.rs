//! `bench`: granite and the floor. The program in `bench-peers/` adds the other engines.

use std::process::ExitCode;

use bench::alloc::CountingAllocator;
use bench::engines;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    bench::cli::main(&engines::own())
}
