//! The place of one machine: idle, starting, running, failed, shut.
//!
//! Whoever needs it running waits for the state to change; nobody holds a lock meanwhile. A
//! start outlives the caller who asked for it. A machine that keeps ending is started again
//! only after a growing pause; one that does not say how it is, is ended.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidegate_wire::client::{
    PeerError, PeerInfo,
    http::{HttpPeer, HttpSettings},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::condition::{self, Condition};
use crate::{
    connector::ConnectorError,
    machine::{Backend, Machine, MachineError, MachineSpec},
};

/// A machine that ran this long did not fail at the start.
const SETTLED: Duration = Duration::from_secs(10);
/// The first pause between starts; doubled with each failure in a row.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How often a machine is asked how it is, and how often in a row it may stay silent.
const LOOK: Duration = Duration::from_secs(10);
const SILENCES: u32 = 3;
/// Time for its answer.
const ANSWER: Duration = Duration::from_secs(2);

/// What every machine of one connector is made from.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) machine: MachineSpec,
    pub(super) http: HttpSettings,
}

/// The place of one machine.
#[derive(Debug)]
pub(super) struct Slot {
    plan: Arc<Plan>,
    state: watch::Sender<State>,
    changes: watch::Sender<u64>,
    starts: AtomicU64,
}

/// A machine that takes requests, and the server in it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) machine: Machine,
    pub(super) peer: Arc<HttpPeer>,
    since: Instant,
    under_way: AtomicUsize,
    condition: watch::Sender<Condition>,
}

/// A call under way at a machine.
#[derive(Debug)]
pub(super) struct Visit(pub(super) Arc<Running>);

#[derive(Debug, Clone)]
enum State {
    Idle,
    Starting { failures: u32 },
    Running { running: Arc<Running>, failures: u32 },
    Failed { error: Arc<PeerError>, until: Instant, failures: u32 },
    Shut,
}

impl Running {
    /// Begins a call at it.
    pub(super) fn visit(self: &Arc<Self>) -> Visit {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Visit(Arc::clone(self))
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    pub(super) fn info(&self) -> Option<Arc<PeerInfo>> {
        self.peer.info()
    }

    /// What it said last of itself.
    pub(super) fn condition(&self) -> Condition {
        self.condition.borrow().clone()
    }

    /// Asks it how it is, for a moment at most.
    pub(super) async fn look(&self) -> Option<Condition> {
        let found = timeout(ANSWER, condition::ask(&self.machine.health)).await.ok().flatten()?;
        self.condition.send_replace(found.clone());
        Some(found)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slot {
    pub(super) fn new(plan: Arc<Plan>, changes: watch::Sender<u64>) -> Self {
        Self { plan, state: watch::Sender::new(State::Idle), changes, starts: AtomicU64::new(0) }
    }

    /// The machine; started, or waited for, if it does not run.
    pub(super) async fn running(self: &Arc<Self>) -> Result<Arc<Running>, ConnectorError> {
        let mut states = self.state.subscribe();
        loop {
            let state = states.borrow_and_update().clone();
            match state {
                State::Running { running, .. } if !running.machine.is_gone() => return Ok(running),
                State::Shut => return Err(ConnectorError::Closed),
                State::Starting { .. } => {
                    if states.changed().await.is_err() {
                        return Err(ConnectorError::Closed);
                    }
                    // The start that was waited for has failed: that is the answer.
                    if let State::Failed { error, until, .. } = &*states.borrow() {
                        return Err(failed(error, *until));
                    }
                }
                State::Failed { error, until, .. } if until > Instant::now() => {
                    return Err(failed(&error, until));
                }
                State::Idle | State::Running { .. } | State::Failed { .. } => self.start(),
            }
        }
    }

    /// Begins a start, unless it runs, somebody else was quicker, or it is too early.
    pub(super) fn start(self: &Arc<Self>) {
        let begun = self.state.send_if_modified(|state| {
            let failures = match &*state {
                State::Idle => 0,
                State::Running { running, failures } if running.machine.is_gone() => {
                    let is_settled = running.since.elapsed() >= SETTLED;
                    let failures = if is_settled { 0 } else { failures + 1 };
                    // The first restart comes at once; a machine that ends right after its
                    // start again and again has to wait.
                    if failures > 1 {
                        let until = Instant::now() + pause(failures - 1);
                        let error = Arc::new(PeerError::Closed);
                        *state = State::Failed { error, until, failures };
                        return true;
                    }
                    failures
                }
                State::Failed { until, failures, .. } if *until <= Instant::now() => *failures,
                _ => return false,
            };
            *state = State::Starting { failures };
            true
        });
        if begun && matches!(*self.state.borrow(), State::Starting { .. }) {
            tokio::spawn(Arc::clone(self).run());
        }
    }

    async fn run(self: Arc<Self>) {
        let connector = self.plan.machine.connector.clone();
        let started = self.plan.backend.start(&self.plan.machine).await;
        if self.starts.fetch_add(1, Ordering::Relaxed) > 0 {
            tracing::info!(connector, "started again");
        }
        let mut begun = None;
        self.state.send_if_modified(|state| {
            let State::Starting { failures } = *state else { return false };
            *state = match started {
                Ok(machine) => {
                    let running = self.begin(machine);
                    begun = Some((Arc::downgrade(&running), running.peer.changes()));
                    State::Running { running, failures }
                }
                Err(error) => {
                    tracing::warn!(connector, %error, "could not be started");
                    let failures = failures + 1;
                    let until = Instant::now() + pause(failures);
                    State::Failed { error: Arc::new(spawn_error(error)), until, failures }
                }
            };
            true
        });
        let Some((running, mut news)) = begun else { return };
        let changes = self.changes.clone();
        drop(self);
        tokio::spawn(watch_over(running, connector));
        loop {
            changes.send_modify(|count| *count += 1);
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    fn begin(&self, machine: Machine) -> Arc<Running> {
        let peer = Arc::new(HttpPeer::new(machine.server.clone(), self.plan.http.clone()));
        Arc::new(Running {
            machine,
            peer,
            since: Instant::now(),
            under_way: AtomicUsize::new(0),
            condition: watch::Sender::default(),
        })
    }

    /// The machine, if it takes requests.
    pub(super) fn current(&self) -> Option<Arc<Running>> {
        match &*self.state.borrow() {
            State::Running { running, .. } if !running.machine.is_gone() => {
                Some(Arc::clone(running))
            }
            _ => None,
        }
    }

    /// Ticks with every change of its state.
    pub(super) fn states(&self) -> impl Future<Output = bool> + use<> {
        let mut states = self.state.subscribe();
        states.borrow_and_update();
        async move { states.changed().await.is_ok() }
    }

    pub(super) fn is_shut(&self) -> bool {
        matches!(*self.state.borrow(), State::Shut)
    }

    /// The state in one word.
    pub(super) fn word(&self) -> &'static str {
        match &*self.state.borrow() {
            State::Running { running, .. } if running.machine.is_gone() => "ended",
            State::Running { .. } => "running",
            State::Starting { .. } => "starting",
            State::Failed { .. } => "failed",
            State::Idle => "idle",
            State::Shut => "shut",
        }
    }

    pub(super) fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// Ends the machine if nobody has it; the next who needs it starts it again.
    pub(super) fn rest(&self) {
        self.state.send_if_modified(|state| match state {
            State::Running { running, .. } if Arc::strong_count(running) == 1 => {
                *state = State::Idle;
                true
            }
            _ => false,
        });
    }

    /// No start any more. The machine ends when the last call has let go of it.
    pub(super) fn shut(&self) -> Option<Arc<Running>> {
        match self.state.send_replace(State::Shut) {
            State::Running { running, .. } => Some(running),
            _ => None,
        }
    }

    pub(super) async fn close(&self) {
        if let Some(running) = self.shut() {
            self.plan.backend.stop(&running.machine.id).await;
        }
    }
}

/// Asks a machine how it is, for as long as somebody has it.
async fn watch_over(running: Weak<Running>, connector: String) {
    let mut silences = 0;
    loop {
        sleep(LOOK).await;
        let Some(running) = running.upgrade() else { return };
        if running.machine.is_gone() {
            return;
        }
        silences = if running.look().await.is_some() { 0 } else { silences + 1 };
        if silences >= SILENCES {
            let machine = &running.machine.id;
            tracing::warn!(connector, machine, "the machine does not say how it is: it is ended");
            running.machine.stop.cancel();
            return;
        }
    }
}

fn spawn_error(error: MachineError) -> PeerError {
    let kind = match &error {
        MachineError::Program(_) | MachineError::NoBridge => std::io::ErrorKind::NotFound,
        MachineError::Silent(_) => std::io::ErrorKind::TimedOut,
        _ => std::io::ErrorKind::Other,
    };
    PeerError::Spawn { what: error.to_string(), source: kind.into() }
}

fn failed(error: &Arc<PeerError>, until: Instant) -> ConnectorError {
    let retry_after = until.saturating_duration_since(Instant::now());
    ConnectorError::Start { error: Arc::clone(error), retry_after }
}

/// The pause after so many failures in a row, give or take a quarter.
fn pause(failures: u32) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8));
    let percent = 75 + u32::try_from(RandomState::new().hash_one(failures) % 51).unwrap_or(25);
    doubled.min(LONGEST_PAUSE) * percent / 100
}
