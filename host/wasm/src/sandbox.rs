//! The sandbox: engine, cache and room for instances, shared by all components.
//!
//! One per gateway. Reads components; what is done with them is said by bindings.

use std::{fmt, io, sync::Arc};

use bytes::Bytes;
use tidegate_model::{Clock, SystemClock};
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::{
    CacheSettings, Component, LoadError,
    cache::Cache,
    engine::{self, Ticker},
};

/// Where the memory of instances comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// Slots set aside at start; the fast way.
    Pooling {
        /// Instances that may exist at once; further hooks wait for one to end.
        instances: u32,
    },
    /// Mapped for every instance: slower, but without a large address range.
    OnDemand,
}

impl Default for Allocation {
    fn default() -> Self {
        Self::Pooling { instances: 256 }
    }
}

/// How the sandbox is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the memory of instances comes from.
    pub allocation: Allocation,
    /// Where compiled components are kept; compiled at every start without it.
    pub cache: Option<CacheSettings>,
    /// The time of day that guests with `clock` see.
    pub clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allocation: Allocation::default(), cache: None, clock: Arc::new(SystemClock) }
    }
}

/// Why the sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine refused its settings.
    #[error(
        "the webassembly engine could not be set up: {0}; where the address space is limited, \
         use on-demand allocation"
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
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) room: Arc<Semaphore>,
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
            .map(|cache| Cache::open(cache, &engine))
            .transpose()
            .map_err(SandboxError::Cache)?;
        let ticker = Ticker::start(&engine).map_err(SandboxError::Ticker)?;
        let room = match settings.allocation {
            Allocation::Pooling { instances } => usize::try_from(instances).unwrap_or(usize::MAX),
            Allocation::OnDemand => 1_000,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                ticker: Arc::new(ticker),
                cache,
                clock: settings.clock,
                room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
            }),
        })
    }

    /// Reads a component: checks its imports and exports, compiles it off the async threads
    /// (or takes it from the cache), and asks it for its configuration's schema.
    pub async fn load(&self, bytes: Bytes) -> Result<Component, LoadError> {
        Component::load(Arc::clone(&self.shared), bytes).await
    }
}
