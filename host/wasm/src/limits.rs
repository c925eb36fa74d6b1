//! What one guest may use, and the meter that holds it to that.
//!
//! Every number that bounds a guest stands here. wasmtime's own defaults are unlimited or
//! huge, so none of them is relied on.

use std::{sync::Arc, time::Duration};

use wasmtime::{ResourceLimiter, Result};

use crate::budget::Budget;

/// Bounds of one binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time the guest itself may run for one hook; what it waits for is not counted. Looked at
    /// every [`Limits::TICK`], so a hook ends at most one tick late.
    pub guest_time: Duration,
    /// Time one hook may take with everything it waits for; the call's own deadline also holds.
    pub wall_time: Duration,
    /// Bytes of all linear memories together.
    pub memory: usize,
    /// Entries of one table.
    pub table_elements: usize,
    /// Core instances, memories and tables, each.
    pub instances: usize,
    /// Bytes that a hook may return.
    pub output: usize,
    /// Bytes of the state that `before-call` may hand to `after-call`.
    pub state: usize,
    /// Calls of host functions during one hook, those of WASI included.
    pub host_calls: u32,
    /// Handles of host resources that the guest may hold.
    pub handles: usize,
    /// Hooks of the binding that run at once; further ones wait until one ends.
    pub concurrent: usize,
    /// Instances made ahead. By default as many as help a component that is slow to start,
    /// and none for others; 0 for never.
    pub spares: Option<usize>,
}

impl Limits {
    /// How often the guest's time is looked at.
    pub const TICK: Duration = Duration::from_millis(5);

    /// Stack of a guest, the same for all: the engine has one size. A guest that needs more
    /// traps.
    pub const STACK: usize = 512 << 10;

    /// For hooks of interceptors, which every call waits for.
    pub const INTERCEPTOR: Self = Self {
        guest_time: Duration::from_millis(50),
        wall_time: Duration::from_secs(1),
        memory: 64 << 20,
        table_elements: 10_000,
        instances: 16,
        output: 8 << 20,
        state: 64 << 10,
        host_calls: 10_000,
        handles: 1_000,
        concurrent: 64,
        spares: None,
    };

    /// For customizers, which run when the catalogue is compiled.
    pub const CUSTOMIZER: Self = Self {
        guest_time: Duration::from_secs(2),
        wall_time: Duration::from_secs(10),
        output: 16 << 20,
        ..Self::INTERCEPTOR
    };

    /// For connectors, which do the work themselves.
    pub const CONNECTOR: Self = Self {
        guest_time: Duration::from_secs(5),
        wall_time: Duration::from_secs(60),
        output: 16 << 20,
        // An answer may come in many small pieces, and each takes a few calls to read.
        host_calls: 100_000,
        ..Self::INTERCEPTOR
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::INTERCEPTOR
    }
}

/// Raised inside the engine when a guest grows past its bound.
#[derive(Debug, thiserror::Error)]
#[error("the guest grew past its limit")]
struct GrewTooMuch;

/// Counts what one instance has taken, and gives all of it back when it ends.
#[derive(Debug)]
pub(crate) struct Meter {
    memory: usize,
    table_elements: usize,
    counts: usize,
    budget: Arc<Budget>,
    taken: usize,
    /// What the last growth took, in case nothing comes of it.
    last: usize,
    /// The bound that refused growth: the trap that follows is about it.
    pub(crate) exceeded: Option<Exceeded>,
}

/// Whose bound an instance grew past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// Its binding's.
    Own,
    /// That of all instances together.
    All,
}

impl Meter {
    pub(crate) fn new(limits: &Limits, budget: &Arc<Budget>) -> Self {
        Self {
            memory: limits.memory,
            table_elements: limits.table_elements,
            counts: limits.instances,
            budget: Arc::clone(budget),
            taken: 0,
            last: 0,
            exceeded: None,
        }
    }

    /// Bytes of linear memory that the instance has.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// An allocator that is told "no" aborts, which would look like any other trap.
    fn refused(&mut self, by: Exceeded) -> Result<bool> {
        self.exceeded = Some(by);
        Err(wasmtime::Error::new(GrewTooMuch))
    }
}

impl Meter {
    /// Gives back what the instance has taken; it does not run again.
    pub(crate) fn give_back(&mut self) {
        self.budget.give(std::mem::take(&mut self.taken));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let more = desired.saturating_sub(current);
        let taken = self.taken.saturating_add(more);
        if taken > self.memory {
            return self.refused(Exceeded::Own);
        }
        if !self.budget.take(more) {
            return self.refused(Exceeded::All);
        }
        (self.taken, self.last) = (taken, more);
        Ok(true)
    }

    /// What is past the memory's own maximum is asked for all the same.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        let last = std::mem::take(&mut self.last);
        self.taken = self.taken.saturating_sub(last);
        self.budget.give(last);
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        if desired > self.table_elements {
            return self.refused(Exceeded::Own);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.counts
    }

    fn tables(&self) -> usize {
        self.counts
    }

    fn memories(&self) -> usize {
        self.counts
    }
}
