//! What a guest can reach, one file each.
//!
//! A capability is linked once per binding (`link`), and only when the administrator granted
//! it; what it needs per instance lies in `State`, what it leads to in the binding's
//! [`Reach`]. `call` and `progress` belong to every hook and need no grant; WASI is linked
//! but empty.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

pub(crate) mod call;
pub(crate) mod clock;
pub mod credential;
pub mod facts;
pub mod http;
pub(crate) mod log;
pub(crate) mod random;
pub mod state;
pub(crate) mod wasi;

use credential::CredentialHandle;
use http::HttpReach;
use state::KeyValue;

/// Something a component must import and an administrator must grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// The time of day.
    Clock,
    /// Secrets by handle.
    Credential,
    /// What is known about a session.
    Facts,
    /// Outgoing requests to named hosts.
    Http,
    /// Lines in the plugin's log.
    Log,
    /// Random bytes.
    Random,
    /// Values that outlive a call.
    State,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 7] = [
        Self::Clock,
        Self::Credential,
        Self::Facts,
        Self::Http,
        Self::Log,
        Self::Random,
        Self::State,
    ];

    /// The spelling in configuration, in the contract and in audit rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Credential => "credential",
            Self::Facts => "facts",
            Self::Http => "http",
            Self::Log => "log",
            Self::Random => "random",
            Self::State => "state",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No capability has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a capability: use `clock`, `credential`, `facts`, `http`, `log`, `random` or `state`"
)]
pub struct UnknownCapability(pub String);

impl FromStr for Capability {
    type Err = UnknownCapability;
    fn from_str(text: &str) -> Result<Self, UnknownCapability> {
        Self::ALL
            .into_iter()
            .find(|capability| capability.name() == text)
            .ok_or_else(|| UnknownCapability(text.to_owned()))
    }
}

/// What a binding's capabilities lead to. Nothing by default: a granted capability without
/// anything behind it refuses, in the words of its contract.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// The binding's own space of values.
    pub state: Option<Arc<dyn KeyValue>>,
    /// Where requests may go.
    pub http: Option<Arc<HttpReach>>,
    /// The secrets that it may attach.
    pub credentials: Arc<[CredentialHandle]>,
}

/// What an administrator granted to one binding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants(u8);

impl Grants {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Everything there is, for tests and trusted first-party components.
    pub fn all() -> Self {
        Capability::ALL.into_iter().collect()
    }

    /// Whether `capability` is among them.
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// The granted ones of `needed` are left out.
    pub fn missing(self, needed: &BTreeSet<Capability>) -> Option<Capability> {
        needed.iter().copied().find(|capability| !self.has(*capability))
    }
}

impl FromIterator<Capability> for Grants {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().fold(0, |bits, one| bits | (1 << one as u8)))
    }
}
