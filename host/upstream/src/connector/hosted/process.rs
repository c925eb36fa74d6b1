//! The life of one child process: idle, starting, running, failed, shut.
//!
//! Whoever needs it running waits for the state to change; nobody holds a lock meanwhile.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_wire::client::{
    PeerError, Wanted,
    stdio::{Command, StdioPeer, StdioSettings},
};
use tokio::{sync::watch, time::Instant};

use crate::connector::{ConnectorError, Health};

/// A process that ran this long did not fail at the start.
const SETTLED: Duration = Duration::from_secs(10);
/// The first pause between starts; doubled with each failure in a row.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(super) struct Process {
    command: Command,
    settings: StdioSettings,
    state: watch::Sender<State>,
    changes: watch::Sender<u64>,
    starts: AtomicU64,
}

#[derive(Debug, Clone)]
enum State {
    Idle,
    Starting { failures: u32 },
    Running { peer: Arc<StdioPeer>, since: Instant, failures: u32 },
    Failed { error: Arc<PeerError>, until: Instant, failures: u32 },
    Shut,
}

impl Process {
    pub(super) fn new(command: Command, settings: StdioSettings) -> Self {
        Self {
            command,
            settings,
            state: watch::Sender::new(State::Idle),
            changes: watch::Sender::new(0),
            starts: AtomicU64::new(0),
        }
    }

    /// The running process; started, or waited for, if it is not there.
    pub(super) async fn running(self: &Arc<Self>) -> Result<Arc<StdioPeer>, ConnectorError> {
        let mut states = self.state.subscribe();
        loop {
            let state = states.borrow_and_update().clone();
            match state {
                State::Running { peer, .. } if !peer.is_closed() => return Ok(peer),
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

    /// Begins a start, unless somebody else was quicker or it is too early.
    fn start(self: &Arc<Self>) {
        let begun = self.state.send_if_modified(|state| {
            let failures = match &*state {
                State::Idle => 0,
                State::Running { peer, since, failures } if peer.is_closed() => {
                    let failures = if since.elapsed() < SETTLED { failures + 1 } else { 0 };
                    // The first restart comes at once; a process that ends right after its
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
        let started = StdioPeer::spawn(&self.command, &self.settings).await.map(Arc::new);
        if self.starts.fetch_add(1, Ordering::Relaxed) > 0 {
            tracing::info!(connector = self.settings.name, "started again");
        }
        let mut forward = None;
        self.state.send_if_modified(|state| {
            let State::Starting { failures } = *state else { return false };
            *state = match started {
                Ok(peer) => {
                    forward = Some(peer.changes());
                    State::Running { peer, since: Instant::now(), failures }
                }
                Err(error) => {
                    tracing::warn!(connector = self.settings.name, %error, "could not be started");
                    let failures = failures + 1;
                    let until = Instant::now() + pause(failures);
                    State::Failed { error: Arc::new(error), until, failures }
                }
            };
            true
        });
        let Some(mut news) = forward else { return };
        let changes = self.changes.clone();
        drop(self);
        loop {
            changes.send_modify(|count| *count += 1);
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn health(&self) -> Health {
        let restarts = self.starts.load(Ordering::Relaxed).saturating_sub(1);
        match &*self.state.borrow() {
            State::Running { peer, .. } => Health {
                restarts,
                junk_lines: peer.junk_lines(),
                info: peer.info(),
                ..Health::default()
            },
            _ => Health { restarts, ..Health::default() },
        }
    }

    /// Counts starts, and the times that a running process said that a list has changed.
    pub(super) fn changes(&self) -> &watch::Sender<u64> {
        &self.changes
    }

    /// The running process, if there is one.
    pub(super) fn current(&self) -> Option<Arc<StdioPeer>> {
        match &*self.state.borrow() {
            State::Running { peer, .. } if !peer.is_closed() => Some(Arc::clone(peer)),
            _ => None,
        }
    }

    /// The process, as soon as it runs. Nobody starts it only to listen to it, unless single
    /// resources or tasks are to be followed.
    pub(super) async fn to_listen_to(
        self: &Arc<Self>,
        mut wanted: watch::Receiver<Wanted>,
    ) -> Result<Arc<StdioPeer>, ConnectorError> {
        let mut states = self.state.subscribe();
        loop {
            if !wanted.borrow_and_update().is_empty() {
                return self.running().await;
            }
            if matches!(*states.borrow_and_update(), State::Shut) {
                return Err(ConnectorError::Closed);
            }
            if let Some(peer) = self.current() {
                return Ok(peer);
            }
            tokio::select! {
                changed = states.changed() => changed.map_err(|_| ConnectorError::Closed)?,
                changed = wanted.changed() => changed.map_err(|_| ConnectorError::Closed)?,
            }
        }
    }

    /// No start any more; the process is told to end.
    pub(super) fn shut(&self) -> Option<Arc<StdioPeer>> {
        match self.state.send_replace(State::Shut) {
            State::Running { peer, .. } => Some(peer),
            _ => None,
        }
    }

    pub(super) async fn close(&self) {
        if let Some(peer) = self.shut() {
            peer.close().await;
        }
    }
}

fn failed(error: &Arc<PeerError>, until: Instant) -> ConnectorError {
    let retry_after = until.saturating_duration_since(Instant::now());
    ConnectorError::Start { error: Arc::clone(error), retry_after }
}

/// The pause after so many failures in a row, give or take a quarter, so that connectors
/// that failed together do not start together.
fn pause(failures: u32) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8));
    let percent = 75 + u32::try_from(RandomState::new().hash_one(failures) % 51).unwrap_or(25);
    doubled.min(LONGEST_PAUSE) * percent / 100
}
