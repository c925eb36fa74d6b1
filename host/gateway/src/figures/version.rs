//! The figures of one version of one plugin: written by every hook, without a lock.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_wasm::Counts;

use super::{Reading, micros};

/// How a hook can end, by the names in audit rows; anything else is counted as the last.
const ENDS: [&str; 23] = [
    "proceed",
    "replace",
    "refuse",
    "answer",
    "ask",
    "out_of_time",
    "out_of_memory",
    "out_of_stack",
    "too_many_host_calls",
    "output_too_large",
    "bad_output",
    "bad_host_call",
    "not_allowed",
    "too_many_instances",
    "too_many_handles",
    "trapped",
    "deadline",
    "cancelled",
    "host",
    "busy",
    "memory_full",
    "breaker_open",
    "other",
];
/// Times up to this many microseconds are in the first bucket; each further one is twice as long.
const FIRST_BUCKET: u64 = 10;
/// The last bucket takes what is longer than about ten seconds.
const BUCKETS: usize = 22;

type Asked = Box<dyn Fn() -> Counts + Send + Sync>;

/// What a version did since the process began.
pub(crate) struct VersionFigures {
    hash: String,
    ends: [AtomicU64; ENDS.len()],
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
    max_micros: AtomicU64,
    guests: Mutex<Guests>,
}

/// What its guests used: those that are bound, and what is left of those that were.
#[derive(Default)]
struct Guests {
    next: u64,
    bound: BTreeMap<u64, Asked>,
    memory_high_water: u64,
    ticks: u64,
}

/// A binding of the version; when it ends, what its guest used is kept.
pub(crate) struct Running {
    figures: Arc<VersionFigures>,
    number: u64,
}

impl fmt::Debug for VersionFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionFigures").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("number", &self.number).finish_non_exhaustive()
    }
}

impl VersionFigures {
    pub(super) fn new(hash: &str) -> Self {
        Self {
            hash: hash.to_owned(),
            ends: std::array::from_fn(|_| AtomicU64::new(0)),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            micros: AtomicU64::new(0),
            max_micros: AtomicU64::new(0),
            guests: Mutex::default(),
        }
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// Counts a hook that ended in one of [`ENDS`].
    pub(crate) fn ended(&self, end: &str, spent: Duration) {
        let place = ENDS.iter().position(|known| *known == end).unwrap_or(ENDS.len() - 1);
        let spent = micros(spent);
        let longer = spent.saturating_sub(1) / FIRST_BUCKET;
        let bucket = usize::try_from(u64::BITS - longer.leading_zeros()).unwrap_or(BUCKETS);
        let add = |counter: Option<&AtomicU64>| {
            counter.map(|counter| counter.fetch_add(1, Ordering::Relaxed));
        };
        add(self.ends.get(place));
        add(self.buckets.get(bucket.min(BUCKETS - 1)));
        self.micros.fetch_add(spent, Ordering::Relaxed);
        self.max_micros.fetch_max(spent, Ordering::Relaxed);
    }

    /// A binding begins whose guest tells what it used when it is asked.
    pub(crate) fn running(self: &Arc<Self>, asked: Asked) -> Running {
        let mut guests = self.guests();
        guests.next += 1;
        let number = guests.next;
        guests.bound.insert(number, asked);
        Running { figures: Arc::clone(self), number }
    }

    pub(super) fn is_bound(&self) -> bool {
        !self.guests().bound.is_empty()
    }

    pub(super) fn calls(&self) -> u64 {
        self.ends.iter().map(|end| end.load(Ordering::Relaxed)).sum()
    }

    /// How many hooks ended in which way, those that none did left out.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ends = ENDS.iter().zip(&self.ends);
        ends.map(|(name, count)| (*name, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    /// The times: their sum in seconds, and how many are up to which number of seconds and
    /// not in the bucket before.
    pub(super) fn times(&self) -> (f64, Vec<(f64, u64)>) {
        #[expect(clippy::cast_precision_loss, reason = "exact for the first hundred years")]
        let seconds = |micros: u64| micros as f64 / 1e6;
        let bounds = (0..BUCKETS - 1).map(|bucket| seconds(FIRST_BUCKET << bucket));
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let sum = seconds(self.micros.load(Ordering::Relaxed));
        (sum, bounds.chain([f64::INFINITY]).zip(counts).collect())
    }

    /// Most memory of one instance in bytes, and guest time in ticks.
    pub(super) fn used(&self) -> (u64, u64) {
        let guests = self.guests();
        let (mut memory, mut ticks) = (guests.memory_high_water, guests.ticks);
        for asked in guests.bound.values() {
            let counts = asked();
            memory = memory.max(counts.memory_high_water);
            ticks += counts.ticks;
        }
        (memory, ticks)
    }

    pub(super) fn read(&self) -> Reading {
        let calls = self.calls();
        let (memory_high_water, ticks) = self.used();
        Reading {
            version: self.hash.clone(),
            bound: self.is_bound(),
            calls,
            ended: self.ends().map(|(name, count)| (name.to_owned(), count)).collect(),
            mean_micros: self.micros.load(Ordering::Relaxed) / calls.max(1),
            max_micros: self.max_micros.load(Ordering::Relaxed),
            memory_high_water,
            ticks,
        }
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut guests = self.figures.guests();
        if let Some(asked) = guests.bound.remove(&self.number) {
            let counts = asked();
            guests.memory_high_water = guests.memory_high_water.max(counts.memory_high_water);
            guests.ticks += counts.ticks;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_binding_used_outlives_it() {
        let figures = Arc::new(VersionFigures::new("aa"));
        let counts = |memory_high_water, ticks| {
            move || {
                let mut counts = Counts::default();
                (counts.memory_high_water, counts.ticks) = (memory_high_water, ticks);
                counts
            }
        };
        let one = figures.running(Box::new(counts(5, 1)));
        let other = figures.running(Box::new(counts(3, 10)));
        assert_eq!((figures.used(), figures.is_bound()), ((5, 11), true));
        drop(one);
        assert_eq!(figures.used(), (5, 11));
        drop(other);
        assert_eq!((figures.used(), figures.is_bound()), ((5, 11), false));
    }

    #[test]
    fn times_fall_into_doubling_buckets() {
        let figures = VersionFigures::new("aa");
        for micros in [0, 10, 11, 20, 21, 10_485_760, 10_485_761, u64::from(u32::MAX)] {
            figures.ended("proceed", Duration::from_micros(micros));
        }
        figures.ended("never heard of", Duration::ZERO);
        let (_, times) = figures.times();
        let filled: Vec<(f64, u64)> = times.into_iter().filter(|(_, count)| *count > 0).collect();
        let expected =
            [(0.000_01, 3), (0.000_02, 2), (0.000_04, 1), (10.485_76, 1), (f64::INFINITY, 2)];
        assert_eq!(filled, expected);
        assert_eq!(figures.ends().collect::<Vec<_>>(), [("proceed", 8), ("other", 1)]);
    }
}
