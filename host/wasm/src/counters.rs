//! How often a binding ran, how each hook ended, and how long it took.
//!
//! Written by every hook with relaxed atomics; a reading may be a hook ahead in one figure.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{Failure, Limits};

/// Times up to this many microseconds are in the first bucket; each further one is twice as wide.
const FIRST_BUCKET: u64 = 10;
const BUCKETS: usize = 22;

/// Every way in which a hook ends, by its stable name: what it said, then why it said nothing.
const ENDS: [&str; 24] = [
    "proceed",
    "replace",
    "refuse",
    "answer",
    "ask",
    "done",
    "failed",
    "out_of_time",
    "out_of_memory",
    "too_many_instances",
    "too_many_handles",
    "out_of_stack",
    "too_many_host_calls",
    "output_too_large",
    "bad_output",
    "bad_host_call",
    "not_allowed",
    "trapped",
    "deadline",
    "cancelled",
    "host",
    "busy",
    "memory_full",
    "breaker_open",
];

/// What a hook said; the places of the first names in [`ENDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Proceed,
    Replace,
    Refuse,
    Answer,
    Ask,
    /// It did what is no verdict: a list, edits, a tool's result.
    Done,
    /// It said in its own words why it could not.
    Failed,
}

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
    /// Nanoseconds in which guests ran; what they waited for is left out.
    pub guest_nanos: u64,
    /// The same in whole ticks, [`Limits::TICK`] each.
    pub ticks: u64,
    /// Hooks that ran in an instance made ahead.
    pub spares: u64,
    ends: [u64; ENDS.len()],
    times: [u64; BUCKETS],
}

impl Counts {
    /// How many hooks ended in which way, by the names of verdicts, [`Failure::name`], `done`
    /// and `failed`; ways in which none did are left out.
    pub fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ENDS.into_iter().zip(self.ends).filter(|(_, count)| *count > 0)
    }

    /// How many hooks took up to so long and longer than the bound before; the last bound
    /// stands for everything above.
    pub fn times(&self) -> impl Iterator<Item = (Duration, u64)> {
        let bounds = (0..BUCKETS - 1).map(|bucket| Duration::from_micros(FIRST_BUCKET << bucket));
        bounds.chain([Duration::MAX]).zip(self.times)
    }
}

#[derive(Debug)]
pub(crate) struct Counters {
    traps: AtomicU64,
    failures: AtomicU64,
    nanos: AtomicU64,
    max_nanos: AtomicU64,
    memory_high_water: AtomicU64,
    guest_nanos: AtomicU64,
    spares: AtomicU64,
    ends: [AtomicU64; ENDS.len()],
    times: [AtomicU64; BUCKETS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            traps: AtomicU64::default(),
            failures: AtomicU64::default(),
            nanos: AtomicU64::default(),
            max_nanos: AtomicU64::default(),
            memory_high_water: AtomicU64::default(),
            guest_nanos: AtomicU64::default(),
            spares: AtomicU64::default(),
            ends: std::array::from_fn(|_| AtomicU64::default()),
            times: std::array::from_fn(|_| AtomicU64::default()),
        }
    }
}

impl Counters {
    /// A hook has ended after so long.
    pub(crate) fn ended(&self, spent: Duration, said: Result<Said, &Failure>) {
        let nanos = nanos(spent);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.max_nanos.fetch_max(nanos, Ordering::Relaxed);
        add(self.times.get(bucket(nanos)));
        let place = match said {
            Ok(said) => said as usize,
            Err(failure) => {
                let trap = matches!(failure, Failure::Trap { .. });
                add(Some(if trap { &self.traps } else { &self.failures }));
                ENDS.iter().position(|name| *name == failure.name()).unwrap_or(ENDS.len())
            }
        };
        add(self.ends.get(place));
    }

    /// What an instance has taken by its end.
    pub(crate) fn took(&self, memory: usize, guest: Duration) {
        let memory = u64::try_from(memory).unwrap_or(u64::MAX);
        self.memory_high_water.fetch_max(memory, Ordering::Relaxed);
        self.guest_nanos.fetch_add(nanos(guest), Ordering::Relaxed);
    }

    /// A hook runs in an instance made ahead.
    pub(crate) fn spared(&self) {
        add(Some(&self.spares));
    }

    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ends = self.ends.each_ref().map(read);
        let guest_nanos = read(&self.guest_nanos);
        Counts {
            calls: ends.iter().sum(),
            traps: read(&self.traps),
            failures: read(&self.failures),
            nanos: read(&self.nanos),
            max_nanos: read(&self.max_nanos),
            memory_high_water: read(&self.memory_high_water),
            guest_nanos,
            ticks: guest_nanos / nanos(Limits::TICK).max(1),
            spares: read(&self.spares),
            ends,
            times: self.times.each_ref().map(read),
        }
    }
}

fn add(counter: Option<&AtomicU64>) {
    counter.map(|counter| counter.fetch_add(1, Ordering::Relaxed));
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn bucket(nanos: u64) -> usize {
    let longer = nanos.div_ceil(1_000).saturating_sub(1) / FIRST_BUCKET;
    usize::try_from(u64::BITS - longer.leading_zeros()).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Trap;

    #[test]
    fn every_end_has_its_own_place() {
        let counters = Counters::default();
        let plugin: Arc<str> = "p".into();
        let said = [
            Said::Proceed,
            Said::Replace,
            Said::Refuse,
            Said::Answer,
            Said::Ask,
            Said::Done,
            Said::Failed,
        ];
        for said in said {
            counters.ended(Duration::ZERO, Ok(said));
        }
        let traps = [
            Trap::OutOfTime(Duration::ZERO),
            Trap::OutOfMemory(0),
            Trap::TooManyInstances(0),
            Trap::TooManyHandles(0),
            Trap::OutOfStack,
            Trap::TooManyHostCalls(0),
            Trap::OutputTooLarge(0),
            Trap::BadOutput(String::new()),
            Trap::BadHostCall(String::new()),
            Trap::NotAllowed(String::new()),
            Trap::Trapped(String::new()),
        ];
        for trap in traps {
            counters.ended(Duration::ZERO, Err(&Failure::trap(&plugin, trap)));
        }
        let failures = [
            Failure::Deadline { plugin: Arc::clone(&plugin) },
            Failure::Cancelled { plugin: Arc::clone(&plugin) },
            Failure::Host { plugin: Arc::clone(&plugin), source: "x".into() },
            Failure::Busy { plugin: Arc::clone(&plugin), advice: "" },
            Failure::MemoryFull { plugin: Arc::clone(&plugin) },
            Failure::BreakerOpen { plugin },
        ];
        for failure in &failures {
            counters.ended(Duration::ZERO, Err(failure));
        }
        let counts = counters.read();
        let expected: Vec<(&str, u64)> = ENDS.iter().map(|name| (*name, 1)).collect();
        assert_eq!(counts.ends().collect::<Vec<_>>(), expected);
        assert_eq!((counts.calls, counts.traps, counts.failures), (24, 11, 6));
    }

    #[test]
    fn times_fall_into_doubling_buckets() {
        let counters = Counters::default();
        for nanos in [0, 10_000, 10_001, 20_000, 20_001, u64::MAX] {
            counters.ended(Duration::from_nanos(nanos), Ok(Said::Done));
        }
        let filled: Vec<_> = counters.read().times().filter(|(_, count)| *count > 0).collect();
        let micros = Duration::from_micros;
        assert_eq!(filled, [(micros(10), 2), (micros(20), 2), (micros(40), 1), (Duration::MAX, 1)]);
    }
}
