//! The life of one child: started by the first who needs it, and again after its end, the
//! sooner the longer it ran.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Limits, instance::Instance, secrets::Environment};
use crate::client::{PeerError, stdio::Command};

/// A child that ran this long did not fail at the start.
const SETTLED: Duration = Duration::from_secs(10);
/// The first pause between starts; doubled with each failure in a row.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRunning {
    /// It cannot be started.
    #[error(transparent)]
    Start(Arc<PeerError>),
    /// It failed too often to be started at once.
    #[error("the server process failed {failures} times in a row ({last})")]
    TooEarly { failures: u32, last: String, retry_after: Duration },
    /// Its environment is needed for the start.
    #[error("the child of this key does not run: send its environment along")]
    NeedsEnvironment,
}

/// A place for one child.
#[derive(Debug)]
pub(super) struct Slot {
    name: String,
    answer_limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<(Arc<Instance>, Instant)>,
    failures: u32,
    until: Option<Instant>,
    last: Option<String>,
    starts: u64,
}

/// How a child is, for the health page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) pid: Option<u32>,
    pub(super) starts: u64,
    pub(super) failures: u32,
    pub(super) last: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) junk_lines: u64,
    pub(super) sessions: usize,
    pub(super) under_way: usize,
}

impl Slot {
    pub(super) fn new(name: String, limits: &Limits) -> Self {
        Self { name, answer_limit: limits.answer, state: Mutex::default() }
    }

    /// The child, if it runs.
    pub(super) fn current(&self) -> Option<Arc<Instance>> {
        let state = self.state();
        let (instance, _) = state.current.as_ref()?;
        (!instance.is_closed()).then(|| Arc::clone(instance))
    }

    /// The child, started if it does not run. `env` is what it needs to be started with
    /// beyond the environment in `command`; without one it is not started.
    pub(super) fn running(
        &self,
        command: &Command,
        env: Option<&Environment>,
    ) -> Result<Arc<Instance>, NotRunning> {
        let mut state = self.state();
        if let Some((instance, since)) = &state.current {
            if !instance.is_closed() {
                return Ok(Arc::clone(instance));
            }
            let (ended, ran) = (instance.ended(), since.elapsed());
            state.note_end(ended, ran);
        }
        let now = Instant::now();
        if let Some(until) = state.until.filter(|until| *until > now) {
            let last = state.last.clone().unwrap_or_default();
            let retry_after = until - now;
            return Err(NotRunning::TooEarly { failures: state.failures, last, retry_after });
        }
        let env = env.ok_or(NotRunning::NeedsEnvironment)?;
        let mut command = command.clone();
        command.env.retain(|(name, _)| env.iter().all(|(other, _)| other != name));
        command.env.extend(env.iter().cloned());
        match Instance::start(&command, &self.name, self.answer_limit) {
            Ok(instance) => {
                state.starts += 1;
                state.current = Some((Arc::clone(&instance), now));
                Ok(instance)
            }
            Err(error) => {
                let words = error.to_string();
                state.note_end(Some(words), Duration::ZERO);
                state.until = Some(now + pause(state.failures));
                Err(NotRunning::Start(Arc::new(error)))
            }
        }
    }

    /// How it is.
    pub(super) fn condition(&self) -> Condition {
        let state = self.state();
        let retry_after = state.until.and_then(|at| at.checked_duration_since(Instant::now()));
        let mut found = Condition {
            starts: state.starts,
            failures: state.failures,
            last: state.last.clone(),
            retry_after,
            ..Condition::default()
        };
        if let Some((instance, _)) = &state.current {
            if instance.is_closed() {
                found.last = instance.ended().or(found.last);
            } else {
                found.pid = instance.pid();
                (found.sessions, found.under_way) = instance.load();
            }
            found.junk_lines = instance.junk();
        }
        found
    }

    /// Tells the child to end, and gives it out of hand for whoever wants to wait.
    pub(super) fn end(&self) -> Option<Arc<Instance>> {
        let (instance, _) = self.state().current.take()?;
        instance.stop();
        Some(instance)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The first start after an end comes at once; a child that ends right after its start
    /// again and again has to wait.
    fn note_end(&mut self, how: Option<String>, ran: Duration) {
        self.current = None;
        self.last = how.or_else(|| Some("it closed its output".to_owned()));
        self.failures = if ran < SETTLED { self.failures + 1 } else { 0 };
        self.until = (self.failures > 1).then(|| Instant::now() + pause(self.failures - 1));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// The pause after so many failures in a row, give or take a quarter.
fn pause(failures: u32) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8));
    let percent = 75 + u32::try_from(RandomState::new().hash_one(failures) % 51).unwrap_or(25);
    doubled.min(LONGEST_PAUSE) * percent / 100
}
