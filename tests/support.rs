//! What the tests stand on: a real gateway process, clients that speak to it, and MCP
//! servers that it speaks to.
//!
//! Owns starting, stopping and the plain plumbing of HTTP and JSON-RPC, so that a test says
//! only what is sent and what is expected. Knows nothing of the crates behind the program
//! but the format of an API key. Everything that waits gives up after [`PATIENCE`].

use std::{future::Future, time::Duration};

mod client;
mod gateway;
mod load;
mod mock;
mod reply;
mod session;
mod tests;

pub(crate) use client::{Client, EventStream, Response, Rpc, modern_params};
pub(crate) use gateway::{CliOutput, Setup, TestGateway};
pub(crate) use load::{Load, trace_of};
pub(crate) use mock::{Era, Mock, MockTool, Received};
pub(crate) use reply::Reply;
pub(crate) use session::Session;

/// How long anything may take before a test fails; far longer than it ever does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `work`, and fails the test where that takes too long.
pub(crate) async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} took longer than {PATIENCE:?}"),
    }
}

/// Asks again and again until `check` returns something.
pub(crate) async fn eventually<T, F>(what: &str, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    patiently(what, async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
