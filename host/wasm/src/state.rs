//! What the host remembers about one running instance.
//!
//! Lives in the instance's store and dies with it. An instance may be made before there is a
//! hook for it: what belongs to the hook is set by [`State::serve`], and nothing that was used
//! up before counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use wasmtime::{Result, UpdateDeadline};

use crate::{
    CallContext, Grants, Limits, ProgressSink, Reach,
    budget::Budget,
    capabilities::{facts::Facts, log::Voice, wasi::Wasi},
    limits::Meter,
    pace::Pace,
};

/// Why the host ended a guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the deadline of the call has passed")]
    Deadline,
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the guest used up its time")]
    OutOfTime,
    #[error("the guest called the host too often")]
    HostCalls,
    #[error("{0}")]
    BadHostCall(String),
    /// The session has no room for a further fact: the guest's call, but not its fault alone.
    #[error("{0}")]
    SessionFull(String),
    #[error("{0}")]
    Host(String),
}

/// Time that a guest has to end by itself once nobody waits for it.
const GRACE: Duration = Limits::TICK.saturating_mul(4);

/// Data of one store.
pub(crate) struct State {
    pub(crate) meter: Meter,
    pub(crate) voice: Arc<Voice>,
    pub(crate) call: Option<String>,
    pub(crate) trace_parent: Option<Arc<str>>,
    pub(crate) grants: Grants,
    pub(crate) reach: Reach,
    pub(crate) facts: Option<Arc<dyn Facts>>,
    pub(crate) progress: Option<ProgressSink>,
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) stop: Option<Stop>,
    pub(crate) pace: Arc<Pace>,
    deadline: Instant,
    cancelled: Option<Arc<AtomicBool>>,
    guest_time: Duration,
    ending: Option<Stop>,
    host_calls: u32,
}

/// What differs from hook to hook.
pub(crate) struct Circumstances<'a> {
    pub(crate) call: Option<&'a CallContext>,
    pub(crate) progress: Option<ProgressSink>,
    pub(crate) deadline: Instant,
}

impl State {
    /// Of an instance that serves no hook yet: it has its binding's limits to get ready.
    pub(crate) fn new(
        voice: &Arc<Voice>,
        limits: &Limits,
        (grants, reach): (Grants, &Reach),
        (lane, budget): (&Arc<Semaphore>, &Arc<Budget>),
        deadline: Instant,
    ) -> Self {
        Self {
            meter: Meter::new(limits, budget),
            voice: Arc::clone(voice),
            call: None,
            trace_parent: None,
            grants,
            reach: reach.clone(),
            facts: None,
            progress: None,
            wasi: None,
            stop: None,
            pace: Pace::new(lane),
            deadline,
            cancelled: None,
            guest_time: limits.guest_time,
            ending: None,
            host_calls: limits.host_calls,
        }
    }

    /// From now on it serves this hook, with all of the binding's limits before it.
    pub(crate) fn serve(&mut self, limits: &Limits, circumstances: Circumstances<'_>) {
        let call = circumstances.call;
        self.call = call.map(|call| call.id.clone());
        self.trace_parent = call.and_then(|call| call.trace_parent.clone());
        self.facts = call.and_then(|call| call.facts.clone());
        self.cancelled = call.map(|call| Arc::clone(&call.cancelled));
        self.progress = circumstances.progress;
        self.deadline = circumstances.deadline;
        self.guest_time = limits.guest_time;
        self.host_calls = limits.host_calls;
        self.ending = None;
        self.pace.restart();
        if let Some(wasi) = &self.wasi {
            wasi.serves(self.call.as_deref());
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_over(&self) -> Option<Stop> {
        if self.cancelled.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            Some(Stop::Cancelled)
        } else if Instant::now() >= self.deadline {
            Some(Stop::Deadline)
        } else {
            None
        }
    }

    /// Time until the hook's deadline.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The guest runs and a tick has passed since this was last looked at, or more while it
    /// waited.
    pub(crate) fn tick(&mut self) -> Result<UpdateDeadline> {
        // It was ended where the engine could not be told.
        if let Some(stop) = &self.stop {
            return Err(wasmtime::Error::new(stop.clone()));
        }
        let spent = self.pace.mark();
        if self.ending.is_none()
            && let Some(over) = self.is_over()
        {
            self.guest_time = self.guest_time.min(spent + GRACE);
            self.ending = Some(over);
        }
        if spent >= self.guest_time {
            let stop = self.ending.clone().unwrap_or(Stop::OutOfTime);
            return Err(self.halt(stop));
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(Arc::clone(&self.pace).turn())))
    }

    /// Every host function begins with this.
    pub(crate) fn host_call(&mut self) -> Result<()> {
        match self.host_calls.checked_sub(1) {
            Some(left) => {
                self.host_calls = left;
                Ok(())
            }
            None => Err(self.halt(Stop::HostCalls)),
        }
    }

    /// Ends the guest; the reason is kept for whoever runs it.
    pub(crate) fn halt(&mut self, stop: Stop) -> wasmtime::Error {
        self.stop = Some(stop.clone());
        wasmtime::Error::new(stop)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::SystemClock;

    use super::*;
    use crate::lines::Lines;

    #[test]
    fn what_was_used_before_there_was_a_hook_does_not_count() {
        let voice = Arc::new(Voice {
            plugin: "p".into(),
            lines: Arc::new(Lines::default()),
            clock: Arc::new(SystemClock),
        });
        let limits = Limits { host_calls: 2, ..Limits::INTERCEPTOR };
        let now = Instant::now();
        let granted = (Grants::NONE, &Reach::default());
        let shared = (&Pace::lane(), &Budget::new(0));
        let mut state = State::new(&voice, &limits, granted, shared, now);
        assert_eq!(state.is_over(), Some(Stop::Deadline));
        assert!(state.host_call().is_ok() && state.host_call().is_ok());
        while state.pace.mark() < Duration::from_millis(1) {}

        let deadline = now + Duration::from_secs(60);
        state.serve(&limits, Circumstances { call: None, progress: None, deadline });
        assert_eq!((state.is_over(), state.pace.spent()), (None, Duration::ZERO));
        assert!(state.host_call().is_ok() && state.host_call().is_ok());
        assert!(state.host_call().is_err());
        assert_eq!(state.stop, Some(Stop::HostCalls));
    }
}
