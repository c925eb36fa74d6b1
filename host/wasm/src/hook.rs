//! One call of one hook: a fresh instance, its bounds, and how it ended.
//!
//! Every run of a guest passes through [`Work`]: begin (room, store, limits), the adapter's
//! future under [`Work::bounded`], end (classification, counters). Knows no interface.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_model::Json;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap as EngineTrap};

use crate::{
    CallContext, Counts, Failure, Grants, Limits, ProgressSink, Reach, Trap,
    counters::Counters,
    engine::Running,
    sandbox::Shared,
    state::{Circumstances, State, Stop},
    world::{Guest, Pending, World},
};

/// A tenth of a second covers the ticks in which a guest may end by itself.
const GRACE: Duration = Duration::from_millis(50);
/// Room for the parts of a returned value that are not its text.
const SLACK: usize = 64 << 10;

/// A binding, ready to run.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) name: Arc<str>,
    world: Box<dyn World>,
    pub(crate) config: Json,
    grants: Grants,
    reach: Reach,
    pub(crate) limits: Limits,
    shared: Arc<Shared>,
    counters: Counters,
}

impl Prepared {
    pub(crate) fn new(
        name: Arc<str>,
        world: Box<dyn World>,
        config: Json,
        (grants, reach): (Grants, Reach),
        limits: Limits,
        shared: &Arc<Shared>,
    ) -> Self {
        let counters = Counters::default();
        Self { name, world, config, grants, reach, limits, shared: Arc::clone(shared), counters }
    }

    pub(crate) fn world(&self) -> &dyn World {
        &*self.world
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counters.read()
    }
}

/// A hook under way. Dropping it ends the guest.
pub(crate) struct Work<'p> {
    prepared: &'p Prepared,
    // Dropped before the permit, which stands for the instance's place in the pool.
    store: Store<State>,
    _running: Running,
    _permit: OwnedSemaphorePermit,
    started: Instant,
    until: Instant,
    call_deadline: Option<Instant>,
    ended: bool,
}

impl<'p> Work<'p> {
    /// Waits for room and makes a store.
    pub(crate) async fn begin(
        prepared: &'p Prepared,
        call: Option<&CallContext>,
        progress: Option<ProgressSink>,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let shared = &prepared.shared;
        let limits = &prepared.limits;
        let call_deadline = call.map(|call| call.deadline);
        let wall = started + limits.wall_time;
        let deadline = call_deadline.map_or(wall, |deadline| deadline.min(wall));
        let permit = match Arc::clone(&shared.room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => wait_for_room(prepared, deadline, started).await?,
        };
        let circumstances = Circumstances { call, progress, deadline };
        let state =
            State::new(&prepared.name, limits, (prepared.grants, &prepared.reach), &shared.clock, circumstances);
        let running = shared.ticker.running();
        let mut store = Store::new(&shared.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(limits.output.saturating_add(SLACK));
        store.set_max_component_handles(limits.handles);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| store.data_mut().tick());
        Ok(Self {
            prepared,
            store,
            _running: running,
            _permit: permit,
            started,
            until: deadline + GRACE,
            call_deadline,
            ended: false,
        })
    }

    pub(crate) fn guest(&mut self) -> Guest<'_> {
        Guest { store: &mut self.store, ready: None }
    }

    /// The moment at which even a guest that waits is given up.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Runs an adapter's future, but not past `until`; `None` when it was given up.
    pub(crate) async fn bounded<T>(
        until: Instant,
        future: Pending<'_, T>,
    ) -> Option<wasmtime::Result<T>> {
        tokio::time::timeout_at(until.into(), future).await.ok()
    }

    /// Says how it ended, and counts it.
    pub(crate) fn end<T>(mut self, said: Option<wasmtime::Result<T>>) -> Result<T, Failure> {
        let result = match said {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(self.classify(&error)),
            None => Err(self.stopped(Stop::Deadline)),
        };
        self.ended = true;
        let state = self.store.data();
        let ticks = self.prepared.limits.ticks().saturating_sub(state.ticks_left());
        self.prepared.counters.took(state.meter.taken(), ticks);
        self.prepared.counters.ended(self.started.elapsed(), result.as_ref().err());
        result
    }

    fn classify(&mut self, error: &wasmtime::Error) -> Failure {
        if let Some(stop) = self.store.data_mut().stop.take() {
            return self.stopped(stop);
        }
        let limits = &self.prepared.limits;
        let trap = if self.store.data().meter.exceeded {
            Trap::OutOfMemory(limits.memory)
        } else if let Some(trap) = error.downcast_ref::<EngineTrap>() {
            match trap {
                EngineTrap::StackOverflow => Trap::OutOfStack,
                other => Trap::Trapped(other.to_string()),
            }
        } else if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Failure::Host {
                plugin: Arc::clone(&self.prepared.name),
                source: error.to_string().into(),
            };
        } else if error.to_string().contains("fuel") {
            Trap::OutputTooLarge(limits.output)
        } else {
            Trap::BadOutput(error.root_cause().to_string())
        };
        Failure::trap(&self.prepared.name, trap)
    }

    /// A deadline that is the binding's own is the guest's fault, the call's is nobody's.
    fn stopped(&self, stop: Stop) -> Failure {
        let limits = &self.prepared.limits;
        let own = match (&stop, self.call_deadline) {
            (Stop::Deadline, None) => true,
            (Stop::Deadline, Some(deadline)) => deadline > self.started + limits.wall_time,
            _ => false,
        };
        if own {
            return Failure::trap(&self.prepared.name, Trap::OutOfTime(limits.wall_time));
        }
        Failure::stopped(&self.prepared.name, stop, limits)
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let cancelled = Failure::Cancelled { plugin: Arc::clone(&self.prepared.name) };
            self.prepared.counters.ended(self.started.elapsed(), Some(&cancelled));
        }
    }
}

async fn wait_for_room(
    prepared: &Prepared,
    deadline: Instant,
    started: Instant,
) -> Result<OwnedSemaphorePermit, Failure> {
    let waiting = Arc::clone(&prepared.shared.room).acquire_owned();
    let failure = match tokio::time::timeout_at(deadline.into(), waiting).await {
        Ok(Ok(permit)) => return Ok(permit),
        _ => Failure::Host {
            plugin: Arc::clone(&prepared.name),
            source: "all instances are busy: raise the number of instances, or call less".into(),
        },
    };
    prepared.counters.ended(started.elapsed(), Some(&failure));
    Err(failure)
}

/// Runs one method of the adapter in a fresh instance and says how it ended.
macro_rules! run {
    ($prepared:expr, $call:expr, $progress:expr, $method:ident($($argument:expr),*)) => {{
        let mut work = $crate::hook::Work::begin($prepared, $call, $progress).await?;
        let until = work.until();
        let future = $prepared.world().$method(work.guest(), $($argument),*);
        let said = $crate::hook::Work::bounded(until, future).await;
        work.end(said)
    }};
}

pub(crate) use run;
