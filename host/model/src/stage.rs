//! The stages of a call, named once for spans, timings and audit rows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A stage of the pipeline, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Who calls.
    Authenticate,
    /// Which virtual MCP and tool, and whether the caller may know of it.
    Resolve,
    /// Names back, defaults, locked arguments, argument schema.
    Customize,
    /// The policy decision.
    Authorize,
    /// Interceptors on the way in.
    PluginsBefore,
    /// The credential for the upstream.
    Credential,
    /// The durable note that a call is about to leave.
    Intent,
    /// The upstream itself.
    Connector,
    /// Interceptors on the way back.
    PluginsAfter,
    /// The audit row becomes durable.
    Close,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 10] = [
        Self::Authenticate,
        Self::Resolve,
        Self::Customize,
        Self::Authorize,
        Self::PluginsBefore,
        Self::Credential,
        Self::Intent,
        Self::Connector,
        Self::PluginsAfter,
        Self::Close,
    ];

    /// The name used in spans, metrics and audit rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Resolve => "resolve",
            Self::Customize => "customize",
            Self::Authorize => "authorize",
            Self::PluginsBefore => "plugins_before",
            Self::Credential => "credential",
            Self::Intent => "intent",
            Self::Connector => "connector",
            Self::PluginsAfter => "plugins_after",
            Self::Close => "close",
        }
    }
}

/// How long each stage took, in microseconds; zero for a stage that did not run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings([u32; Stage::ALL.len()]);

impl Timings {
    /// Adds `spent` to a stage (a stage may run twice, as authorize does after a changed call).
    pub fn add(&mut self, stage: Stage, spent: Duration) {
        if let Some(slot) = self.0.get_mut(stage as usize) {
            *slot = slot.saturating_add(u32::try_from(spent.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// Microseconds spent in a stage.
    pub fn micros(&self, stage: Stage) -> u32 {
        self.0.get(stage as usize).copied().unwrap_or_default()
    }

    /// The stages that took time, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, u32)> + '_ {
        Stage::ALL.into_iter().zip(self.0).filter(|(_, micros)| *micros > 0)
    }
}

impl Serialize for Timings {
    /// A map from stage name to microseconds, names in the order of RFC 8785.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const SORTED: [Stage; Stage::ALL.len()] = [
            Stage::Authenticate,
            Stage::Authorize,
            Stage::Close,
            Stage::Connector,
            Stage::Credential,
            Stage::Customize,
            Stage::Intent,
            Stage::PluginsAfter,
            Stage::PluginsBefore,
            Stage::Resolve,
        ];
        let ran = SORTED.into_iter().map(|stage| (stage.name(), self.micros(stage)));
        serializer.collect_map(ran.filter(|(_, micros)| *micros > 0))
    }
}

impl<'de> Deserialize<'de> for Timings {
    /// Stages that this version does not know are left out.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = std::collections::BTreeMap::<String, u32>::deserialize(deserializer)?;
        let mut timings = Self::default();
        for stage in Stage::ALL {
            if let Some(micros) = read.get(stage.name()) {
                timings.add(stage, Duration::from_micros(u64::from(*micros)));
            }
        }
        Ok(timings)
    }
}
