//! The sandbox: engine, cache and room for instances, shared by all components.
//!
//! One per gateway. Reads components; what is done with them is said by bindings.

use std::{fmt, io, sync::Arc, time::Instant};

use bytes::Bytes;
use tidegate_model::{Clock, SystemClock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Engine;

use crate::{
    CacheSettings, Compiling, Component, LoadError,
    breaker::Breakers,
    budget::Budget,
    cache::Cache,
    compile::Compiler,
    engine::{self, Ticker},
    pace::Pace,
    spares::Spares,
};

/// Where the memory of instances comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// Slots set aside at start; the fast way.
    Pooling {
        /// Instances that may exist at once; further hooks wait for one to end. One of a
        /// component with many memories counts for several.
        instances: u32,
    },
    /// Mapped for every instance: slower, but without a large address range.
    OnDemand,
}

impl Default for Allocation {
    fn default() -> Self {
        Self::Pooling { instances: Settings::INSTANCES }
    }
}

/// How the sandbox is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the memory of instances comes from.
    pub allocation: Allocation,
    /// Bytes of linear memory that all instances may have together. Instances that were made
    /// ahead go first; then growth is refused.
    pub memory: usize,
    /// Where compiled components are kept; compiled at every start without it.
    pub cache: Option<CacheSettings>,
    /// The time of day that guests with `clock` see.
    pub clock: Arc<dyn Clock>,
    /// Time that only goes forward, for what is left alone for a while.
    pub moment: fn() -> Instant,
}

impl Settings {
    /// Instances at once where nothing else is said.
    pub const INSTANCES: u32 = 256;

    /// Memory of all instances together where nothing else is said.
    pub const MEMORY: usize = 4 << 30;
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allocation: Allocation::default(),
            memory: Self::MEMORY,
            cache: None,
            clock: Arc::new(SystemClock),
            moment: Instant::now,
        }
    }
}

/// Why the sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine refused its settings.
    #[error(
        "the webassembly engine could not be set up: {0}; where memory or the address space is \
         limited, lower `plugins.instances`"
    )]
    Engine(String),
    /// The folder of the compile cache.
    #[error("the compile cache could not be opened")]
    Cache(#[source] io::Error),
    /// The thread that counts guests' time.
    #[error("the ticking thread could not be started")]
    Ticker(#[source] io::Error),
}

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) cache: Option<Cache>,
    pub(crate) compiler: Compiler,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) breakers: Breakers,
    /// Places of guests that run long.
    pub(crate) lane: Arc<Semaphore>,
    /// Whose turn it is to make an instance ahead.
    pub(crate) making: Semaphore,
    moment: fn() -> Instant,
    room: Arc<Semaphore>,
    places: usize,
    /// Memory of all instances.
    pub(crate) memory: Arc<Budget>,
}

impl Shared {
    /// The moment, as far as breakers are concerned.
    pub(crate) fn now(&self) -> Instant {
        (self.moment)()
    }

    /// Places for one instance, as soon as there are so many before the deadline. Instances
    /// that were made ahead give way.
    pub(crate) async fn room(
        &self,
        places: u32,
        deadline: Instant,
    ) -> Option<OwnedSemaphorePermit> {
        let places = self.at_most(places);
        loop {
            if let Ok(taken) = Arc::clone(&self.room).try_acquire_many_owned(places) {
                return Some(taken);
            }
            if !self.memory.reclaim() {
                break;
            }
        }
        let taken = Arc::clone(&self.room).acquire_many_owned(places);
        tokio::time::timeout_at(deadline.into(), taken).await.ok()?.ok()
    }

    /// A pool smaller than that is taken whole.
    fn at_most(&self, places: u32) -> u32 {
        places.min(u32::try_from(self.places).unwrap_or(u32::MAX))
    }

    /// Places for an instance that nobody needs yet; none while less than half of them, or of
    /// the memory, are free.
    pub(crate) fn room_to_spare(&self, places: u32) -> Option<OwnedSemaphorePermit> {
        if self.room.available_permits() <= self.places / 2 || !self.memory.is_half_free() {
            return None;
        }
        Arc::clone(&self.room).try_acquire_many_owned(self.at_most(places)).ok()
    }

    /// Whether every place is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.room.available_permits() == 0
    }

    /// Whoever makes instances ahead may be asked to give way.
    pub(crate) fn register(&self, spares: &Arc<Spares>) {
        self.memory.register(spares);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("room", &self.room).finish_non_exhaustive()
    }
}

/// Everything that components share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

impl Sandbox {
    /// Sets the engine up.
    pub fn new(settings: Settings) -> Result<Self, SandboxError> {
        let engine = engine::engine(settings.allocation)
            .map_err(|error| SandboxError::Engine(format!("{error:#}")))?;
        let cache = settings
            .cache
            .map(|cache| Cache::open(cache, &engine, &settings.clock))
            .transpose()
            .map_err(SandboxError::Cache)?;
        let ticker = Ticker::start(&engine).map_err(SandboxError::Ticker)?;
        let places = match settings.allocation {
            Allocation::Pooling { instances } => usize::try_from(instances).unwrap_or(usize::MAX),
            Allocation::OnDemand => 1_000,
        };
        let places = places.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                ticker: Arc::new(ticker),
                cache,
                compiler: Compiler::default(),
                clock: settings.clock,
                breakers: Breakers::default(),
                lane: Pace::lane(),
                making: Semaphore::new(1),
                moment: settings.moment,
                room: Arc::new(Semaphore::new(places)),
                places,
                memory: Budget::new(settings.memory),
            }),
        })
    }

    /// Reads a component: checks its imports and exports, compiles it off the async threads
    /// (or takes it from the cache), and asks it for its configuration's schema.
    pub async fn load(&self, bytes: Bytes) -> Result<Component, LoadError> {
        Component::load(Arc::clone(&self.shared), None, bytes).await
    }

    /// The same; `name` is what the log and [`Sandbox::progress`] call it while it is compiled.
    pub async fn load_named(&self, name: &str, bytes: Bytes) -> Result<Component, LoadError> {
        Component::load(Arc::clone(&self.shared), Some(name.to_owned()), bytes).await
    }

    /// The components that are being compiled at the moment. Two loads of the same bytes at
    /// once compile once.
    pub fn progress(&self) -> Vec<Compiling> {
        self.shared.compiler.progress()
    }

    /// Bytes of linear memory that all instances have at the moment, those made ahead included.
    pub fn memory(&self) -> usize {
        self.shared.memory.taken()
    }
}
