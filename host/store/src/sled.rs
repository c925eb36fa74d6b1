//! Rows in sled 0.34.7, with everything that makes it safe to rely on.
//!
//! What its `flush` leaves to chance is done here: `fdatasync` on a descriptor of our own,
//! names and parameters synced at creation and start, half-made snapshots put aside, no
//! value large enough to spill, panics and corruption contained, calls watched. The rules
//! and the measurements behind them: design notes on storage, section 4.3.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    disk::{self, SpaceProbe},
    rows::{RawRow, RawWrite, Rows, RowsError},
    watchdog::{OnFatal, Watchdog},
};

/// What sled may take at once: two of its segments.
const GROWTH: u64 = 1 << 20;

/// How sled is used.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Its directory; made when missing.
    pub dir: PathBuf,
    /// Its page cache, in bytes.
    pub cache_bytes: u64,
    /// Bytes to leave free on the disk; a commit that would leave less is refused.
    pub min_free_bytes: u64,
    /// Tells how much is free.
    pub space: SpaceProbe,
    /// How long a call may take before the process is ended.
    pub hang_limit: Duration,
    /// What is done when the store is beyond use.
    pub on_fatal: OnFatal,
}

impl SledOptions {
    /// The defaults: 2 MiB cache, 16 MiB left free, 10 s for a call.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            cache_bytes: 2 << 20,
            min_free_bytes: 16 << 20,
            space: SpaceProbe::default(),
            hang_limit: Duration::from_secs(10),
            on_fatal: OnFatal::default(),
        }
    }
}

/// An open database. Closed while it is opened anew.
pub struct SledRows {
    options: SledOptions,
    open: RwLock<Option<Open>>,
    watchdog: Watchdog,
    /// Bytes handed over for storing since the start; a floor for how much it should take.
    written: AtomicU64,
}

struct Open {
    db: sled::Db,
    /// Our own descriptor of its data file: the one that is synced.
    data: File,
}

impl SledRows {
    /// Opens or creates the database of a directory.
    pub fn open(options: SledOptions) -> Result<Self, RowsError> {
        let watchdog = Watchdog::start(options.hang_limit, options.on_fatal.clone())?;
        let open = RwLock::new(None);
        let rows = Self { options, open, watchdog, written: AtomicU64::new(0) };
        rows.reopen()?;
        Ok(rows)
    }

    /// Runs one use of the database: watched, with panics and corruption made into `Broken`.
    fn with<T>(&self, act: impl FnOnce(&Open) -> Result<T, sled::Error>) -> Result<T, RowsError> {
        let _watched = self.watchdog.enter();
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = open.as_ref() else {
            return Err(RowsError::Io(io::Error::other("the database is closed")));
        };
        contain(|| act(open))
    }
}

/// Makes panics and errors of sled into ours.
fn contain<T>(act: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, RowsError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(RowsError::Io(error)),
        Ok(Err(other)) => Err(RowsError::Broken(format!("sled: {other}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(RowsError::Broken(format!("sled panicked: {}", text.unwrap_or("no message"))))
        }
    }
}

impl Rows for SledRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        self.with(|open| Ok(open.db.get(key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<RawRow>, RowsError> {
        let from = from.max(prefix);
        self.with(|open| {
            let mut found = Vec::new();
            for row in open.db.range(from..).take(limit) {
                let (key, value) = row?;
                if !key.starts_with(prefix) {
                    break;
                }
                found.push((key.to_vec(), value.to_vec()));
            }
            Ok(found)
        })
    }

    fn apply(&self, writes: &[RawWrite]) -> Result<(), RowsError> {
        let size = |(key, value): &RawWrite| key.len() + value.as_ref().map_or(0, Vec::len);
        let bytes = writes.iter().map(size).sum::<usize>() as u64;
        let needed = self.options.min_free_bytes.saturating_add(bytes + GROWTH);
        if self.options.space.free(&self.options.dir)? < needed {
            return Err(RowsError::Full(needed));
        }
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        self.written.fetch_add(bytes, Ordering::Relaxed);
        self.with(|open| {
            open.db.apply_batch(batch)?;
            open.db.flush()?;
            // `flush` wrote the bytes but did not ask the disk to keep them.
            open.data.sync_data().map_err(sled::Error::Io)
        })
    }

    fn reopen(&self) -> Result<(), RowsError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = open.take() {
            contain(move || {
                drop(old);
                Ok(())
            })?;
        }
        let _watched = self.watchdog.enter();
        *open = Some(open_database(&self.options)?);
        Ok(())
    }

    fn has_room(&self) -> bool {
        let needed = self.options.min_free_bytes.saturating_add(GROWTH);
        self.options.space.free(&self.options.dir).is_ok_and(|free| free >= needed)
    }

    fn warning(&self) -> Option<String> {
        let dir = &self.options.dir;
        if !blobs_empty(dir) {
            return Some(format!("`{}` holds spilled values that are not synced", dir.display()));
        }
        let taken = self.with(|open| open.db.size_on_disk()).unwrap_or(0);
        let floor = (64 << 20_u64).max(self.written.load(Ordering::Relaxed).saturating_mul(3));
        (taken > floor).then(|| {
            format!("`{}` takes {taken} bytes, far more than what it holds", dir.display())
        })
    }
}

fn blobs_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir.join("blobs")).is_ok_and(|mut entries| entries.next().is_none())
}

fn open_database(options: &SledOptions) -> Result<Open, RowsError> {
    let dir = &options.dir;
    disk::make_dir(dir)?;
    put_aside(dir)?;
    let config = sled::Config::new().path(dir).cache_capacity(options.cache_bytes);
    let db = contain(|| config.open())?;
    let data = File::open(dir.join("db"))?;
    // Parameters, data, snapshots and all names must be durable before the first commit is.
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    disk::sync_dir(&dir.join("blobs"))?;
    disk::sync_dir(dir)?;
    if !blobs_empty(dir) {
        let what = "spilled values in blobs/, which this store never makes";
        return Err(RowsError::Broken(what.to_owned()));
    }
    Ok(Open { db, data })
}

/// Copies half-made snapshots aside and removes them, so that sled does not trip over them.
fn put_aside(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let aside = dir.with_extension("aside");
            disk::make_dir(&aside)?;
            std::fs::copy(&path, aside.join(name))?;
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

impl std::fmt::Debug for SledRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledRows").field("dir", &self.options.dir).finish_non_exhaustive()
    }
}
