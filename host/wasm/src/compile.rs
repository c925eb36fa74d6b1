//! From bytes to machine code: each component once, big ones one at a time, in sight.
//!
//! Runs on threads where blocking is fine, never on the path of a request. The compiler uses
//! one core: whoever is served meanwhile has the others. Knows nothing of what a component
//! imports or exports.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component as Compiled};

use crate::{
    LoadError,
    cache::{Cache, Name, hex},
};

/// Smaller components are compiled in seconds and wait for nobody.
const BIG: usize = 1 << 20;
/// Between two lines in the log about one component.
const REPORT: Duration = Duration::from_secs(4);
/// What a byte takes until one was compiled here, in nanoseconds.
const FIRST_GUESS: u64 = 2_000;

/// A component that is being compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiling {
    /// What it was called by whoever loads it; otherwise its hash.
    pub name: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub hash: String,
    /// Bytes of its file.
    pub size: usize,
    /// When it began.
    pub since: Instant,
    /// How long it may take in all, by what others took here.
    pub estimate: Duration,
}

/// Who compiles what.
#[derive(Debug)]
pub(crate) struct Compiler {
    jobs: Mutex<HashMap<Name, Arc<Job>>>,
    /// Held while a big one is compiled.
    turn: Mutex<()>,
    nanos_per_byte: AtomicU64,
}

/// A component's machine code.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) compiled: Compiled,
    /// SHA-256 of the file.
    pub(crate) hash: [u8; 32],
    /// Whether it was in the cache.
    pub(crate) from_cache: bool,
}

/// One component, for everybody who loads it at the same time.
struct Job {
    /// What it was called by who came first.
    name: Option<String>,
    size: usize,
    /// When the compiler began, and SHA-256 of the file.
    begun: OnceLock<(Instant, [u8; 32])>,
    /// Locked by whoever compiles; the others wait and find it done.
    made: Mutex<Option<Made>>,
}

impl Job {
    /// What it is called, in the log and beside it.
    fn name(&self, hash: &[u8; 32]) -> String {
        self.name.clone().unwrap_or_else(|| hex(hash))
    }
}

/// One load's share of a job; the last one takes the job off the table, however it ends.
struct Load<'a> {
    compiler: &'a Compiler,
    name: Name,
    job: Option<Arc<Job>>,
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        let mut jobs = lock(&self.compiler.jobs);
        // Given up under the lock, so that of several loads the last one sees that it is.
        self.job = None;
        if jobs.get(&self.name).is_some_and(|job| Arc::strong_count(job) == 1) {
            jobs.remove(&self.name);
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("name", &self.name).field("size", &self.size).finish()
    }
}

impl Default for Compiler {
    fn default() -> Self {
        let nanos_per_byte = AtomicU64::new(FIRST_GUESS);
        Self { jobs: Mutex::default(), turn: Mutex::default(), nanos_per_byte }
    }
}

impl Compiler {
    /// The machine code of a component. Blocks.
    pub(crate) fn code(
        &self,
        engine: &Engine,
        cache: Option<&Cache>,
        (called, bytes): (Option<&str>, &[u8]),
    ) -> Result<Made, LoadError> {
        let name = Name::of(bytes);
        let job = self.job(called, name, bytes.len());
        let load = Load { compiler: self, name, job: Some(job) };
        let job = load.job.as_deref().ok_or(LoadError::Stopping)?;
        self.made(job, engine, cache, (&name, bytes))
    }

    /// What is being compiled at the moment.
    pub(crate) fn progress(&self) -> Vec<Compiling> {
        let jobs = lock(&self.jobs);
        let begun = jobs.values().filter_map(|job| {
            let (since, hash) = job.begun.get()?;
            Some(Compiling {
                name: job.name(hash),
                hash: format!("sha256:{}", hex(hash)),
                size: job.size,
                since: *since,
                estimate: self.estimate(job.size),
            })
        });
        begun.collect()
    }

    fn job(&self, called: Option<&str>, name: Name, size: usize) -> Arc<Job> {
        let mut jobs = lock(&self.jobs);
        let job = jobs.entry(name).or_insert_with(|| {
            let name = called.map(str::to_owned);
            Arc::new(Job { name, size, begun: OnceLock::new(), made: Mutex::default() })
        });
        Arc::clone(job)
    }

    fn made(
        &self,
        job: &Job,
        engine: &Engine,
        cache: Option<&Cache>,
        (name, bytes): (&Name, &[u8]),
    ) -> Result<Made, LoadError> {
        let mut made = lock(&job.made);
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        if let Some((compiled, hash)) = cache.and_then(|cache| cache.get(engine, name)) {
            let found = Made { compiled, hash, from_cache: true };
            *made = Some(found.clone());
            return Ok(found);
        }
        let hash = Sha256::digest(bytes).into();
        let _turn = (bytes.len() >= BIG).then(|| lock(&self.turn));
        let compiled = self.compile(job, engine, (&hash, bytes))?;
        if let Some(cache) = cache {
            cache.put(name, &hash, &compiled);
        }
        let compiled = Made { compiled, hash, from_cache: false };
        *made = Some(compiled.clone());
        Ok(compiled)
    }

    fn compile(
        &self,
        job: &Job,
        engine: &Engine,
        (hash, bytes): (&[u8; 32], &[u8]),
    ) -> Result<Compiled, LoadError> {
        let (since, _) = *job.begun.get_or_init(|| (Instant::now(), *hash));
        let name = job.name(hash);
        let done = AtomicBool::new(false);
        let compiled = thread::scope(|scope| {
            let reporter = (bytes.len() >= BIG).then(|| {
                scope.spawn(|| self.report(&name, job.size, since, &done)).thread().clone()
            });
            let compiled = Compiled::from_binary(engine, bytes);
            done.store(true, Ordering::Release);
            if let Some(reporter) = reporter {
                reporter.unpark();
            }
            compiled
        });
        let compiled = compiled.map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
        let spent = since.elapsed();
        self.learn(bytes.len(), spent);
        tracing::debug!(component = name, spent_ms = millis(spent), "compiled a component");
        Ok(compiled)
    }

    fn report(&self, name: &str, size: usize, since: Instant, done: &AtomicBool) {
        let mut next = REPORT;
        while !done.load(Ordering::Acquire) {
            let spent = since.elapsed();
            if spent >= next {
                next += REPORT;
                tracing::info!(
                    component = name,
                    "compiling {name}, {} MB: {} s so far, about {} s in all",
                    size.div_ceil(1_000_000),
                    spent.as_secs(),
                    self.estimate(size).as_secs().max(spent.as_secs() + 1),
                );
            }
            thread::park_timeout(next.saturating_sub(spent));
        }
    }

    fn estimate(&self, size: usize) -> Duration {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let nanos_per_byte = self.nanos_per_byte.load(Ordering::Relaxed);
        Duration::from_nanos(size.saturating_mul(nanos_per_byte))
    }

    /// Small ones say little about big ones.
    fn learn(&self, size: usize, spent: Duration) {
        let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        if size >= BIG
            && let Some(each) = nanos.checked_div(u64::try_from(size).unwrap_or(0))
        {
            self.nanos_per_byte.store(each.max(1), Ordering::Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_follow_what_was_seen() {
        let compiler = Compiler::default();
        assert_eq!(compiler.estimate(12_000_000), Duration::from_secs(24));
        compiler.learn(BIG - 1, Duration::from_secs(60));
        assert_eq!(compiler.estimate(12_000_000), Duration::from_secs(24));
        compiler.learn(10_000_000, Duration::from_secs(5));
        assert_eq!(compiler.estimate(12_000_000), Duration::from_secs(6));
    }

    #[test]
    fn a_job_is_seen_while_it_is_under_way_and_shared() {
        let compiler = Compiler::default();
        let name = Name::of(b"one");
        let job = compiler.job(Some("redact.wasm"), name, 5);
        assert!(compiler.progress().is_empty(), "it has not begun");
        let (since, _) = *job.begun.get_or_init(|| (Instant::now(), [1; 32]));
        let seen = compiler.progress();
        assert_eq!((seen.len(), &*seen[0].name, seen[0].size), (1, "redact.wasm", 5));
        assert_eq!((seen[0].since, seen[0].hash.len()), (since, 71));
        assert!(Arc::ptr_eq(&job, &compiler.job(None, name, 5)));
        assert!(!Arc::ptr_eq(&job, &compiler.job(None, Name::of(b"other"), 5)));
    }

    #[test]
    fn two_loads_at_once_compile_once() {
        let engine = crate::engine::engine(crate::Allocation::OnDemand).unwrap();
        let bytes = wat::parse_str("(component (core module (func (export \"a\"))))").unwrap();
        let compiler = Compiler::default();
        let job = compiler.job(None, Name::of(&bytes), bytes.len());
        let held = lock(&job.made);
        let ranges = thread::scope(|scope| {
            let load = || compiler.code(&engine, None, (None, &bytes)).unwrap().compiled;
            let loads = [scope.spawn(load), scope.spawn(load)];
            // Both have found the job: the table, this test and they hold it.
            while Arc::strong_count(&job) < 4 {
                thread::yield_now();
            }
            drop(held);
            loads.map(|load| load.join().unwrap().image_range())
        });
        assert_eq!(ranges[0].start, ranges[1].start, "one compiled form for both");
        drop(job);
        assert_eq!(lock(&compiler.jobs).len(), 1, "this test still had it");
        compiler.code(&engine, None, (None, &bytes)).unwrap();
        assert!(lock(&compiler.jobs).is_empty());
    }

    #[test]
    fn no_job_stays_behind_when_loads_end_together() {
        let engine = crate::engine::engine(crate::Allocation::OnDemand).unwrap();
        let compiler = Compiler::default();
        for round in 0..200 {
            let bytes = [round; 9];
            let start = std::sync::Barrier::new(4);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        assert!(compiler.code(&engine, None, (None, &bytes)).is_err());
                    });
                }
            });
            assert!(lock(&compiler.jobs).is_empty(), "round {round}");
        }
    }
}
