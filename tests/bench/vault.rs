//! Keys replaced under load: how long it takes, and what reads and writes feel of it.
//!
//! A store on disk in this process with rows such as credentials are, two hundred reads and
//! writes a second on them, first in peace, then while root key and the organisation's key are
//! replaced and everything is resealed. Every read must give what was written, every write must
//! find the version that was read. Knows no gateway.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tidegate_model::{OrgId, SystemClock};
use tidegate_store::{Batch, EmbeddedStore, Expect, FileKeys, SledOptions, Store, Table};

use crate::{latency::Latencies, report::Report};

/// Reads and writes in a second.
const PER_SECOND: u64 = 200;
/// Rows in one piece of resealing.
const PIECE: usize = 128;
/// How long is measured in peace.
const PEACE: Duration = Duration::from_secs(5);

/// Measures with so many rows, resealing at most `rate` of them a second; 0 for all at once.
pub(crate) fn measure(report: &mut Report, dir: &Path, rows: u32, rate: u32) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir)?;
    let keys = Arc::new(FileKeys::open(dir.join("root.key"))?);
    let options = SledOptions::new(dir.join("store"));
    let store = Arc::new(EmbeddedStore::sled(options, keys, Arc::new(SystemClock))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        fill(&store, rows).await?;
        let peace = under_load(&store, rows, async || {
            tokio::time::sleep(PEACE).await;
            Ok(())
        });
        let (mut peace, ()) = peace.await?;
        let start = Instant::now();
        let (mut busy, resealed) =
            under_load(&store, rows, async || rotate(&store, rate).await).await?;
        let spent = start.elapsed();
        let faults = store.verify().await?.faults;
        ensure!(faults.is_empty(), "the store does not hold: {faults:?}");
        let by_key = store.rows_by_key(&OrgId::default_org())?;
        ensure!(by_key.len() == 1, "rows are under several keys: {by_key:?}");
        report.set("rotation_rows", f64::from(rows));
        report.set("rotation_resealed", resealed as f64);
        report.set("rotation_seconds", spent.as_secs_f64());
        for (name, latencies) in [("peace", &mut peace), ("rotation", &mut busy)] {
            let [reads, writes] = latencies;
            report.set(&format!("vault_{name}_read_p50_us"), reads.quantile_us(0.5));
            report.set(&format!("vault_{name}_read_p99_us"), reads.quantile_us(0.99));
            report.set(&format!("vault_{name}_write_p50_us"), writes.quantile_us(0.5));
            report.set(&format!("vault_{name}_write_p99_us"), writes.quantile_us(0.99));
        }
        Ok(())
    })
}

fn key(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// What a row says when it was written so often.
fn value(n: u32, times: u64) -> Vec<u8> {
    format!("{n} {times} {}", "t".repeat(500)).into_bytes()
}

async fn fill(store: &EmbeddedStore, rows: u32) -> Result<()> {
    let org = OrgId::default_org();
    for first in (0..rows).step_by(500) {
        let batch = (first..rows.min(first + 500)).fold(Batch::new(), |batch, n| {
            batch.put(Table::Credential, &org, &key(n), value(n, 0))
        });
        store.commit(batch).await?;
    }
    Ok(())
}

/// Reads and writes at their pace while `work` runs; how long reads and writes took.
async fn under_load<T>(
    store: &Arc<EmbeddedStore>,
    rows: u32,
    work: impl AsyncFnOnce() -> Result<T>,
) -> Result<([Latencies; 2], T)> {
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(Arc::clone(store), rows, Arc::clone(&stop)));
    let done = work().await;
    stop.store(true, Ordering::SeqCst);
    let latencies = load.await??;
    Ok((latencies, done?))
}

async fn load(
    store: Arc<EmbeddedStore>,
    rows: u32,
    stop: Arc<AtomicBool>,
) -> Result<[Latencies; 2]> {
    let org = OrgId::default_org();
    let mut latencies = [Latencies::with_capacity(1 << 16), Latencies::with_capacity(1 << 16)];
    let mut ticks = tokio::time::interval(Duration::from_secs(2) / u32::try_from(PER_SECOND)?);
    let mut at = 0_u32;
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        // All over the table, in no order that the resealing has.
        at = at.wrapping_add(2_654_435_761);
        let n = at % rows;
        let start = Instant::now();
        let found = store.get(Table::Credential, &org, &key(n)).await?;
        latencies[0].record(start.elapsed());
        let found = found.context("a row is gone")?;
        let text = String::from_utf8(found.value.clone())?;
        let times: u64 = text.split(' ').nth(1).unwrap_or_default().parse()?;
        ensure!(found.value == value(n, times), "a row holds something else");
        let expect = Expect::Version(found.version);
        let (org, value) = (org.clone(), value(n, times + 1));
        let batch = Batch::new().put_if(Table::Credential, (&org, &key(n)), value, expect);
        let start = Instant::now();
        store.commit(batch).await.context("a write failed")?;
        latencies[1].record(start.elapsed());
    }
    Ok(latencies)
}

/// Replaces both keys and reseals everything; how many rows.
async fn rotate(store: &EmbeddedStore, rate: u32) -> Result<u64> {
    let org = OrgId::default_org();
    store.rotate_root().await?;
    store.rotate_org(&org).await?;
    let (mut from, mut resealed) = (Vec::new(), 0);
    loop {
        let piece = store.reseal(&org, &from, PIECE).await?;
        ensure!(piece.closed == 0, "a row does not open");
        resealed += piece.resealed;
        match piece.next {
            Some(next) => from = next,
            None => return Ok(resealed),
        }
        if rate > 0 {
            let rows = u32::try_from(piece.resealed)?;
            tokio::time::sleep(Duration::from_secs(1) * rows / rate).await;
        }
    }
}
