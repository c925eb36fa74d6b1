//! `[limits]` of a plugin: what it may use, each with the range that can be meant.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_wasm::Limits;

/// The `[limits]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginLimits {
    /// Guest time for one hook, in milliseconds (at most 10,000).
    pub time_ms: u64,
    /// Longest a hook may take with everything it waits for, in milliseconds (at most 300,000).
    pub wait_ms: u64,
    /// Guest memory, in MiB (at most 256).
    pub memory_mib: u64,
    /// Largest output of one hook, in KiB (at most 65,536).
    pub output_kib: u64,
    /// Calls of host functions during one hook (at most 1,000,000).
    pub host_calls: u64,
    /// Hooks at a time; further ones wait (at most 1,000).
    pub concurrent: u64,
    /// Entries of one table (at most 10,000).
    pub table_elements: u64,
    /// Core instances, memories and tables of one component, each (at most 16).
    pub instances: u64,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            time_ms: 50,
            wait_ms: 1_000,
            memory_mib: 64,
            output_kib: 16 * 1024,
            host_calls: 10_000,
            concurrent: 64,
            table_elements: 10_000,
            instances: 16,
        }
    }
}

impl PluginLimits {
    /// The names of the fields, with the values and the largest ones that can be meant.
    fn fields(&self) -> [(&'static str, u64, u64); 8] {
        [
            ("time_ms", self.time_ms, 10_000),
            ("wait_ms", self.wait_ms, 300_000),
            // A slot of the instance pool has room for this much.
            ("memory_mib", self.memory_mib, 256),
            ("output_kib", self.output_kib, 64 * 1024),
            ("host_calls", self.host_calls, 1_000_000),
            ("concurrent", self.concurrent, 1_000),
            ("table_elements", self.table_elements, 10_000),
            ("instances", self.instances, 16),
        ]
    }

    /// Every value that is out of its range, and what to do.
    pub(super) fn faults(&self) -> impl Iterator<Item = (String, String)> {
        self.fields().into_iter().filter(|(_, value, most)| !(1..=*most).contains(value)).map(
            |(name, value, most)| {
                (
                    format!("`limits.{name}` is {value}"),
                    format!("write 1 to {most}, or leave it out to get the default"),
                )
            },
        )
    }

    /// As the sandbox takes them, over what `base` has for the rest.
    pub fn over(&self, base: Limits) -> Limits {
        let bytes = |units: u64, shift: u32| usize::try_from(units << shift).unwrap_or(usize::MAX);
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Limits {
            guest_time: Duration::from_millis(self.time_ms),
            wall_time: Duration::from_millis(self.wait_ms),
            memory: bytes(self.memory_mib, 20),
            output: bytes(self.output_kib, 10),
            host_calls: u32::try_from(self.host_calls).unwrap_or(u32::MAX),
            table_elements: count(self.table_elements),
            instances: count(self.instances),
            ..base
        }
    }
}
