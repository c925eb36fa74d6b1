//! The disk's own flush time, the yardstick for `disk` durability.
//!
//! Writes the way the audit log does: into a file already filled with zeros, one record, one
//! `fdatasync`. Knows nothing of the log's format.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::Instant,
};

use anyhow::Result;

use crate::latency::Latencies;

const RECORD: [u8; 512] = [7; 512];

/// `rounds` records of 512 bytes, each flushed before the next.
pub(crate) fn flushes(dir: &Path, rounds: usize) -> Result<Latencies> {
    let path = dir.join("flush.probe");
    let mut file = File::create(&path)?;
    file.write_all(&vec![0; RECORD.len() * (rounds + 1)])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut latencies = Latencies::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        file.write_all(&RECORD)?;
        file.sync_data()?;
        latencies.record(start.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(latencies)
}
