//! Ends the process when a store call hangs.
//!
//! sled 0.34 has unresolved deadlock reports; a gateway that hangs is worse than one that
//! starts again. Calls note their start in a slot; one thread looks at the slots.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const SLOTS: usize = 64;

/// What happens to the process when the store is beyond use.
#[derive(Clone)]
pub struct OnFatal(Arc<dyn Fn(&str) + Send + Sync>);

impl OnFatal {
    /// Calls `act` with the reason; it may end the process.
    pub fn new(act: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(act))
    }

    pub(crate) fn call(&self, reason: &str) {
        (self.0)(reason);
    }
}

impl Default for OnFatal {
    /// Ends the process with status 70 (EX_SOFTWARE).
    fn default() -> Self {
        Self::new(|reason| {
            tracing::error!(reason, "the store is beyond use: the process ends");
            std::process::exit(70);
        })
    }
}

impl std::fmt::Debug for OnFatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnFatal")
    }
}

/// Watches over calls.
#[derive(Debug)]
pub(crate) struct Watchdog {
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Board {
    base: Instant,
    /// Start of a running call, in milliseconds since `base` plus one; 0 when free.
    slots: [AtomicU64; SLOTS],
    stop: Mutex<bool>,
    wake: Condvar,
}

/// A running call; over when dropped.
pub(crate) struct Watched<'a>(Option<&'a AtomicU64>);

impl Watchdog {
    pub(crate) fn start(limit: Duration, on_fatal: OnFatal) -> std::io::Result<Self> {
        let board = Arc::new(Board {
            base: Instant::now(),
            slots: std::array::from_fn(|_| AtomicU64::new(0)),
            stop: Mutex::new(false),
            wake: Condvar::new(),
        });
        let watched = Arc::clone(&board);
        let thread = std::thread::Builder::new()
            .name("store-watch".to_owned())
            .stack_size(128 << 10)
            .spawn(move || watched.watch(limit, &on_fatal))?;
        Ok(Self { board, thread: Some(thread) })
    }

    /// Begins a call. When all slots are taken the call goes unwatched: the others do not.
    pub(crate) fn enter(&self) -> Watched<'_> {
        let now = self.board.now() + 1;
        let take = |slot: &&AtomicU64| {
            slot.compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        Watched(self.board.slots.iter().find(take))
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.store(0, Ordering::Release);
        }
    }
}

impl Board {
    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn watch(&self, limit: Duration, on_fatal: &OnFatal) {
        let most = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let pause = (limit / 4).max(Duration::from_millis(10));
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stop {
            stop = self.wake.wait_timeout(stop, pause).unwrap_or_else(PoisonError::into_inner).0;
            let now = self.now();
            let hangs = |slot: &AtomicU64| {
                let start = slot.load(Ordering::Acquire);
                start > 0 && now.saturating_sub(start - 1) > most
            };
            if self.slots.iter().any(hangs) {
                on_fatal.call("a call of the store did not return in time");
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.board.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.board.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_is_reported_and_one_that_ends_is_not() {
        let (send, receive) = std::sync::mpsc::channel();
        let on_fatal = OnFatal::new(move |reason| drop(send.send(reason.to_owned())));
        let dog = Watchdog::start(Duration::from_millis(20), on_fatal).unwrap();
        for _ in 0..200 {
            drop(dog.enter());
        }
        assert!(receive.try_recv().is_err());
        let hangs = dog.enter();
        assert!(receive.recv().unwrap().contains("did not return"));
        drop(hangs);
    }
}
