//! Configuration: typed, parsed once, unknown keys refused.
//!
//! `process` is what a process needs to start (`gateway.toml`); everything else is a
//! resource, one file each, gathered in [`Resources`]. Nothing here starts or opens
//! anything, so `tidegate check` can use it offline.

pub mod auth;
pub mod connector;
pub mod directory;
pub mod egress;
pub mod hosted;
pub mod identity;
pub mod key;
pub mod machine;
pub mod organisations;
pub mod plugin;
pub mod problem;
pub mod process;
pub mod reference;
pub mod resources;
pub(crate) mod user;
pub mod vmcp;

pub use problem::Problem;
pub use process::ProcessConfig;
pub use resources::Resources;
