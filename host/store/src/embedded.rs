//! A [`Store`] over any [`Rows`]: memory and sled, later redb.
//!
//! Seals values, gives versions, keeps the manifest and the commit ids, and has one thread
//! own all commits. Reads run where they are called; they may see a commit a moment before
//! it is durable. The thread is in `commit`, start-up in `start`, backups in `backup`, keys that
//! are replaced in `rotate`.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::JoinHandle,
};

use tidegate_model::{Clock, OrgId};
use tokio::sync::{broadcast, mpsc, oneshot};

mod backup;
mod commit;
mod counts;
mod layout;
mod manifest;
mod rotate;
mod start;
#[cfg(test)]
mod tests;
mod watermark;

use crate::{
    keyring::Keyring,
    keys::KeyProvider,
    memory::MemoryRows,
    rows::{Rows, RowsError},
    sled::{SledOptions, SledRows},
    store::{
        Batch, BoxFuture, Change, Changes, Committed, Health, Record, Row, Scan, Store, StoreError,
        Table, Verified,
    },
};
use layout::{open_row, read_row_key, row_key, row_prefix};
use manifest::{Hasher, Manifest};
pub use rotate::{Reseal, RootKeys};
use watermark::Watermark;

/// Commits that may wait for the thread; more wait at the door.
const QUEUE: usize = 1_024;
/// Changes that a watcher may be behind.
const FEED: usize = 1_024;

/// Reply to somebody who waits.
type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the commit thread is asked to do.
enum Job {
    Commit(Batch, Reply<Committed>),
    EnsureOrg(OrgId, Reply<()>),
    Verify(Reply<Verified>),
    Export(Box<dyn Write + Send>, String, Reply<u64>),
    /// Anything else that must not run beside a commit.
    Work(Work),
}

/// What runs on the commit thread and answers by itself.
type Work = Box<dyn FnOnce(&Inner, &mut State) + Send>;

/// What reads and commits share.
struct Inner {
    rows: Box<dyn Rows>,
    dir: PathBuf,
    ring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    feed: broadcast::Sender<Change>,
    failed: OnceLock<String>,
    full: Mutex<Option<u64>>,
}

/// What only the commit thread changes.
struct State {
    /// Where the number of commits is kept outside of the rows, if anywhere.
    mark: Option<Watermark>,
    manifest: Manifest,
    hasher: Hasher,
    /// Whether rows and manifest must be read anew before the next commit.
    stale: bool,
    swept: tidegate_model::Timestamp,
    cursor: Vec<u8>,
}

/// A store in this process; the thread ends when it is dropped.
pub struct EmbeddedStore {
    inner: Arc<Inner>,
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// A new store in memory.
    pub fn memory(
        provider: Arc<dyn KeyProvider>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::over(Box::<MemoryRows>::default(), Path::new("memory"), provider, clock)
    }

    /// Opens or creates the sled store of a directory, and checks it against its manifest.
    ///
    /// Blocks while it reads every table but the derived ones.
    pub fn sled(
        options: SledOptions,
        provider: Arc<dyn KeyProvider>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let dir = options.dir.clone();
        let created = start::check_marker(&dir)?;
        match Self::sled_once(options.clone(), created, &provider, &clock) {
            Err(StoreError::Damaged { .. }) if !created => {
                start::put_aside(&dir)?;
                Self::sled_once(options, created, &provider, &clock)
            }
            other => other,
        }
    }

    fn sled_once(
        options: SledOptions,
        created: bool,
        provider: &Arc<dyn KeyProvider>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let dir = options.dir.clone();
        let rows = SledRows::open(options).map_err(|error| start::refusal(&dir, error))?;
        start::check_lost(&rows, &dir, created)?;
        Self::build(Box::new(rows), &dir, (Arc::clone(provider), Arc::clone(clock)), true)
    }

    /// Opens a store over any rows; `dir` is only named in messages.
    pub fn over(
        rows: Box<dyn Rows>,
        dir: &Path,
        provider: Arc<dyn KeyProvider>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::build(rows, dir, (provider, clock), false)
    }

    fn build(
        rows: Box<dyn Rows>,
        dir: &Path,
        (provider, clock): (Arc<dyn KeyProvider>, Arc<dyn Clock>),
        is_kept: bool,
    ) -> Result<Self, StoreError> {
        let (ring, manifest) = start::read(rows.as_ref(), dir, provider)?;
        let mark = dir.join(start::MARKER);
        let mark = is_kept.then(|| Watermark::open(&mark, &ring, manifest.commits)).transpose()?;
        let state = State {
            mark,
            hasher: Hasher::new(&ring),
            manifest,
            stale: false,
            swept: clock.now(),
            cursor: Vec::new(),
        };
        let inner = Arc::new(Inner {
            rows,
            dir: dir.to_owned(),
            ring: Arc::new(ring),
            clock,
            feed: broadcast::Sender::new(FEED),
            failed: OnceLock::new(),
            full: Mutex::new(None),
        });
        let (queue, jobs) = mpsc::channel(QUEUE);
        let shared = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("store-commit".to_owned())
            .stack_size(2 << 20)
            .spawn(move || commit::run(&shared, state, jobs))
            .map_err(|error| StoreError::io("start a thread for", dir, error))?;
        Ok(Self { inner, queue: Some(queue), thread: Some(thread) })
    }

    /// Writes a backup: all sealed rows but the derived tables', the manifest, and `note`
    /// (the last audit checkpoint). Gives the number of rows. No commit runs meanwhile.
    pub async fn export(&self, to: Box<dyn Write + Send>, note: String) -> Result<u64, StoreError> {
        self.ask(|reply| Job::Export(to, note, reply)).await
    }

    /// Fills an empty sled store from a backup and opens it; gives the note in it too.
    pub fn import(
        from: &mut dyn Read,
        options: SledOptions,
        provider: Arc<dyn KeyProvider>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, String), StoreError> {
        let dir = options.dir.clone();
        let rows = SledRows::open(options).map_err(|error| start::refusal(&dir, error))?;
        let note = backup::import(from, &rows, &dir, &provider)?;
        let store = Self::build(Box::new(rows), &dir, (provider, clock), true)?;
        Ok((store, note))
    }

    /// Fills empty rows from a backup and opens them.
    pub fn import_into(
        from: &mut dyn Read,
        rows: Box<dyn Rows>,
        dir: &Path,
        provider: Arc<dyn KeyProvider>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, String), StoreError> {
        let note = backup::import(from, rows.as_ref(), dir, &provider)?;
        Ok((Self::over(rows, dir, provider, clock)?, note))
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        if let Some(reason) = self.inner.failed.get() {
            return Err(StoreError::Failed(reason.clone()));
        }
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(job(reply)).await.map_err(|_| self.inner.gone())?;
        answer.await.map_err(|_| self.inner.gone())?
    }
}

impl Inner {
    /// Why nobody answers.
    fn gone(&self) -> StoreError {
        self.failed.get().map_or(StoreError::Closed, |reason| StoreError::Failed(reason.clone()))
    }

    /// Fails the store for good if `error` says so.
    fn read_error(&self, error: RowsError) -> StoreError {
        match error {
            RowsError::Full(needed) => StoreError::Full { dir: self.dir.clone(), needed },
            RowsError::Io(error) => StoreError::io("read", &self.dir, error),
            RowsError::Broken(reason) => self.fail(reason),
        }
    }

    fn fail(&self, reason: String) -> StoreError {
        tracing::error!(reason, "the store failed");
        StoreError::Failed(self.failed.get_or_init(|| reason).clone())
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { dir: self.dir.clone(), what }
    }

    fn check(&self) -> Result<(), StoreError> {
        self.failed.get().map_or(Ok(()), |reason| Err(StoreError::Failed(reason.clone())))
    }

    fn open(
        &self,
        place: (Table, &OrgId, &[u8]),
        row: &[u8],
    ) -> Result<Option<Record>, StoreError> {
        let opened = open_row(&self.ring, place, row);
        let record = opened.ok_or_else(|| self.damaged(format!("a row of {}", place.0)))??;
        let is_over = record.expires.is_some_and(|at| at <= self.clock.now());
        Ok((!is_over).then_some(record))
    }

    fn get(&self, table: Table, org: &OrgId, key: &[u8]) -> Result<Option<Record>, StoreError> {
        self.check()?;
        let row = self.rows.get(&row_key(table, org, key)).map_err(|e| self.read_error(e))?;
        row.map_or(Ok(None), |row| self.open((table, org, key), &row))
    }

    fn scan(&self, scan: &Scan) -> Result<Vec<Row>, StoreError> {
        self.check()?;
        let start = row_prefix(scan.table, &scan.org);
        let prefix = [start.as_slice(), &scan.prefix].concat();
        let mut from = match &scan.after {
            // The least key above `after`.
            Some(after) => [start.as_slice(), after, &[0]].concat(),
            None => prefix.clone(),
        };
        let mut found = Vec::new();
        while found.len() < scan.limit {
            let wanted = (scan.limit - found.len()).min(256);
            let rows = self.rows.scan(&prefix, &from, wanted).map_err(|e| self.read_error(e))?;
            let is_last = rows.len() < wanted;
            for (key, row) in rows {
                let Some((table, org, name)) = read_row_key(&key) else { continue };
                if let Some(record) = self.open((table, &org, name), &row)? {
                    found.push(Row { key: name.to_vec(), record });
                }
                from = [key.as_slice(), &[0]].concat();
            }
            if is_last {
                break;
            }
        }
        Ok(found)
    }
}

impl Store for EmbeddedStore {
    fn get<'a>(
        &'a self,
        table: Table,
        org: &'a OrgId,
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(async move { self.inner.get(table, org, key) })
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move { self.inner.scan(&scan) })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StoreError>> {
        Box::pin(async move {
            batch.check()?;
            self.ask(|reply| Job::Commit(batch, reply)).await
        })
    }

    fn ensure_org<'a>(&'a self, org: &'a OrgId) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if self.inner.ring.has(org) {
                return Ok(());
            }
            self.ask(|reply| Job::EnsureOrg(org.clone(), reply)).await
        })
    }

    fn watch(&self) -> Changes {
        Changes(self.inner.feed.subscribe())
    }

    fn health(&self) -> Health {
        if let Some(reason) = self.inner.failed.get() {
            return Health::Failed(reason.clone());
        }
        let full = *self.inner.full.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody may dare to commit while it is said to be full, so it is asked anew.
        if let Some(needed) = full.filter(|_| !self.inner.rows.has_room()) {
            let dir = self.inner.dir.clone();
            return Health::Full(StoreError::Full { dir, needed }.to_string());
        }
        self.inner.rows.warning().map_or(Health::Ready, Health::Warning)
    }

    fn verify(&self) -> BoxFuture<'_, Result<Verified, StoreError>> {
        Box::pin(self.ask(Job::Verify))
    }

    fn keyring(&self) -> &Arc<Keyring> {
        &self.inner.ring
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // The thread ends when the last sender is gone.
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EmbeddedStore").field(&self.inner.rows).finish()
    }
}
