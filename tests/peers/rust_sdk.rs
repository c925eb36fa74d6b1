//! The official Rust SDK, as client and as server.
//!
//! Owns what is different from the scripts: it runs inside the test process. What must come
//! out is the same.

mod answers;
mod server;
mod walk;

pub(super) use answers::OFFER;
pub(super) use server::serve;
pub(super) use walk::{Target, walk};
