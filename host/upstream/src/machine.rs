//! Machines: where MCP servers run that the gateway itself starts.
//!
//! A [`Backend`] starts a machine from a [`MachineSpec`] and hands over how it is reached and
//! what it says; it keeps no machine alive and chooses none. That is done by whoever holds
//! the [`Machine`]: a machine ends when its handle is dropped. [`local`] runs them as
//! processes of this computer, sandboxed, behind `tidegate-bridge`. Knows no MCP.

pub mod local;
mod log;
mod spec;

use std::{fmt, io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tidegate_wire::client::egress::Destination;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use local::{Local, LocalSettings};
pub use log::{LogLine, MachineLog, Voice};
pub use spec::{MachineSpec, Program, SandboxSpec, Strictness};

/// Whoever can run machines.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Starts a machine and waits until it takes requests. Dropping the future before gives
    /// the start up; nothing of it stays.
    fn start<'a>(&'a self, spec: &'a MachineSpec) -> BoxFuture<'a, Result<Machine, MachineError>>;

    /// Ends the machine of this id in good order, and returns when it is gone, within ten
    /// seconds. One that is not there is gone already.
    fn stop<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ()>;

    /// The machines that run, in no order.
    fn list(&self) -> Vec<String>;

    /// What keeps machines from the rest of the computer, in one line.
    fn protection(&self) -> String;
}

/// A machine that takes requests. Ends when it is dropped.
#[derive(Debug)]
pub struct Machine {
    /// Its name: unique for each start, also across restarts of the gateway.
    pub id: String,
    /// The server in it, as an MCP endpoint. Every request carries a token.
    pub server: Destination,
    /// Where it says how it is, with the same tokens.
    pub health: Destination,
    /// What it says.
    pub log: Arc<MachineLog>,
    /// How it ended, once it has.
    pub exit: watch::Receiver<Option<String>>,
    /// What of the sandbox does not hold for it; empty where all does.
    pub missing: Vec<&'static str>,
    /// Set to end it.
    pub stop: CancellationToken,
}

impl Machine {
    /// Whether it takes no requests any more: it has ended, or is about to.
    pub fn is_gone(&self) -> bool {
        self.stop.is_cancelled() || self.exit.borrow().is_some()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Why a machine was not started.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The program or its folder is not there, or may not be run.
    #[error("{0}")]
    Program(String),
    /// The sandbox that was required is not to be had.
    #[error("the sandbox is required and does not hold here ({0}): see `tidegate status`")]
    Sandbox(String),
    /// The bridge is not installed where it should be.
    #[error("`tidegate-bridge` was not found beside the gateway's own program: install it there")]
    NoBridge,
    /// A step of the start failed.
    #[error("the machine could not be started: {what}: {source}")]
    System {
        /// Which.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("the machine ended before it was ready: {0}")]
    Ended(String),
    /// It was not ready in time.
    #[error("the machine was not ready within {} seconds", .0.as_secs())]
    Silent(Duration),
}

#[cfg(test)]
mod tests;
