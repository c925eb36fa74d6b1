//! The catalogue: which tools each virtual MCP publishes, under which names.
//!
//! [`compile`](compile::compile) is a pure function from configuration, approved tool
//! records, pinned names and customizer edits to a [`Snapshot`]. Nothing here fetches tools,
//! runs a guest or knows who is asking: visibility is the policy engine's.

pub mod arguments;
pub mod compile;
mod definition;
pub mod names;
pub mod snapshot;

pub use arguments::{ArgumentRules, BadArguments};
pub use compile::{CatalogInput, Compiled, CustomizerEdit, Notice, compile};
pub use snapshot::{PublishedTool, PublishedVmcp, Snapshot};
