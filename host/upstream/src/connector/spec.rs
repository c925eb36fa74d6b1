//! Connectors as plain data.
//!
//! Equal descriptions mean that a running connector may stay across revisions. Secrets
//! appear as references only.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tidegate_model::Json;
use tidegate_wasm::{Grants, GuestConnector, Limits};
use tidegate_wire::{client::egress::AddressPolicy, mcp::revision::Era as WireEra};

use super::features::default_extensions;
use crate::{credential::CredentialSpec, machine::SandboxSpec};

/// A connector as an administrator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectorSpec {
    /// An MCP server at a URL.
    Remote(RemoteSpec),
    /// An MCP server that the gateway runs in machines.
    Hosted(HostedSpec),
    /// A component inside the gateway.
    Wasm(WasmSpec),
}

/// Which era is spoken with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Era {
    /// Found out: modern first.
    #[default]
    Auto,
    /// Sessions with `initialize` (2025-11-25 and before).
    Legacy,
    /// Stateless (2026-07-28).
    Modern,
}

/// How a server at a URL is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Transport {
    /// Found out: Streamable HTTP first, HTTP+SSE where that is not understood.
    #[default]
    Auto,
    /// Streamable HTTP (since 2025-03-26).
    StreamableHttp,
    /// HTTP+SSE (2024-11-05).
    Sse,
}

/// How a connector is kept from harming others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardSpec {
    /// Calls under way at once.
    pub concurrency: usize,
    /// Calls that may wait for their turn.
    pub queue: usize,
    /// How long one may wait.
    pub wait: Duration,
    /// Failures in a row that open the breaker.
    pub failures: u32,
    /// How long it stays open at first; doubled with each failed try.
    pub open_for: Duration,
    /// The longest it stays open.
    pub open_at_most: Duration,
}

/// An MCP server at a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSpec {
    /// Its endpoint, `https://…` or `http://…`.
    pub url: String,
    /// The credential, bound to the URL's origin.
    pub credential: CredentialSpec,
    /// What it may reach beyond the public internet.
    pub allow: AddressPolicy,
    /// The era, where it shall not be found out.
    pub era: Era,
    /// The transport, where it shall not be found out.
    pub transport: Transport,
    /// The extensions that are carried between its clients and it, by identifier.
    pub extensions: BTreeSet<String>,
    /// Fixed headers without secrets.
    pub headers: BTreeMap<String, String>,
    /// Time for connecting, TLS included.
    pub connect_timeout: Duration,
    /// Time for `server/discover` before `initialize` is tried.
    pub probe_timeout: Duration,
    /// The largest answer in bytes.
    pub answer_limit: usize,
    /// Cap, queue and breaker.
    pub guard: GuardSpec,
}

/// A value in a child's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// As it stands.
    Plain(String),
    /// A reference to a secret, the key into [`crate::connector::Parts::secrets`].
    Secret(String),
}

/// An MCP server that speaks stdio, run in machines. The environment is the same for every
/// caller, so it may hold only credentials that all of them share; those of one person come
/// with [`HostedSpec::credential`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedSpec {
    /// The program: a path, or a name looked up in `PATH`. No shell is involved.
    pub command: String,
    /// Its arguments, each handed over as it stands.
    pub args: Vec<String>,
    /// Its environment, beside `PATH`, `HOME`, `LANG` and `TMPDIR` of the gateway.
    pub env: BTreeMap<String, EnvValue>,
    /// Its working directory; the gateway's own when absent.
    pub cwd: Option<PathBuf>,
    /// Whether each client has a process of its own, beside the shared one for lists.
    pub per_caller: bool,
    /// How many machines run it.
    pub machines: usize,
    /// What it may do there.
    pub sandbox: SandboxSpec,
    /// How long machines run that nobody calls; as long as the connector when absent.
    pub idle_stop: Option<Duration>,
    /// The credential: variables of a child's environment.
    pub credential: CredentialSpec,
    /// The era, where it shall not be found out.
    pub era: Era,
    /// The extensions that are carried between its clients and it, by identifier.
    pub extensions: BTreeSet<String>,
    /// Time for `server/discover` before `initialize` is tried.
    pub probe_timeout: Duration,
    /// Time from start to a session.
    pub start_timeout: Duration,
    /// The largest message in bytes.
    pub answer_limit: usize,
    /// Cap, queue and breaker.
    pub guard: GuardSpec,
}

/// A component in the gateway, bound by whoever owns the sandbox.
///
/// Two are equal when they were bound from the same things; the binding itself does not
/// count.
#[derive(Debug, Clone)]
pub struct WasmSpec {
    /// SHA-256 of the component.
    pub component: [u8; 32],
    /// Its configuration.
    pub config: Json,
    /// What it may reach.
    pub grants: Grants,
    /// Changes with whatever its capabilities lead to.
    pub reach: [u8; 32],
    /// What it may use.
    pub limits: Limits,
    /// The component, bound with the above.
    pub guest: Arc<GuestConnector>,
    /// Cap, queue and breaker.
    pub guard: GuardSpec,
}

impl PartialEq for WasmSpec {
    fn eq(&self, other: &Self) -> bool {
        self.component == other.component
            && self.config == other.config
            && self.grants == other.grants
            && self.reach == other.reach
            && self.limits == other.limits
            && self.guard == other.guard
    }
}

impl Eq for WasmSpec {}

impl Era {
    /// The era to speak without finding out.
    pub(crate) fn fixed(self) -> Option<WireEra> {
        match self {
            Self::Auto => None,
            Self::Legacy => Some(WireEra::Legacy),
            Self::Modern => Some(WireEra::Modern),
        }
    }
}

impl ConnectorSpec {
    /// Cap, queue and breaker.
    pub fn guard(&self) -> &GuardSpec {
        match self {
            Self::Remote(spec) => &spec.guard,
            Self::Hosted(spec) => &spec.guard,
            Self::Wasm(spec) => &spec.guard,
        }
    }

    /// The word in configuration and status output.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Remote(_) => "remote",
            Self::Hosted(_) => "hosted",
            Self::Wasm(_) => "wasm",
        }
    }

    /// References to secrets that the description holds, to be resolved before opening.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Remote(spec) => spec.credential.references(),
            Self::Hosted(spec) => spec
                .env
                .values()
                .filter_map(|value| match value {
                    EnvValue::Secret(reference) => Some(reference.as_str()),
                    EnvValue::Plain(_) => None,
                })
                .chain(spec.credential.references())
                .collect(),
            Self::Wasm(_) => Vec::new(),
        }
    }
}

impl Default for GuardSpec {
    fn default() -> Self {
        Self {
            concurrency: 64,
            queue: 128,
            wait: Duration::from_secs(1),
            failures: 5,
            open_for: Duration::from_secs(1),
            open_at_most: Duration::from_secs(8),
        }
    }
}

const ANSWER_LIMIT: usize = 16 << 20;

impl RemoteSpec {
    /// A server at `url` with every setting at its default.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credential: CredentialSpec::None,
            allow: AddressPolicy::default(),
            era: Era::Auto,
            transport: Transport::Auto,
            extensions: default_extensions(),
            headers: BTreeMap::new(),
            connect_timeout: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(5),
            answer_limit: ANSWER_LIMIT,
            guard: GuardSpec::default(),
        }
    }
}

impl HostedSpec {
    /// A command with every setting at its default.
    pub fn command(command: impl Into<String>, args: impl IntoIterator<Item = String>) -> Self {
        Self {
            command: command.into(),
            args: args.into_iter().collect(),
            env: BTreeMap::new(),
            cwd: None,
            per_caller: false,
            machines: 1,
            sandbox: SandboxSpec::default(),
            idle_stop: None,
            credential: CredentialSpec::None,
            era: Era::Auto,
            extensions: default_extensions(),
            probe_timeout: Duration::from_secs(2),
            start_timeout: Duration::from_secs(30),
            answer_limit: ANSWER_LIMIT,
            guard: GuardSpec::default(),
        }
    }
}
