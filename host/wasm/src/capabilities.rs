//! What a guest can reach, one file each.
//!
//! A capability is linked once per binding (`link`), and only when the administrator granted
//! it; what it needs per instance lies in `State`. `call` and
//! `progress` belong to every hook and need no grant; WASI is linked but empty.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub(crate) mod call;
pub(crate) mod clock;
pub(crate) mod log;
pub(crate) mod random;
pub(crate) mod wasi;

/// Something a component must import and an administrator must grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// The time of day.
    Clock,
    /// Lines in the plugin's log.
    Log,
    /// Random bytes.
    Random,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 3] = [Self::Clock, Self::Log, Self::Random];

    /// The spelling in configuration, in the contract and in audit rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Log => "log",
            Self::Random => "random",
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
#[error("`{0}` is not a capability: use `clock`, `log` or `random`")]
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
