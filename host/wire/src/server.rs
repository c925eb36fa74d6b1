//! The server half of Streamable HTTP, without a server.
//!
//! Pure functions from request heads and checked bodies to what they are or the exact
//! refusal, and the heads of answers. Keeps no session and knows no framework; `gateway`
//! feeds it. Legacy rules: 2025-11-25 `basic/transports`; modern ones: 2026-07-28
//! `basic/transports/streamable-http`.

mod classify;
mod head;
mod host;
mod origin;
mod rejection;
mod respond;

pub use classify::{
    Incoming, SUPPORTED_MODERN, Session, classify, classify_batch, in_session, session_id,
};
pub use head::{Accept, check_get, check_post, prefers_events};
pub use host::{HostPolicy, Listener};
pub use origin::{BadAuthority, Origin};
pub use rejection::Rejection;
pub use respond::{accepted, event_stream, json, session_ended};

#[cfg(test)]
mod tests;
