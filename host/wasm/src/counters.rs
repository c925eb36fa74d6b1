//! How often a binding ran, failed, and how long it took.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A reading of one binding's counters since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hooks begun.
    pub calls: u64,
    /// Hooks that ended by a fault of the guest.
    pub traps: u64,
    /// Hooks that ended without a verdict for another reason.
    pub failures: u64,
    /// Nanoseconds spent in hooks, waiting included.
    pub nanos: u64,
    /// Nanoseconds of the longest hook.
    pub max_nanos: u64,
    /// The most bytes of linear memory that one instance has taken.
    pub memory_high_water: u64,
    /// Ticks of guest time, [`crate::Limits::TICK`] each.
    pub ticks: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    traps: AtomicU64,
    failures: AtomicU64,
    nanos: AtomicU64,
    max_nanos: AtomicU64,
    memory_high_water: AtomicU64,
    ticks: AtomicU64,
}

impl Counters {
    pub(crate) fn ended(&self, spent: Duration, failure: Option<&crate::Failure>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.max_nanos.fetch_max(nanos, Ordering::Relaxed);
        match failure {
            None => return,
            Some(crate::Failure::Trap { .. }) => &self.traps,
            Some(_) => &self.failures,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    /// What an instance has taken by its end.
    pub(crate) fn took(&self, memory: usize, ticks: u64) {
        let memory = u64::try_from(memory).unwrap_or(u64::MAX);
        self.memory_high_water.fetch_max(memory, Ordering::Relaxed);
        self.ticks.fetch_add(ticks, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        Counts {
            calls: self.calls.load(Ordering::Relaxed),
            traps: self.traps.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            nanos: self.nanos.load(Ordering::Relaxed),
            max_nanos: self.max_nanos.load(Ordering::Relaxed),
            memory_high_water: self.memory_high_water.load(Ordering::Relaxed),
            ticks: self.ticks.load(Ordering::Relaxed),
        }
    }
}
