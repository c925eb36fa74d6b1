//! What MCP says in JSON: envelope, methods, codes, revisions, and the members read from it.
//!
//! Everything here is a view of text that passed [`crate::json::check`]; nothing rebuilds a
//! message. Knows no transport; how a message came or goes is the business of
//! [`crate::server`] and [`crate::client`].

pub mod code;
pub mod envelope;
pub mod header;
pub mod level;
pub mod lists;
pub mod method;
pub mod peek;
#[cfg(test)]
mod relaying;
pub mod revision;
pub mod splice;
pub mod tools;

pub use envelope::{Id, Malformed, Message, OwnedId};
pub use level::Level;
pub use revision::{Era, Revision};
