//! What the machine can do without any store: the scale that every other figure is read against.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;

use anyhow::Result;

use super::{Benchmark, Kind, MIB, Site};
use crate::measure::{Measurement, Work, drive};

const BLOCK_BYTES: usize = MIB;
/// Larger than the caches of a processor.
const COPY_BYTES: usize = 64 * MIB;
const SYNC_EVERY_BLOCKS: u64 = 64;
const FILE_BLOCKS: u64 = 512;

/// A resource of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Machine {
    Memcpy,
    SequentialWrite,
}

impl Machine {
    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        let engine = site.open(crate::engine::EngineOptions {
            durability: crate::engine::Durability::Buffered,
            memory_bytes: 0,
            separate_values_from: None,
            hash_keys_of: None,
        })?;
        let path = site.dir.join("sequential");
        let work: Work<'_> = match self {
            Self::Memcpy => {
                let (from, mut to) = (vec![1_u8; COPY_BYTES], vec![0_u8; COPY_BYTES]);
                Box::new(move |recorder| {
                    recorder.call(|| {
                        to.copy_from_slice(black_box(&from));
                        black_box(&mut to);
                        Ok((1, COPY_BYTES as u64))
                    })?;
                    Ok(true)
                })
            }
            Self::SequentialWrite => {
                let block = site.values().value(&mut site.rng(1), 64 << 10).repeat(BLOCK_BYTES / (64 << 10));
                let mut file = File::create(&path)?;
                let mut blocks = 0;
                Box::new(move |recorder| {
                    recorder.call(|| {
                        file.write_all(&block)?;
                        blocks += 1;
                        if blocks % SYNC_EVERY_BLOCKS == 0 {
                            file.sync_data()?;
                        }
                        if blocks % FILE_BLOCKS == 0 {
                            file = File::create(&path)?;
                        }
                        Ok((1, block.len() as u64))
                    })?;
                    Ok(true)
                })
            }
        };
        drive(&*engine, vec![work], 1, site.warmup(), site.measured())
    }
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    vec![
        Benchmark::new("machine/memcpy", "copies of 64 MiB", Kind::Machine(Machine::Memcpy)),
        Benchmark::new(
            "machine/sequential-write",
            "1 MiB blocks to a growing file, a sync every 64 MiB",
            Kind::Machine(Machine::SequentialWrite),
        ),
    ]
}
