//! `plugins/NAME.toml`: one plugin and where it is bound.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a plugin's verdict has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModeSetting {
    /// It has.
    #[default]
    Enforce,
    /// It is recorded only.
    Observe,
}

/// What happens when a plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailSetting {
    /// The call is refused.
    #[default]
    Closed,
    /// The call goes on as if the plugin had not been there.
    Open,
}

/// One place where the plugin runs; what is left out is not narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BindConfig {
    /// Only calls through this virtual MCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmcp: Option<String>,
    /// Only calls to this connector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// Only calls of this tool: `connector/original name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Lower numbers run first on the way in and last on the way back.
    pub order: i32,
}

/// The `[limits]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginLimits {
    /// Guest time for one hook, in milliseconds (at most 1,000).
    pub time_ms: u64,
    /// Guest memory, in MiB.
    pub memory_mib: u64,
    /// Largest output of one hook, in KiB.
    pub output_kib: u64,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self { time_ms: 50, memory_mib: 64, output_kib: 16 * 1024 }
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// The component file, relative to this one.
    pub component: PathBuf,
    /// Where it runs; nowhere when left out.
    #[serde(default)]
    pub bind: Vec<BindConfig>,
    /// Whether its verdict has an effect.
    #[serde(default)]
    pub mode: ModeSetting,
    /// What happens when it fails.
    #[serde(default)]
    pub fail: FailSetting,
    /// Capabilities granted to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// Its own configuration.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Limits.
    #[serde(default)]
    pub limits: PluginLimits,
}
