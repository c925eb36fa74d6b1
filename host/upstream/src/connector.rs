//! The one door to every kind of upstream.
//!
//! A [`ConnectorSpec`] is plain data, compared to find out whether a running connector may
//! stay; [`open`] turns it into a [`Connector`], always behind a guard (cap, queue, breaker,
//! deadline). Opening does no IO: a connector that is down is open and unwell.

mod conversation;
mod error;
mod features;
mod hosted;
mod input;
mod list;
mod listener;
mod operation;
mod remote;
mod spec;
mod wasm;

#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tidegate_model::{Answer, ConnectorId, Json, Secret};
use tidegate_wire::client::{Affinity, Exchange, PeerInfo, Round, Wanted, egress::Egress};
use tokio::sync::{broadcast, watch};

pub use error::{ConnectorError, OpenError};
pub use features::EXTENSIONS;
pub use list::{Dropped, Listed, Unread};
pub use spec::{
    ConnectorSpec, EnvValue, Era, GuardSpec, HostedSpec, RemoteSpec, Transport, WasmSpec,
};

use crate::{
    armed::{Armed, Maintenance},
    credential::{Credential, Vault},
    guard::Guarded,
    machine::{Backend, LogLine},
};

/// Something that a connector tells of its own accord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// A list has changed; which one.
    Changed(List),
    /// One resource has changed: `params` of `notifications/resources/updated`, with the
    /// connector's own URI.
    Resource(Json),
    /// A task has changed its state: `params` of `notifications/tasks/status` or
    /// `notifications/tasks`, with the connector's own task id.
    Task(Json),
}

/// A list of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// Its tools.
    Tools,
    /// Its prompts.
    Prompts,
    /// Its resources and templates.
    Resources,
}

/// An upstream, whatever kind it is.
pub trait Connector: Send + Sync + fmt::Debug {
    /// Its name.
    fn id(&self) -> &ConnectorId;

    /// Its credential, from which a permitted call obtains its injection.
    fn credential(&self) -> &Credential;

    /// All that it offers, every page of every list, within caps on pages, entries and bytes.
    fn list<'a>(&'a self, proof: &'a Maintenance) -> BoxFuture<'a, Result<Listed, ConnectorError>>;

    /// Carries out one call for the client that `exchange` leads to. Dropping the future
    /// cancels it upstream; it is never repeated once a byte of it may have left.
    ///
    /// Where the server asks for input first: a modern server's `input_required` is the
    /// answer if the exchange relays it, else its questions are asked over the exchange and
    /// the call goes on; a legacy server's questions are asked over the exchange.
    fn call(
        &self,
        armed: Armed,
        exchange: Exchange,
    ) -> BoxFuture<'_, Result<Answer, ConnectorError>>;

    /// How it is at this moment; looks at counters only.
    fn health(&self) -> Health;

    /// Ticks when its tools may have changed: the server said so, or a new session or
    /// process began.
    fn changes(&self) -> watch::Receiver<u64>;

    /// What the server tells of its own accord. A receiver that lags behind loses the oldest.
    fn updates(&self) -> broadcast::Receiver<Update>;

    /// The resources and tasks to be told of from now on, all of them, in the server's own
    /// terms. Returns at once; the server is asked in the background, and again after each
    /// new session. Whoever must not miss anything waits for the [`Round`] to be in force.
    /// Tasks are asked for where the extension is carried.
    fn follow(&self, wanted: Wanted) -> Round;

    /// The client behind `affinity` is gone: its session at the server ends.
    fn release(&self, affinity: Affinity);

    /// The roots of the client behind `affinity` have changed.
    fn roots_changed(&self, affinity: Affinity);

    /// Ends sessions and processes in good order. Calls under way fail.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// Makes ready for calls what takes time to start, so that one that takes the place of
    /// another keeps nobody waiting. Returns when it is ready, or cannot be made so.
    fn warm(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// What its machines said lately; nothing where it has none.
    fn logs(&self) -> Vec<MachineLines> {
        Vec::new()
    }
}

/// How a connector is.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The state in one word.
    pub state: HealthState,
    /// The last error, until the next success.
    pub last_error: Option<String>,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls waiting for their turn.
    pub waiting: usize,
    /// While the breaker is open: how long until it tries again.
    pub retry_after: Option<Duration>,
    /// Starts of its process beyond the first (hosted).
    pub restarts: u64,
    /// Lines on stdout that were no messages (hosted).
    pub junk_lines: u64,
    /// Its machines (hosted).
    pub machines: Vec<MachineHealth>,
    /// What the server says about itself, once a session was set up.
    pub info: Option<Arc<PeerInfo>>,
}

/// How one machine of a connector is.
#[derive(Debug, Clone)]
pub struct MachineHealth {
    /// Its name, while it runs.
    pub id: Option<String>,
    /// The state in one word: `idle`, `starting`, `running`, `ended`, `failed`, `shut`.
    pub state: &'static str,
    /// Calls under way.
    pub in_flight: usize,
    /// Starts of the machine and of the program in it, beyond the first.
    pub restarts: u64,
    /// Lines of output that were no messages.
    pub junk_lines: u64,
    /// What of the sandbox does not hold for it.
    pub missing: Vec<&'static str>,
}

/// What one machine said.
#[derive(Debug, Clone)]
pub struct MachineLines {
    /// Its name.
    pub id: String,
    /// The lines that are kept, oldest first, without secrets.
    pub lines: Vec<LogLine>,
    /// How many are not kept any more.
    pub dropped: u64,
}

/// The state of a connector in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HealthState {
    /// Nothing was asked of it yet.
    #[default]
    Unknown,
    /// The last thing asked of it worked.
    Up,
    /// The last thing failed, and calls are still let through.
    Failing,
    /// The breaker is open: calls fail at once.
    Down,
}

impl HealthState {
    /// The spelling in status output and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Failing => "failing",
            Self::Down => "down",
        }
    }
}

/// What a connector is built with, besides its description.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The way out.
    pub egress: Arc<Egress>,
    /// The secrets that the description refers to, by reference (`env:NAME`, `file:PATH`).
    pub secrets: BTreeMap<String, Secret>,
    /// The gateway's own environment, of which a hosted process gets `PATH`, `HOME`, `LANG`
    /// and `TMPDIR` and nothing else.
    pub environment: BTreeMap<String, String>,
    /// Where credentials are kept that are not in `secrets`.
    pub vault: Option<Arc<Vault>>,
    /// The organisation, as machines know it.
    pub org: String,
    /// What runs the machines of hosted connectors.
    pub machines: Option<Arc<dyn Backend>>,
}

/// Opens a connector. Does no IO and starts nothing; must be called within a tokio runtime.
pub fn open(
    id: ConnectorId,
    spec: &ConnectorSpec,
    parts: &Parts,
) -> Result<Arc<dyn Connector>, OpenError> {
    let inner: Arc<dyn Connector> = match spec {
        ConnectorSpec::Remote(spec) => Arc::new(remote::Remote::open(id, spec, parts)?),
        ConnectorSpec::Hosted(spec) => Arc::new(hosted::Hosted::open(id, spec, parts)?),
        ConnectorSpec::Wasm(spec) => Arc::new(wasm::Wasm::open(id, spec)),
    };
    Ok(Arc::new(Guarded::new(inner, spec.guard())))
}
