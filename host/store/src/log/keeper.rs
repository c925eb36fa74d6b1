//! Background work that no caller waits for: the next segment and checkpoints.
//!
//! Fills the next segment with zeros once a quarter of the current one is used, and signs a
//! checkpoint over what is durable every so many records or seconds. Both are retried each
//! second while they fail, and `health` says so meanwhile.

use std::{
    fs::File,
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{LogError, LogHealth, Shared, lock, writer};
use crate::disk;

const RETRY: Duration = Duration::from_secs(1);
const STACK: usize = 256 << 10;

/// The keeper's mailbox and the checkpoints file.
pub(crate) struct Keeper {
    desk: Mutex<Desk>,
    wake: Condvar,
    trouble: Mutex<Option<String>>,
    /// Whether records wait for a checkpoint; spares the mailbox on most flushes.
    has_unsigned: AtomicBool,
    notes: Mutex<Notes>,
}

struct Desk {
    ask: bool,
    stop: bool,
    /// When the oldest unsigned record became durable.
    unsigned_since: Option<Instant>,
    due: bool,
}

/// The checkpoints file: its good length, and what the last note in it covers.
pub(crate) struct Notes {
    pub(crate) file: File,
    pub(crate) len: u64,
    pub(crate) signed: u64,
}

impl Keeper {
    pub(crate) fn new(notes: Notes) -> Self {
        let desk = Desk { ask: false, stop: false, unsigned_since: None, due: false };
        Self {
            desk: Mutex::new(desk),
            wake: Condvar::new(),
            trouble: Mutex::new(None),
            has_unsigned: AtomicBool::new(false),
            notes: Mutex::new(notes),
        }
    }

    /// Asks for the next segment.
    pub(crate) fn ask(&self) {
        lock(&self.desk).ask = true;
        self.wake.notify_one();
    }

    /// Hears from the flusher that `size` records are durable.
    pub(crate) fn flushed(&self, shared: &Shared, size: u64) {
        let first = !self.has_unsigned.swap(true, Ordering::AcqRel);
        let tail = self.notes.try_lock().map_or(0, |notes| size.saturating_sub(notes.signed));
        let due = tail >= shared.options.checkpoint_records;
        if first || due {
            let mut desk = lock(&self.desk);
            desk.unsigned_since.get_or_insert_with(Instant::now);
            desk.due |= due;
            drop(desk);
            self.wake.notify_one();
        }
    }

    /// Forgets what was unsigned so far; what becomes durable from now on is counted.
    fn start_counting(&self) {
        self.has_unsigned.store(false, Ordering::Release);
        lock(&self.desk).unsigned_since = None;
    }

    pub(crate) fn stop(&self) {
        lock(&self.desk).stop = true;
        self.wake.notify_one();
    }
}

/// Starts a background thread of the log.
pub(crate) fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    run: fn(&Shared),
) -> Result<JoinHandle<()>, LogError> {
    let shared = Arc::clone(shared);
    let dir = shared.options.dir.clone();
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(move || run(&shared))
        .map_err(|error| LogError::io("start a thread for", dir, error))
}

/// The keeper thread.
pub(crate) fn run(shared: &Shared) {
    let keeper = &shared.keeper;
    let mut retry = false;
    while let Some(due) = wait_for_work(shared, retry) {
        let made = prepare(shared);
        let signed = if due { sign_unsigned(shared) } else { Ok(()) };
        let trouble = made.and(signed).err().map(|error| error.to_string());
        retry = trouble.is_some();
        if let Some(text) = &trouble {
            tracing::warn!(error = %text, "the log is short of something");
        }
        *lock(&keeper.trouble) = trouble;
    }
}

/// Sleeps until there is work; says whether a checkpoint is due, `None` when closed.
fn wait_for_work(shared: &Shared, retry: bool) -> Option<bool> {
    let keeper = &shared.keeper;
    let mut desk = lock(&keeper.desk);
    let started = Instant::now();
    loop {
        if desk.stop {
            return None;
        }
        let age = desk.unsigned_since.map(|since| since.elapsed());
        let due = desk.due || age.is_some_and(|age| age >= shared.options.checkpoint_every);
        let again = retry && started.elapsed() >= RETRY;
        if desk.ask || again || (due && !retry) {
            desk.ask = false;
            desk.due = false;
            return Some(due);
        }
        let rest = age.map(|age| shared.options.checkpoint_every.saturating_sub(age));
        let rest = if retry { Some(RETRY) } else { rest };
        desk = match rest {
            Some(rest) => {
                keeper.wake.wait_timeout(desk, rest).unwrap_or_else(PoisonError::into_inner).0
            }
            None => keeper.wake.wait(desk).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

/// Fills the next segment if it is wanted and missing; a smaller one when space is short.
fn prepare(shared: &Shared) -> Result<(), LogError> {
    let Some(current) = lock(&shared.writer).wants_segment() else { return Ok(()) };
    let (first, most) = (shared.options.first_segment_bytes, shared.options.segment_bytes);
    let mut capacity = current.saturating_mul(4).clamp(first.min(most), most.max(first));
    while let Err(error) = writer::check_space(shared, capacity) {
        if capacity <= first {
            return Err(error);
        }
        capacity = (capacity / 2).max(first);
    }
    let [ahead, _] = writer::PREPARED;
    let path = shared.options.dir.join(ahead);
    let failed = |error: io::Error| {
        drop(std::fs::remove_file(&path));
        LogError::io("prepare a segment in", &shared.options.dir, error)
    };
    let file = writer::zeroed(&path, 0).map_err(failed)?;
    let mut at = 0;
    while at < capacity {
        let next = capacity.min(at + disk::FILL_CHUNK as u64);
        disk::zero(&file, at, next).and_then(|()| file.sync_data()).map_err(failed)?;
        at = next;
        if lock(&shared.keeper.desk).stop {
            drop(std::fs::remove_file(&path));
            return Ok(());
        }
    }
    file.sync_all().map_err(failed)?;
    lock(&shared.writer).provide(file, capacity);
    Ok(())
}

/// Signs a checkpoint if durable records wait for one.
pub(crate) fn sign_unsigned(shared: &Shared) -> Result<(), LogError> {
    shared.keeper.start_counting();
    if shared.flusher.synced() > lock(&shared.keeper.notes).signed {
        sign(shared).map(drop)
    } else {
        Ok(())
    }
}

/// Signs a checkpoint over all durable records, makes it durable and gives the note.
pub(crate) fn sign(shared: &Shared) -> Result<String, LogError> {
    let keeper = &shared.keeper;
    let mut notes = lock(&keeper.notes);
    // Before the tip is read, so that records which become durable meanwhile count anew.
    keeper.start_counting();
    let Some(tip) = shared.flusher.tip() else { return Err(LogError::Closed) };
    let note = shared.signer.sign(tip.size(), tip.tree.root());
    if tip.size() == notes.signed && notes.len > 0 {
        return Ok(note);
    }
    let bytes = format!("{note}\n");
    let path = shared.options.dir.join(CHECKPOINTS);
    let written = notes
        .file
        .set_len(notes.len)
        .and_then(|()| disk::write_at(&notes.file, bytes.as_bytes(), notes.len))
        .and_then(|()| notes.file.sync_all());
    if let Err(error) = written {
        lock(&keeper.desk).unsigned_since = Some(Instant::now());
        return Err(LogError::io("write a checkpoint to", path, error));
    }
    notes.len += bytes.len() as u64;
    notes.signed = tip.size();
    Ok(note)
}

/// Name of the file that holds all signed notes.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// Whether the log can take records.
pub(crate) fn health(shared: &Shared) -> LogHealth {
    if let Some(fault) = shared.flusher.fault() {
        return LogHealth::Failed(fault.to_string());
    }
    if lock(&shared.writer).is_full() {
        let dir = shared.options.dir.clone();
        let needed = shared.options.first_segment_bytes;
        return LogHealth::Full(LogError::Full { dir, needed }.to_string());
    }
    lock(&shared.keeper.trouble).clone().map_or(LogHealth::Ready, LogHealth::Low)
}
