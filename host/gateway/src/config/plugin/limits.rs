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
    /// Instances made ahead, each for one hook (at most 64); when left out as many as help a
    /// component that is slow to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spares: Option<u64>,
}

/// Most instances made ahead for one plugin: they are taken from everybody's.
const SPARES: u64 = 64;

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            time_ms: 50,
            wait_ms: 1_000,
            memory_mib: 64,
            output_kib: (Limits::INTERCEPTOR.output >> 10) as u64,
            host_calls: 10_000,
            concurrent: 64,
            table_elements: 10_000,
            instances: 16,
            spares: None,
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
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let least = self.fields().map(|(name, value, most)| (name, value, 1..=most));
        let spares = self.spares.map(|value| ("spares", value, 0..=SPARES));
        let wrong = least.into_iter().chain(spares).filter(|(_, value, fit)| !fit.contains(value));
        wrong
            .map(|(name, value, fit)| {
                let (least, most) = fit.into_inner();
                (
                    format!("`limits.{name}` is {value}"),
                    format!("write {least} to {most}, or leave it out to get the default"),
                )
            })
            .collect()
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
            concurrent: count(self.concurrent),
            spares: self.spares.map(count).or(base.spares),
            ..base
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_reaches_the_sandbox() {
        let limits = PluginLimits {
            time_ms: 1,
            wait_ms: 2,
            memory_mib: 3,
            output_kib: 4,
            host_calls: 5,
            concurrent: 6,
            table_elements: 7,
            instances: 8,
            spares: Some(9),
        };
        let expected = Limits {
            guest_time: Duration::from_millis(1),
            wall_time: Duration::from_millis(2),
            memory: 3 << 20,
            output: 4 << 10,
            host_calls: 5,
            concurrent: 6,
            table_elements: 7,
            instances: 8,
            spares: Some(9),
            ..Limits::INTERCEPTOR
        };
        assert_eq!(limits.over(Limits::INTERCEPTOR), expected);
        assert_eq!(limits.faults(), []);
        // What is left out is what the sandbox has for a plugin.
        assert_eq!(PluginLimits::default().over(Limits::INTERCEPTOR), Limits::INTERCEPTOR);
        let many = PluginLimits { spares: Some(SPARES + 1), ..limits };
        assert!(many.faults()[0].0.contains("`limits.spares` is 65"));
    }
}
