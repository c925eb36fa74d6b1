//! SANDBOX: WebAssembly components, from bytes to verdicts.
//!
//! Owns the engine, the compile cache, limits, capabilities, and one adapter per version of
//! the contract in `wit/`. Knows no policy, no catalogue and no HTTP: it is given a
//! [`Binding`] and a [`CallContext`] and returns verdicts, edits or results in `model`
//! types. Read [`sandbox`] first, then `hook`, where every call of a guest happens.

mod any;
pub mod binding;
mod breaker;
mod budget;
pub mod cache;
pub mod capabilities;
pub mod compile;
pub mod component;
pub mod connector;
pub mod context;
pub mod counters;
pub mod customizer;
mod engine;
pub mod exports;
pub mod failure;
mod hook;
pub mod interceptor;
pub mod limits;
pub mod lines;
mod nesting;
mod output;
mod pace;
mod recipe;
pub mod sandbox;
mod spares;
mod state;
mod world;

pub use binding::{BindError, Binding};
pub use cache::{CacheKey, CacheSettings};
pub use capabilities::{Capability, Grants, Reach};
pub use compile::Compiling;
pub use component::{Component, ConfigError, LoadError};
pub use connector::{CallError, Description, GuestConnector, Progress, ProgressSink};
pub use context::{Asker, CallContext, Listing};
pub use counters::Counts;
pub use customizer::{Customizer, Scope, ToolEdit};
pub use exports::{Event, Exports, Interface, ListKind};
pub use failure::{Failure, Trap};
pub use interceptor::{Before, Interceptor, Shown};
pub use limits::Limits;
pub use lines::{Line, LogLevel};
pub use sandbox::{Allocation, Sandbox, SandboxError, Settings};

#[cfg(test)]
mod tests;
