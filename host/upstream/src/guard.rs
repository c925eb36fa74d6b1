//! What keeps one connector's trouble to itself: cap, queue, breaker and deadline.
//!
//! Wraps any connector. A call first passes the breaker, then waits for its turn, then runs
//! under its deadline; dropping the future at any point gives everything back. Nothing is
//! ever tried twice here.

mod breaker;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tidegate_model::{Answer, ConnectorId, Pause};
use tidegate_wire::client::{Affinity, Asking, Exchange, Round, Wanted, within};
use tokio::{
    sync::{Semaphore, SemaphorePermit, broadcast, watch},
    time::{Instant, timeout_at},
};

use self::breaker::{Breaker, Passage};
use crate::{
    armed::{Armed, Maintenance},
    connector::{
        Connector, ConnectorError, GuardSpec, Health, HealthState, Listed, MachineLines, Update,
    },
    credential::Credential,
};

/// A connector behind its guard.
#[derive(Debug)]
pub(crate) struct Guarded {
    inner: Arc<dyn Connector>,
    turns: Semaphore,
    concurrency: usize,
    queue: usize,
    wait: Duration,
    waiting: AtomicUsize,
    breaker: Breaker,
    last: AtomicU8,
    last_error: Mutex<Option<String>>,
}

/// The last outcome, as kept in an atomic.
const UNKNOWN: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

impl Guarded {
    pub(crate) fn new(inner: Arc<dyn Connector>, spec: &GuardSpec) -> Self {
        let concurrency = spec.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            inner,
            turns: Semaphore::new(concurrency),
            concurrency,
            queue: spec.queue,
            wait: spec.wait,
            waiting: AtomicUsize::new(0),
            breaker: Breaker::new(spec.failures, spec.open_for, spec.open_at_most, Instant::now()),
            last: AtomicU8::new(UNKNOWN),
            last_error: Mutex::new(None),
        }
    }

    /// Waits for a turn, in a queue of bounded length and for a bounded time.
    async fn turn(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, ConnectorError> {
        if let Ok(permit) = self.turns.try_acquire() {
            return Ok(permit);
        }
        let busy = ConnectorError::Busy { retry_after: Duration::from_secs(1) };
        let _place = match Place::take(&self.waiting, self.queue) {
            Some(place) => place,
            None => return Err(busy),
        };
        let until = deadline.min(Instant::now() + self.wait);
        match timeout_at(until, self.turns.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(ConnectorError::Closed),
            Err(_) if until == deadline => Err(ConnectorError::Deadline),
            Err(_) => Err(busy),
        }
    }

    fn note<T>(&self, passage: Passage<'_>, outcome: &Result<T, ConnectorError>) {
        match outcome {
            Ok(_) => {
                passage.succeeded();
                if self.last.swap(GOOD, Ordering::Relaxed) == BAD {
                    *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
            }
            Err(error) if error.is_failure() => {
                passage.failed(Instant::now());
                *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(error.to_string());
                self.last.store(BAD, Ordering::Relaxed);
            }
            // Says nothing about the connector: a probe that ends so has proved nothing.
            Err(_) => drop(passage),
        }
    }

    async fn run<T>(
        &self,
        deadline: std::time::Instant,
        pause: Pause,
        asking: Asking,
        work: impl Future<Output = Result<T, ConnectorError>>,
    ) -> Result<T, ConnectorError> {
        let mut passage = Some(self.breaker.pass(Instant::now())?);
        let mut turn = Some(self.turn(Instant::from_std(deadline)).await?);
        let mut work = std::pin::pin!(within(deadline, &pause, work));
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                // Whoever waits for a person keeps nobody else from the connector, and a server
                // that asks is alive.
                () = asking.begun(), if turn.is_some() => {
                    drop(turn.take());
                    passage.take().into_iter().for_each(Passage::succeeded);
                }
            }
        };
        let outcome = outcome.unwrap_or(Err(ConnectorError::Deadline));
        self.note(passage.unwrap_or_else(|| self.breaker.bypass()), &outcome);
        outcome
    }
}

impl Connector for Guarded {
    fn id(&self) -> &ConnectorId {
        self.inner.id()
    }

    fn credential(&self) -> &Credential {
        self.inner.credential()
    }

    fn list<'a>(&'a self, proof: &'a Maintenance) -> BoxFuture<'a, Result<Listed, ConnectorError>> {
        let deadline = Instant::from_std(proof.deadline());
        // System work takes no turn away from calls, and it is how a connector that nobody
        // calls comes back: it goes past an open breaker and closes it when all is well.
        async move {
            let outcome = match timeout_at(deadline, self.inner.list(proof)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(ConnectorError::Deadline),
            };
            self.note(self.breaker.bypass(), &outcome);
            outcome
        }
        .boxed()
    }

    fn call(
        &self,
        armed: Armed,
        exchange: Exchange,
    ) -> BoxFuture<'_, Result<Answer, ConnectorError>> {
        let (deadline, pause) = (armed.call().deadline, armed.call().pause.clone());
        let asking = exchange.asking.clone();
        self.run(deadline, pause, asking, async move { self.inner.call(armed, exchange).await })
            .boxed()
    }

    fn health(&self) -> Health {
        let mut health = self.inner.health();
        health.retry_after = self.breaker.retry_after(Instant::now());
        health.state = match (health.retry_after, self.last.load(Ordering::Relaxed)) {
            (Some(_), _) => HealthState::Down,
            (None, GOOD) => HealthState::Up,
            (None, BAD) => HealthState::Failing,
            (None, _) => HealthState::Unknown,
        };
        health.last_error = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        health.in_flight = self.concurrency.saturating_sub(self.turns.available_permits());
        health.waiting = self.waiting.load(Ordering::Relaxed);
        health
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.inner.updates()
    }

    fn follow(&self, wanted: Wanted) -> Round {
        self.inner.follow(wanted)
    }

    fn release(&self, affinity: Affinity) {
        self.inner.release(affinity);
    }

    fn roots_changed(&self, affinity: Affinity) {
        self.inner.roots_changed(affinity);
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }

    fn warm(&self) -> BoxFuture<'_, ()> {
        self.inner.warm()
    }

    fn logs(&self) -> Vec<MachineLines> {
        self.inner.logs()
    }
}

/// A place in the queue, given back on drop.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, queue: usize) -> Option<Self> {
        let more = |n: usize| (n < queue).then_some(n + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
