//! Writes to a log, payloads, a store and blobs until it is killed, and says on stdout what
//! it was promised is durable: `ack KIND N`, one line each.
//!
//! `crash_writer DIR disk|process THREADS ROUND`; numbers begin at ROUND × 1,000,000,000. With
//! `process`, log records are acknowledged when they are written, not when they are flushed.

use std::{error::Error, io::Write as _, path::Path, sync::Arc};

use tidegate_model::{OrgId, SystemClock};
use tidegate_store::{
    Batch, EmbeddedStore, FileKeys, SledOptions, Store, Table,
    blob::BlobArea,
    log::{Log, LogOptions},
    payload::Payloads,
};

#[path = "crash/shape.rs"]
mod shape;

struct Parts {
    log: Log,
    payloads: Arc<Payloads>,
    store: EmbeddedStore,
    blobs: BlobArea,
    org: OrgId,
    waits: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, durability, threads, round] = arguments.as_slice() else {
        return Err("use: crash_writer DIR disk|process THREADS ROUND".into());
    };
    let parts = open(Path::new(dir), durability == "disk")?;
    let (threads, round): (u64, u64) = (threads.parse()?, round.parse()?);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (parts, first) = (&parts, round * 1_000_000_000 + thread * 1_000_000);
            scope.spawn(move || {
                if let Err(error) = write(parts, first) {
                    // The parent looks for this line.
                    drop(writeln!(std::io::stdout().lock(), "failed {error}"));
                }
            });
        }
    });
    Ok(())
}

fn open(dir: &Path, waits: bool) -> Result<Parts, Box<dyn Error>> {
    let keys = Arc::new(FileKeys::open(dir.join("root.key"))?);
    let options = SledOptions::new(dir.join("store"));
    let store = EmbeddedStore::sled(options, keys, Arc::new(SystemClock))?;
    let ring = Arc::clone(store.keyring());
    let options = LogOptions {
        segment_bytes: 1 << 20,
        first_segment_bytes: 64 << 10,
        ..LogOptions::new(dir.join("log"), shape::ORIGIN)
    };
    let (log, _) = Log::open(options, &ring.log_keys())?;
    let payloads = Arc::new(Payloads::open(dir.join("payloads"), Arc::clone(&ring))?);
    log.accompany(Arc::clone(&payloads) as _);
    let blobs = BlobArea::open(dir.join("blobs"), ring)?;
    let org = OrgId::default_org();
    runtime()?.block_on(store.ensure_org(&org))?;
    Ok(Parts { log, payloads, store, blobs, org, waits })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().build()
}

fn write(parts: &Parts, first: u64) -> Result<(), Box<dyn Error>> {
    let runtime = runtime()?;
    for n in first.. {
        match n % 8 {
            0 if n % 64 == 0 => {
                let id = parts.blobs.put(&parts.org, &shape::large(n))?;
                let batch =
                    Batch::new().put(Table::Blob, &parts.org, &shape::key(n), id.0.to_vec());
                runtime.block_on(parts.store.commit(batch))?;
                ack("blob", n)?;
            }
            0..=2 => {
                let batch =
                    Batch::new().put(Table::Job, &parts.org, &shape::key(n), shape::value(n));
                runtime.block_on(parts.store.commit(batch))?;
                ack("store", n)?;
            }
            3 => {
                let payload = parts.payloads.put(&parts.org, &shape::value(n))?;
                append(parts, &runtime, &shape::record(n, Some(&payload.to_string())))?;
                ack("payload", n)?;
            }
            _ => {
                append(parts, &runtime, &shape::record(n, None))?;
                ack("log", n)?;
            }
        }
    }
    Ok(())
}

fn append(
    parts: &Parts,
    runtime: &tokio::runtime::Runtime,
    record: &[u8],
) -> Result<(), Box<dyn Error>> {
    let appended = parts.log.append(record)?;
    if parts.waits {
        runtime.block_on(parts.log.wait_durable(appended.seq))?;
    }
    Ok(())
}

fn ack(kind: &str, n: u64) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "ack {kind} {n}")
}
