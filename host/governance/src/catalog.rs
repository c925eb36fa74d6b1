//! The catalogue: what each virtual MCP publishes, under which names and URIs.
//!
//! [`compile`](compile::compile) is a pure function from configuration, approved offers of
//! connectors, pinned names and customizer edits to a [`Snapshot`]. Nothing here fetches
//! anything, runs a guest or knows who is asking: visibility is the policy engine's.

pub mod arguments;
pub mod compile;
mod definition;
pub mod names;
mod offers;
pub mod snapshot;
mod spans;
pub mod uris;

pub use arguments::{ArgumentRules, BadArguments};
pub use compile::{CatalogInput, Compiled, CustomizerEdit, Notice, compile};
pub use snapshot::{
    PublishedPrompt, PublishedResource, PublishedTemplate, PublishedTool, PublishedVmcp, Snapshot,
};
pub use uris::{Rewrite, Uris};
