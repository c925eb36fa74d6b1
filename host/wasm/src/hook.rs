//! One call of one hook: a fresh instance, its bounds, and how it ended.
//!
//! Every run of a guest passes through [`Work`]: begin (breaker, room, store, limits), the
//! adapter's future under [`Work::bounded`], end (classification, the check of what was said,
//! counters). Knows no interface.

use std::{sync::Arc, time::Instant};

use tidegate_model::Json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap as EngineTrap, component::Instance};

use crate::{
    CallContext, Counts, Failure, Limits, ProgressSink, Trap,
    breaker::{Breaker, Ending, Pass},
    counters::{Counters, Said},
    engine::Running,
    limits::Exceeded,
    lines::Line,
    pace::{Pace, Paced},
    recipe::Recipe,
    spares::{self, Spares},
    state::{Circumstances, State, Stop},
    world::{Guest, Pending, World},
};

/// Covers the ticks in which a guest may end by itself.
const GRACE: std::time::Duration = Limits::TICK.saturating_mul(10);

/// A binding, ready to run.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) name: Arc<str>,
    world: Arc<dyn World>,
    pub(crate) config: Json,
    pub(crate) limits: Limits,
    recipe: Arc<Recipe>,
    spares: Arc<Spares>,
    breaker: Arc<Breaker>,
    /// Places of hooks that run at once.
    places: Arc<Semaphore>,
    counters: Counters,
}

impl Prepared {
    pub(crate) fn new(
        world: Arc<dyn World>,
        config: Json,
        recipe: Recipe,
        breaker: Arc<Breaker>,
    ) -> Self {
        let recipe = Arc::new(recipe);
        let limits = recipe.limits;
        let places = limits.concurrent.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            name: Arc::clone(&recipe.voice.plugin),
            spares: Spares::new(Arc::clone(&world), &recipe),
            world,
            config,
            limits,
            recipe,
            breaker,
            places: Arc::new(Semaphore::new(places)),
            counters: Counters::default(),
        }
    }

    pub(crate) fn world(&self) -> &dyn World {
        &*self.world
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// What the guest said last, in lines with numbers above `since`.
    pub(crate) fn lines(&self, since: u64) -> Vec<Line> {
        self.recipe.voice.lines.since(since)
    }

    pub(crate) fn fault(&self, trap: Trap) -> Failure {
        Failure::trap(&self.name, trap)
    }
}

/// One hook in the counters and at the breaker, however it ends; dropped, it was given up.
struct Tally<'p> {
    prepared: &'p Prepared,
    started: Instant,
    pass: Option<Pass>,
    /// What became of it depends on the session: other sessions must not lose the plugin.
    excused: bool,
    ended: bool,
}

impl Tally<'_> {
    fn end(&mut self, said: Result<Said, &Failure>) {
        self.ended = true;
        let now = self.prepared.recipe.shared.now();
        self.prepared.counters.ended(self.started.elapsed(), said);
        let ending = match said {
            Ok(_) => Ending::Well,
            Err(Failure::Trap { .. }) if !self.excused => Ending::Trapped,
            Err(_) => Ending::Neither,
        };
        if let Some(pass) = self.pass {
            self.prepared.breaker.ended(pass, ending, now);
        }
    }

    fn failed(mut self, failure: Failure) -> Failure {
        self.end(Err(&failure));
        failure
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let cancelled = Failure::Cancelled { plugin: Arc::clone(&self.prepared.name) };
            self.end(Err(&cancelled));
        }
    }
}

/// A hook under way. Dropping it ends the guest.
pub(crate) struct Work<'p> {
    tally: Tally<'p>,
    // Dropped before the permits, which stand for the instance's place in the pool.
    store: Store<State>,
    ready: Option<Instance>,
    pace: Arc<Pace>,
    _running: Running,
    _permits: [OwnedSemaphorePermit; 2],
    until: Instant,
    call_deadline: Option<Instant>,
}

impl<'p> Work<'p> {
    /// Waits for room and makes a store, or takes an instance that was made ahead.
    pub(crate) async fn begin(
        prepared: &'p Prepared,
        call: Option<&CallContext>,
        progress: Option<ProgressSink>,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let recipe = &prepared.recipe;
        let limits = &prepared.limits;
        let mut tally = Tally { prepared, started, pass: None, excused: false, ended: false };
        let Some(pass) = prepared.breaker.admit(recipe.shared.now()) else {
            return Err(tally.failed(Failure::BreakerOpen { plugin: Arc::clone(&prepared.name) }));
        };
        tally.pass = Some(pass);
        let call_deadline = call.map(|call| call.deadline);
        let wall = started + limits.wall_time;
        let deadline = call_deadline.map_or(wall, |deadline| deadline.min(wall));
        let busy = |advice| Failure::Busy { plugin: Arc::clone(&prepared.name), advice };
        let Some(place) = acquire(&prepared.places, deadline).await else {
            let advice =
                "too many of its hooks run at once: raise `limits.concurrent`, or call less";
            return Err(tally.failed(busy(advice)));
        };
        let (mut store, ready, permit) = match prepared.spares.take() {
            Some(spare) => {
                prepared.counters.spared();
                (spare.store, Some(spare.instance), spare.permit)
            }
            None => {
                let Some(permit) = recipe.shared.room(recipe.places, deadline).await else {
                    let advice =
                        "all instances are taken: raise the number of instances, or call less";
                    return Err(tally.failed(busy(advice)));
                };
                (recipe.store(deadline), None, permit)
            }
        };
        store.data_mut().serve(limits, Circumstances { call, progress, deadline });
        recipe.refuel(&mut store);
        let pace = Arc::clone(&store.data().pace);
        Ok(Self {
            tally,
            store,
            ready,
            pace,
            _running: recipe.shared.ticker.running(),
            _permits: [permit, place],
            until: deadline + GRACE,
            call_deadline,
        })
    }

    pub(crate) fn guest(&mut self) -> Guest<'_> {
        Guest { store: &mut self.store, ready: self.ready }
    }

    /// What [`Work::bounded`] needs while the guest has the rest: the moment at which even one
    /// that waits is given up, and its pace.
    pub(crate) fn bounds(&self) -> (Instant, Arc<Pace>) {
        (self.until, Arc::clone(&self.pace))
    }

    /// Runs an adapter's future within bounds; `None` when it was given up.
    pub(crate) async fn bounded<T>(
        (until, pace): (Instant, Arc<Pace>),
        future: Pending<'_, T>,
    ) -> Option<wasmtime::Result<T>> {
        tokio::time::timeout_at(until.into(), Paced::new(future, pace)).await.ok()
    }

    /// Says how it ended, and counts it. What the guest said is checked once its instance is
    /// gone, or on its way; a check that fails is the guest's fault like any other.
    pub(crate) fn end<T, U>(
        mut self,
        said: Option<wasmtime::Result<T>>,
        check: impl FnOnce(T) -> Result<(Said, U), Failure>,
    ) -> Result<U, Failure> {
        let said = match said {
            // Ended where the engine could not be told, and done before the next tick.
            Some(Ok(_)) if let Some(stop) = self.store.data_mut().stop.take() => {
                Err(self.stopped(stop))
            }
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                let stop = self.store.data().stop.as_ref();
                self.tally.excused = matches!(stop, Some(Stop::SessionFull(_)));
                Err(self.classify(&error))
            }
            None => Err(self.stopped(Stop::Deadline)),
        };
        let Self { mut tally, store, ready, pace, _permits: [permit, _place], .. } = self;
        tally.prepared.counters.took(store.data().meter.taken(), pace.spent());
        match ready {
            Some(_) => spares::retire(store, permit),
            None => drop((store, permit)),
        }
        let checked = said.and_then(check);
        tally.end(checked.as_ref().map(|(said, _)| *said));
        checked.map(|(_, value)| value)
    }

    fn classify(&mut self, error: &wasmtime::Error) -> Failure {
        if let Some(stop) = self.store.data_mut().stop.take() {
            return self.stopped(stop);
        }
        let prepared = self.tally.prepared;
        let limits = &prepared.limits;
        match self.store.data().meter.exceeded {
            Some(Exceeded::Own) => return prepared.fault(Trap::OutOfMemory(limits.memory)),
            Some(Exceeded::All) => {
                return Failure::MemoryFull { plugin: Arc::clone(&prepared.name) };
            }
            None => {}
        }
        prepared.fault(if let Some(trap) = error.downcast_ref::<EngineTrap>() {
            match trap {
                EngineTrap::StackOverflow => Trap::OutOfStack,
                other => Trap::Trapped(other.to_string()),
            }
        } else if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Failure::Host {
                plugin: Arc::clone(&prepared.name),
                source: error.to_string().into(),
            };
        } else {
            unnamed(&error.root_cause().to_string(), limits)
        })
    }

    /// A deadline that is the binding's own is the guest's fault, the call's is nobody's.
    fn stopped(&self, stop: Stop) -> Failure {
        let Tally { prepared, started, .. } = self.tally;
        let limits = &prepared.limits;
        let own = match (&stop, self.call_deadline) {
            (Stop::Deadline, None) => true,
            (Stop::Deadline, Some(deadline)) => deadline > started + limits.wall_time,
            _ => false,
        };
        if own {
            return prepared.fault(Trap::OutOfTime(limits.wall_time));
        }
        Failure::stopped(&prepared.name, stop, limits)
    }
}

/// Errors of the engine that have no type, by their words.
fn unnamed(words: &str, limits: &Limits) -> Trap {
    if words.contains("fuel") {
        Trap::OutputTooLarge(limits.output)
    } else if words.contains("resource limit exceeded") {
        Trap::TooManyInstances(limits.instances)
    } else if words.contains("resource table") || words.contains("handle") {
        Trap::TooManyHandles(limits.handles)
    } else {
        Trap::BadOutput(words.to_owned())
    }
}

/// A place, as soon as there is one before the deadline.
async fn acquire(places: &Arc<Semaphore>, deadline: Instant) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    let place = Arc::clone(places).acquire_owned();
    tokio::time::timeout_at(deadline.into(), place).await.ok()?.ok()
}

/// Runs one method of the adapter in a fresh instance, checks what it said and says how it
/// ended.
macro_rules! run {
    ($prepared:expr, $call:expr, $progress:expr, $method:ident($($argument:expr),*), $check:expr) => {{
        let mut work = $crate::hook::Work::begin($prepared, $call, $progress).await?;
        let bounds = work.bounds();
        let future = $prepared.world().$method(work.guest(), $($argument),*);
        let said = $crate::hook::Work::bounded(bounds, future).await;
        work.end(said, $check)
    }};
}

pub(crate) use run;
