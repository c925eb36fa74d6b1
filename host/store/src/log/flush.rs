//! Group commit: one thread makes records durable, everybody waits for it.
//!
//! The flusher sleeps until something is dirty, lingers as long as the options allow unless
//! somebody waits, then syncs companions, segments and new names, writes the watermark and
//! wakes all whose record is covered. A failed sync fails the log for good: what the page
//! cache holds after it is unknown.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::{LogError, Shared, lock, tip::Tip};
use crate::disk;

/// The flusher's mailbox and what it has done.
#[derive(Default)]
pub(crate) struct Flusher {
    synced: AtomicU64,
    dirty: AtomicBool,
    wanted: Mutex<Wanted>,
    wake: Condvar,
    /// Held for a whole flush, so that flushes never overlap; the counter of the last watermark.
    turn: Mutex<u64>,
    tip: Mutex<Option<Tip>>,
    waiting: Mutex<Waiting>,
    fault: OnceLock<Arc<io::Error>>,
}

#[derive(Default)]
struct Wanted {
    /// Records that somebody waits for.
    size: u64,
    dirty: bool,
    stop: bool,
}

#[derive(Default)]
struct Waiting {
    next_id: u64,
    wakers: BTreeMap<(u64, u64), Waker>,
}

impl Flusher {
    /// Starts from a watermark that is known to be durable.
    pub(crate) fn new(tip: Tip) -> Self {
        Self {
            synced: AtomicU64::new(tip.size()),
            turn: Mutex::new(tip.counter),
            tip: Mutex::new(Some(tip)),
            ..Self::default()
        }
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Why the log failed, if it did.
    pub(crate) fn fault(&self) -> Option<Arc<io::Error>> {
        self.fault.get().cloned()
    }

    /// The last durable state.
    pub(crate) fn tip(&self) -> Option<Tip> {
        lock(&self.tip).clone()
    }

    /// Says that there is something new; wakes the flusher only when all was clean before.
    pub(crate) fn mark_dirty(&self) {
        if !self.dirty.load(Ordering::Relaxed) && !self.dirty.swap(true, Ordering::AcqRel) {
            lock(&self.wanted).dirty = true;
            self.wake.notify_one();
        }
    }

    /// Asks for a flush up to `size` records without delay; `false` when the log is closed.
    fn hurry(&self, size: u64) -> bool {
        let mut wanted = lock(&self.wanted);
        if wanted.size < size {
            wanted.size = size;
            self.wake.notify_one();
        }
        !wanted.stop
    }

    pub(crate) fn stop(&self) {
        lock(&self.wanted).stop = true;
        self.wake.notify_one();
        self.release(u64::MAX);
    }

    /// Wakes everybody who waits for one of the first `size` records.
    fn release(&self, size: u64) {
        let mut waiting = lock(&self.waiting);
        let later = waiting.wakers.split_off(&(size, 0));
        let covered = std::mem::replace(&mut waiting.wakers, later);
        drop(waiting);
        covered.into_values().for_each(Waker::wake);
    }
}

/// The flusher thread.
pub(crate) fn run(shared: &Shared) {
    let flusher = &shared.flusher;
    while wait_for_work(shared) {
        if let Err(error) = flush(shared) {
            tracing::error!(error = %error, "a flush of the log failed");
        }
    }
    flusher.release(u64::MAX);
}

/// Sleeps until a flush is due; `false` when the log is closed.
fn wait_for_work(shared: &Shared) -> bool {
    let flusher = &shared.flusher;
    let mut wanted = lock(&flusher.wanted);
    let mut dirty_since = None;
    loop {
        if wanted.stop {
            return false;
        }
        if wanted.size > flusher.synced() && !is_failed(shared, &mut wanted) {
            return true;
        }
        if !wanted.dirty {
            wanted = flusher.wake.wait(wanted).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let since = *dirty_since.get_or_insert_with(Instant::now);
        let Some(rest) = shared.options.flush_every.checked_sub(since.elapsed()) else {
            return true;
        };
        let slept = flusher.wake.wait_timeout(wanted, rest);
        wanted = slept.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// After a failed flush nobody can be served: wishes are dropped, so that the thread sleeps.
fn is_failed(shared: &Shared, wanted: &mut Wanted) -> bool {
    let failed = shared.flusher.fault().is_some();
    if failed {
        wanted.size = 0;
        wanted.dirty = false;
    }
    failed
}

/// Makes everything appended so far durable.
pub(crate) fn flush(shared: &Shared) -> Result<(), LogError> {
    flush_in_turn(shared, lock(&shared.flusher.turn))
}

/// The same, unless a flush is under way or somebody waits for one: then those share the
/// flusher's next one, and this does nothing.
pub(crate) fn flush_if_quiet(shared: &Shared) -> Option<Result<(), LogError>> {
    let flusher = &shared.flusher;
    let turn = flusher.turn.try_lock().ok()?;
    let is_quiet = lock(&flusher.waiting).wakers.is_empty();
    is_quiet.then(|| flush_in_turn(shared, turn))
}

fn flush_in_turn(shared: &Shared, mut counter: MutexGuard<'_, u64>) -> Result<(), LogError> {
    let flusher = &shared.flusher;
    lock(&flusher.wanted).dirty = false;
    flusher.dirty.store(false, Ordering::Release);
    let companions = lock(&shared.companions).clone();
    if let Some(fault) = flusher.fault() {
        return Err(LogError::Failed(fault));
    }
    let pending = lock(&shared.writer).pending();
    if pending.tree.size() == flusher.synced() && !pending.new_names {
        return Ok(());
    }
    let synced = companions
        .iter()
        .try_for_each(|companion| companion.sync())
        .and_then(|()| pending.segments.iter().try_for_each(|segment| segment.file.sync_data()))
        .and_then(
            |()| if pending.new_names { disk::sync_dir(&shared.options.dir) } else { Ok(()) },
        );
    if let Err(error) = synced {
        return Err(fail(shared, error));
    }
    *counter += 1;
    let current = pending.segments.last().cloned();
    let tip = pending.tip(*counter);
    let size = tip.size();
    if let Some(segment) = current {
        // Without the slot the watermark is only older than it could be.
        if let Err(error) = tip.write(&segment.file, &segment.header, &shared.tip_key) {
            tracing::warn!(error = %error, "the watermark of the log could not be written");
        }
    }
    *lock(&flusher.tip) = Some(tip);
    flusher.synced.store(size, Ordering::Release);
    drop(counter);
    flusher.release(size);
    shared.keeper.flushed(shared, size);
    Ok(())
}

fn fail(shared: &Shared, error: io::Error) -> LogError {
    let error = Arc::new(error);
    shared.flusher.fault.get_or_init(|| Arc::clone(&error));
    shared.flusher.release(u64::MAX);
    LogError::Failed(error)
}

/// Waits until a record is durable; made by [`super::Log::wait_durable`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Durable {
    shared: Arc<Shared>,
    seq: u64,
    id: Option<u64>,
}

impl Durable {
    pub(crate) fn new(shared: Arc<Shared>, seq: u64) -> Self {
        Self { shared, seq, id: None }
    }

    fn outcome(&self) -> Option<Result<(), LogError>> {
        let flusher = &self.shared.flusher;
        if flusher.synced() > self.seq {
            return Some(Ok(()));
        }
        flusher.fault().map(|fault| Err(LogError::Failed(fault)))
    }
}

impl Future for Durable {
    type Output = Result<(), LogError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        let id = self.id;
        let id = {
            let mut waiting = lock(&self.shared.flusher.waiting);
            let id = id.unwrap_or_else(|| {
                waiting.next_id += 1;
                waiting.next_id
            });
            waiting.wakers.insert((self.seq, id), context.waker().clone());
            id
        };
        self.id = Some(id);
        // Looked at again after the waker is in place: a flush in between has missed it.
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        if self.shared.flusher.hurry(self.seq + 1) {
            Poll::Pending
        } else {
            Poll::Ready(Err(LogError::Closed))
        }
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            lock(&self.shared.flusher.waiting).wakers.remove(&(self.seq, id));
        }
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable").field("seq", &self.seq).finish_non_exhaustive()
    }
}
