//! What the host remembers about one running instance.
//!
//! Lives in the instance's store and dies with it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tidegate_model::Clock;
use wasmtime::{Result, UpdateDeadline};

use crate::{
    CallContext, Grants, Limits, ProgressSink, Reach,
    capabilities::{facts::Facts, wasi::Wasi},
    limits::Meter,
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
    #[error("{0}")]
    Host(String),
}

/// Ticks a guest has to end by itself once nobody waits for it.
const GRACE: u64 = 4;

/// Data of one store.
pub(crate) struct State {
    pub(crate) meter: Meter,
    pub(crate) plugin: Arc<str>,
    pub(crate) call: Option<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) grants: Grants,
    pub(crate) reach: Reach,
    pub(crate) facts: Option<Arc<dyn Facts>>,
    pub(crate) progress: Option<ProgressSink>,
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) stop: Option<Stop>,
    deadline: Instant,
    cancelled: Option<Arc<AtomicBool>>,
    ticks: u64,
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
    pub(crate) fn new(
        plugin: &Arc<str>,
        limits: &Limits,
        (grants, reach): (Grants, &Reach),
        clock: &Arc<dyn Clock>,
        circumstances: Circumstances<'_>,
    ) -> Self {
        let call = circumstances.call;
        Self {
            meter: Meter::new(limits),
            plugin: Arc::clone(plugin),
            call: call.map(|call| call.id.clone()),
            clock: Arc::clone(clock),
            grants,
            reach: reach.clone(),
            facts: call.and_then(|call| call.facts.clone()),
            progress: circumstances.progress,
            wasi: None,
            stop: None,
            deadline: circumstances.deadline,
            cancelled: call.map(|call| Arc::clone(&call.cancelled)),
            ticks: limits.ticks(),
            ending: None,
            host_calls: limits.host_calls,
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

    /// One tick of the guest's time has passed.
    pub(crate) fn tick(&mut self) -> Result<UpdateDeadline> {
        if self.ending.is_none()
            && let Some(over) = self.is_over()
        {
            self.ticks = self.ticks.min(GRACE);
            self.ending = Some(over);
        }
        self.ticks = self.ticks.saturating_sub(1);
        if self.ticks == 0 {
            let stop = self.ending.clone().unwrap_or(Stop::OutOfTime);
            return Err(self.halt(stop));
        }
        Ok(UpdateDeadline::Yield(1))
    }

    /// Ticks that the guest has not used.
    pub(crate) fn ticks_left(&self) -> u64 {
        self.ticks
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
