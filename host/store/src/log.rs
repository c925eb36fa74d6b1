//! The append-only segment log.
//!
//! Owns the byte format on disk, the order of records, when they are durable, the Merkle
//! tree and the signed checkpoints over them. One process writes a directory; others may
//! read and verify it meanwhile. Knows nothing of what a record says.
//!
//! Format: `frame` (records), `segment` (files), `tip` (watermark), `note` (checkpoints);
//! the whole of it stands in `host/store/FORMAT.md`. Appending is in `writer`, durability in
//! `flush`, background work in `keeper`, start-up in `recover`.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

mod error;
mod flush;
mod frame;
mod keeper;
mod note;
mod read;
mod recover;
mod report;
mod segment;
mod tail;
#[cfg(test)]
mod tests;
mod tip;
mod tree;
mod verify;
mod writer;

pub use error::LogError;
pub use flush::Durable;
pub use frame::{Hash, MAX_RECORD};
pub(crate) use frame::{hash_at, u32_at, u64_at};
pub(crate) use note::hex;
pub use note::{Checkpoint, NoteError, VerifierKey};
pub use read::{Entry, Reader};
pub use report::{Finding, Report, Verdict};
pub use verify::{key_beside, verify};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use crate::disk::SpaceProbe;
use flush::Flusher;
use keeper::Keeper;
use note::NoteSigner;
use writer::Writer;

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Its directory; made when missing.
    pub dir: PathBuf,
    /// Its name in checkpoints, without spaces and `+`; names the replica too.
    pub origin: String,
    /// Size of a segment, in bytes.
    pub segment_bytes: u64,
    /// Size of the first segment; each next one is four times larger up to `segment_bytes`.
    pub first_segment_bytes: u64,
    /// How long a record may wait for its flush when nobody asks for it.
    pub flush_every: Duration,
    /// Records after which a checkpoint is signed.
    pub checkpoint_records: u64,
    /// Time after which a checkpoint is signed when there are new records.
    pub checkpoint_every: Duration,
    /// Bytes to leave free on the disk when a segment is made.
    pub min_free_bytes: u64,
    /// Tells how much is free.
    pub space: SpaceProbe,
}

impl LogOptions {
    /// The defaults: 64 MiB segments, flush within 50 ms, a checkpoint every 1,000 records or
    /// 10 s, 16 MiB left free.
    pub fn new(dir: impl Into<PathBuf>, origin: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            origin: origin.into(),
            segment_bytes: 64 << 20,
            first_segment_bytes: 1 << 20,
            // The flusher sleeps a little less, so that the promise of 50 ms holds.
            flush_every: Duration::from_millis(40),
            checkpoint_records: 1_000,
            checkpoint_every: Duration::from_secs(10),
            min_free_bytes: 16 << 20,
            space: SpaceProbe::default(),
        }
    }
}

/// The keys of a log: the Ed25519 seed for checkpoints and the MAC key of the watermark.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct LogKeys {
    /// Seed of the signing key.
    pub signing: [u8; 32],
    /// Key of the watermark's MAC.
    pub tip: [u8; 32],
}

impl std::fmt::Debug for LogKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogKeys(***)")
    }
}

/// What was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Number of the record, from 0.
    pub seq: u64,
    /// Its leaf hash.
    pub leaf: Hash,
}

/// What was found and mended when a log was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records in the log.
    pub size: u64,
    /// Records read and checked at start: those after the watermark.
    pub checked: u64,
    /// Bytes of an unfinished tail that were cleared; none of it was acknowledged as durable.
    pub torn_bytes: u64,
}

/// Whether a log can take records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogHealth {
    /// It can.
    Ready,
    /// It can, but the next segment or a checkpoint could not be made yet.
    Low(String),
    /// It cannot; each append tries again.
    Full(String),
    /// It cannot until it is opened anew.
    Failed(String),
}

/// Something beside the log that must be durable before the records that refer to it.
pub trait Companion: Send + Sync {
    /// Makes all it holds durable; called by the flusher before each flush of the log.
    fn sync(&self) -> io::Result<()>;
}

/// An open log; clones share it. The last clone to go signs a checkpoint and closes it.
#[derive(Clone)]
pub struct Log(Arc<Open>);

struct Open {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the appenders, the flusher and the keeper share.
pub(crate) struct Shared {
    pub(crate) options: LogOptions,
    pub(crate) tip_key: zeroize::Zeroizing<[u8; 32]>,
    pub(crate) signer: NoteSigner,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) flusher: Flusher,
    pub(crate) keeper: Keeper,
    pub(crate) companions: Mutex<Vec<Arc<dyn Companion>>>,
    /// Held for as long as the directory is ours.
    _lock: std::fs::File,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Opens or creates the log of a directory, checking all that follows the watermark.
    ///
    /// Writes the public key to `audit.pub` in it. Refuses a directory that another process
    /// writes, that is of another origin, or in which a durable record is damaged or gone.
    pub fn open(options: LogOptions, keys: &LogKeys) -> Result<(Self, Recovery), LogError> {
        let (shared, recovery) = recover::open(options, keys)?;
        let shared = Arc::new(shared);
        let threads = vec![
            keeper::spawn("log-flush", &shared, flush::run)?,
            keeper::spawn("log-keep", &shared, keeper::run)?,
        ];
        Ok((Self(Arc::new(Open { shared, threads: Mutex::new(threads) })), recovery))
    }

    /// Appends one record: framed, hashed and written when this returns, so that it survives
    /// the end of the process; flushed within 50 ms. No thread change, no wait.
    pub fn append(&self, bytes: &[u8]) -> Result<Appended, LogError> {
        let appended = lock(&self.0.shared.writer).append(&self.0.shared, bytes)?;
        self.0.shared.flusher.mark_dirty();
        Ok(appended)
    }

    /// Appends one record and returns when it survives a power loss.
    ///
    /// A caller who is alone flushes by itself, which saves two changes of thread; callers at
    /// the same time share the flusher's flushes. On a runtime with one thread it is always
    /// the flusher's.
    pub async fn append_durable(&self, bytes: &[u8]) -> Result<Appended, LogError> {
        let appended = lock(&self.0.shared.writer).append(&self.0.shared, bytes)?;
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        if matches!(flavor, Ok(RuntimeFlavor::MultiThread))
            && let Some(flushed) = block_in_place(|| flush::flush_if_quiet(&self.0.shared))
        {
            return flushed.map(|()| appended);
        }
        self.wait_durable(appended.seq).await.map(|()| appended)
    }

    /// Waits until the record `seq` and all before it survive a power loss.
    ///
    /// Callers waiting at the same time share one flush.
    pub fn wait_durable(&self, seq: u64) -> Durable {
        Durable::new(Arc::clone(&self.0.shared), seq)
    }

    /// Number of records appended.
    pub fn size(&self) -> u64 {
        lock(&self.0.shared.writer).size()
    }

    /// Number of records that survive a power loss.
    pub fn durable_size(&self) -> u64 {
        self.0.shared.flusher.synced()
    }

    /// Flushes everything appended so far; blocks the thread.
    pub fn flush(&self) -> Result<(), LogError> {
        flush::flush(&self.0.shared)
    }

    /// Flushes, signs a checkpoint over everything appended so far and makes it durable;
    /// gives the signed note. Blocks the thread.
    pub fn checkpoint(&self) -> Result<String, LogError> {
        self.flush()?;
        keeper::sign(&self.0.shared)
    }

    /// The key that verifies its checkpoints.
    pub fn verifier(&self) -> &VerifierKey {
        self.0.shared.signer.verifier()
    }

    /// A reader of the records, from the first.
    pub fn reader(&self) -> Reader {
        Reader::new(&self.0.shared.options.dir)
    }

    /// Whether it can take records.
    pub fn health(&self) -> LogHealth {
        keeper::health(&self.0.shared)
    }

    /// Has `companion` synced before each flush from now on.
    pub fn accompany(&self, companion: Arc<dyn Companion>) {
        lock(&self.0.shared.companions).push(companion);
    }

    /// Flushes, signs a last checkpoint, stops the background threads; appends then fail.
    pub fn close(&self) -> Result<(), LogError> {
        self.0.close()
    }
}

impl Open {
    fn close(&self) -> Result<(), LogError> {
        lock(&self.shared.writer).close();
        let last = flush::flush(&self.shared).and_then(|()| keeper::sign_unsigned(&self.shared));
        self.shared.flusher.stop();
        self.shared.keeper.stop();
        for thread in lock(&self.threads).drain(..) {
            // A thread that panicked has nothing left to stop.
            drop(thread.join());
        }
        last
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(error = %error, "the log could not be closed cleanly");
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("dir", &self.0.shared.options.dir).finish_non_exhaustive()
    }
}
