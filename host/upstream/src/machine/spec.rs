//! A machine as plain data.

use std::{path::PathBuf, time::Duration};

use tidegate_model::Secret;
use tidegate_wire::sandbox::{Limits, Network};

/// A machine as a connector wants it.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// The organisation.
    pub org: String,
    /// The connector.
    pub connector: String,
    /// What runs in it.
    pub program: Program,
    /// What the program may do.
    pub sandbox: SandboxSpec,
    /// The largest message of the server, in bytes.
    pub answer_limit: usize,
    /// The most children with an environment of their own.
    pub children: usize,
    /// How long such a child is kept unused.
    pub child_idle: Duration,
    /// Time from the start until the machine takes requests.
    pub start_timeout: Duration,
}

/// A program and all that it gets to see.
#[derive(Debug, Clone)]
pub struct Program {
    /// A path, or a name looked up in the `PATH` of `env`.
    pub command: String,
    /// Its arguments; no shell touches them.
    pub args: Vec<String>,
    /// Its environment, beside what the machine itself adds.
    pub env: Vec<(String, Secret)>,
    /// Where it starts; it may write there.
    pub cwd: Option<PathBuf>,
}

/// How much of the sandbox there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strictness {
    /// No machine starts unless files, system calls and the network are held.
    Required,
    /// Whatever this computer has.
    #[default]
    Best,
    /// None, but for the limits.
    Off,
}

/// What a program may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSpec {
    /// How much of it there must be.
    pub strictness: Strictness,
    /// Whom it may reach.
    pub network: Network,
    /// Where it may write, beside its own folders.
    pub write: Vec<PathBuf>,
    /// What it may read where nothing else is seen.
    pub read: Vec<PathBuf>,
    /// How much it may use.
    pub limits: Limits,
    /// The user that it runs as, where the gateway is the superuser.
    pub user: Option<u32>,
}

impl Default for SandboxSpec {
    fn default() -> Self {
        Self {
            strictness: Strictness::default(),
            network: Network::Host,
            write: Vec::new(),
            read: Vec::new(),
            limits: Limits { processes: Some(256), files: Some(4096), ..Limits::default() },
            user: None,
        }
    }
}
