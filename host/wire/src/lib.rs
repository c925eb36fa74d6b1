//! BYTES: what goes over the wire, and how little of it is touched.
//!
//! Owns the strict JSON pass, the JSON-RPC envelope and the MCP words on top of it, server
//! sent events, stdio framing, the framework-free server half of Streamable HTTP, and in
//! `client` every outbound byte. Knows no store, no policy, no guest and no tool's meaning.
//! Start with [`json`] for what is accepted, then [`mcp`] for what it says.

pub mod bridge;
pub mod client;
pub mod hosted;
pub mod json;
pub mod mcp;
pub mod sandbox;
pub mod server;
pub mod sse;
pub mod stdio;
