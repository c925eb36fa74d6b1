//! Instances made ahead, for components that are slow to start.
//!
//! A spare is made of the same recipe as any other instance, has run nothing but its start-up
//! code and told its configuration schema, and serves one hook. Telling the schema is what
//! makes it quick: the pages and tables that a language needs for any call are in place by
//! then, and it has seen no call. They belong to one binding (so to one version and one
//! configuration), are made one at a time in the background while the pool has plenty of room,
//! give way when it has none, and go when nobody has called for a minute. One that has served
//! is put away beside whoever waits for what it said.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{Notify, OwnedSemaphorePermit},
};
use wasmtime::{Store, component::Instance};

use crate::{
    exports::Interface,
    pace::Paced,
    recipe::Recipe,
    state::State,
    world::{Guest, World},
};

/// Spares of a component that is slow to start.
const USUAL: usize = 8;
/// A start that takes longer is slow.
const SLOW: Duration = Duration::from_micros(200);
/// Starts that are measured; the fastest tells.
const TRIALS: usize = 3;
/// Without a call for so long, all go; and the pause after one that did not start.
const IDLE: Duration = Duration::from_secs(60);
/// Between two looks at a pool that is full.
const AGAIN: Duration = Duration::from_secs(1);

/// An instance that has served nobody.
pub(crate) struct Spare {
    // Dropped before the permit, which stands for its place in the pool.
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// The spares of one binding.
pub(crate) struct Spares {
    world: Arc<dyn World>,
    recipe: Arc<Recipe>,
    ready: Mutex<Vec<Spare>>,
    /// How many there should be; 0 until it is known.
    wanted: AtomicUsize,
    /// Whether the background task was started.
    tended: AtomicBool,
    /// Tells the task that one was taken, or that there is nobody left to make them for.
    taken: Arc<Notify>,
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares").field("ready", &self.ready().len()).finish_non_exhaustive()
    }
}

impl Spares {
    /// None yet. Where there is a runtime, they are made from now on; otherwise after the
    /// first hook.
    pub(crate) fn new(world: Arc<dyn World>, recipe: &Arc<Recipe>) -> Arc<Self> {
        let spares = Arc::new(Self {
            world,
            recipe: Arc::clone(recipe),
            ready: Mutex::default(),
            wanted: AtomicUsize::new(0),
            tended: AtomicBool::new(false),
            taken: Arc::default(),
        });
        if recipe.limits.spares != Some(0) {
            recipe.shared.register(&spares);
            spares.tend();
        }
        spares
    }

    /// One of them, which nobody else gets.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Spare> {
        if self.wanted.load(Ordering::Relaxed) == 0 {
            if self.recipe.limits.spares != Some(0) {
                self.tend();
            }
            return None;
        }
        let spare = self.ready().pop();
        self.taken.notify_one();
        spare
    }

    /// Lets the oldest go, to make room for others.
    pub(crate) fn give_way(&self) -> bool {
        let mut ready = self.ready();
        let oldest = (!ready.is_empty()).then(|| ready.remove(0));
        drop(ready);
        oldest.is_some()
    }

    /// How many are ready.
    pub(crate) fn count(&self) -> usize {
        self.ready().len()
    }

    fn tend(self: &Arc<Self>) {
        if self.tended.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(runtime) = Handle::try_current()
            && !self.tended.swap(true, Ordering::Relaxed)
        {
            runtime.spawn(tend(Arc::downgrade(self), Arc::clone(&self.taken)));
        }
    }

    /// How many there should be; measured unless somebody said so. `None` where it cannot be
    /// told yet, and after how long to ask again.
    async fn measure(&self) -> Result<usize, Duration> {
        if let Some(wanted) = self.recipe.limits.spares {
            return Ok(wanted);
        }
        let mut fastest = Duration::MAX;
        for _ in 0..TRIALS {
            fastest = fastest.min(self.make().await?.1);
        }
        Ok(if fastest > SLOW { USUAL } else { 0 })
    }

    /// Makes what is missing; the error says how long to leave it.
    async fn fill(&self) -> Result<(), Duration> {
        while self.count() < self.wanted.load(Ordering::Relaxed) {
            let (spare, _) = self.make().await?;
            // Whoever came meanwhile and found no place gets this one's.
            if self.recipe.shared.is_full() {
                return Err(AGAIN);
            }
            self.ready().push(spare);
        }
        Ok(())
    }

    /// Makes one, if the pool has plenty of room, and says how long its start took. A
    /// component that does not start tells so when a hook needs it.
    async fn make(&self) -> Result<(Spare, Duration), Duration> {
        let shared = &self.recipe.shared;
        let _turn = shared.making.acquire().await.map_err(|_| IDLE)?;
        let permit = shared.room_to_spare(self.recipe.places).ok_or(AGAIN)?;
        let _running = shared.ticker.running();
        let started = Instant::now();
        let mut store = self.recipe.store(started + self.recipe.limits.wall_time);
        let pace = Arc::clone(&store.data().pace);
        let made = {
            let made = Box::pin(warm(&*self.world, &mut store));
            Paced::new(made, pace).await
        };
        let instance = made.map_err(|error| {
            let plugin = &*self.recipe.voice.plugin;
            tracing::debug!(plugin, "an instance could not be made ahead: {error:#}");
            IDLE
        })?;
        Ok((Spare { store, instance, permit }, started.elapsed()))
    }

    fn ready(&self) -> MutexGuard<'_, Vec<Spare>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets an instance that has served go, in a task of its own: to put back what a language has
/// written takes as long as a call. Its place in the pool is free when it is gone.
pub(crate) fn retire(mut store: Store<State>, permit: OwnedSemaphorePermit) {
    // Whoever needs memory now must not be refused for the sake of what goes anyway.
    store.data_mut().meter.give_back();
    let gone = move || drop((store, permit));
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async move { gone() })),
        Err(_) => gone(),
    }
}

/// Starts an instance and lets it tell its schema, where it has one.
async fn warm(world: &dyn World, store: &mut Store<State>) -> wasmtime::Result<Instance> {
    let instance = world.pre().instantiate_async(&mut *store).await?;
    if world.exports().has(Interface::Configuration) {
        world.schema(Guest { store, ready: Some(instance) }).await?;
    }
    Ok(instance)
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.taken.notify_one();
    }
}

/// Keeps the spares of one binding at their number for as long as it exists.
async fn tend(spares: Weak<Spares>, taken: Arc<Notify>) {
    loop {
        let Some(ours) = spares.upgrade() else { return };
        let measured = ours.measure().await;
        drop(ours);
        match measured {
            Ok(0) => return,
            Ok(wanted) => {
                let Some(ours) = spares.upgrade() else { return };
                ours.wanted.store(wanted, Ordering::Relaxed);
                break;
            }
            Err(pause) => tokio::time::sleep(pause).await,
        }
    }
    loop {
        let Some(ours) = spares.upgrade() else { return };
        let filled = ours.fill().await;
        drop(ours);
        if let Err(pause) = filled {
            tokio::time::sleep(pause).await;
            continue;
        }
        if tokio::time::timeout(IDLE, taken.notified()).await.is_err() {
            let Some(ours) = spares.upgrade() else { return };
            let idle = std::mem::take(&mut *ours.ready());
            drop((ours, idle));
            taken.notified().await;
        }
    }
}
