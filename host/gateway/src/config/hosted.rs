//! The `[machine]` table of a hosted connector: how many machines run it, and what they may.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_upstream::machine::{SandboxSpec, Strictness};
use tidegate_wire::sandbox::{Limits, Network};

/// The most machines of one connector.
const MOST: usize = 64;
/// The least memory that a runtime starts with.
const LEAST_MEMORY_MB: u64 = 16;

/// How much of the sandbox there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxSetting {
    /// No machine starts unless files, system calls and the network are held.
    Required,
    /// Whatever this computer has; `tidegate status` says what that is.
    #[default]
    Best,
    /// None: the program may do what the gateway's user may.
    Off,
}

/// Whom a program may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkSetting {
    /// Nobody.
    None,
    /// Whoever this computer reaches.
    #[default]
    Host,
}

/// The `[machine]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MachineConfig {
    /// How many machines run the program.
    pub count: usize,
    /// How long machines run that nobody calls, in seconds; they start again with the next
    /// call. Without it they run for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_s: Option<u64>,
    /// How much of the sandbox there must be.
    pub sandbox: SandboxSetting,
    /// Whom the program may reach.
    pub network: NetworkSetting,
    /// Where it may write, beside its working directory and its own temporary files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<PathBuf>,
    /// What it may read that machines do not see otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<PathBuf>,
    /// Memory that each of its processes may write to, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Processes and threads of a machine, where they can be counted by themselves.
    pub processes: u64,
    /// Open files of each process.
    pub files: u64,
    /// Seconds of processor time of each process, after which it is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_s: Option<u64>,
    /// The user and group, by number, that it runs as where the gateway is the superuser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            count: 1,
            idle_s: None,
            sandbox: SandboxSetting::default(),
            network: NetworkSetting::default(),
            write: Vec::new(),
            read: Vec::new(),
            memory_mb: None,
            processes: 256,
            files: 4096,
            cpu_s: None,
            user: None,
        }
    }
}

impl MachineConfig {
    /// Whether nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The first thing that does not fit together, and what to do.
    pub fn fault(&self) -> Option<(String, String)> {
        let say = |message: String, help: &str| Some((message, help.to_owned()));
        if self.count == 0 || self.count > MOST {
            return say(format!("`machine.count` is 1 to {MOST}"), "leave it out for one machine");
        }
        if self.memory_mb.is_some_and(|memory| memory < LEAST_MEMORY_MB) {
            let least = format!("`machine.memory_mb` is {LEAST_MEMORY_MB} at least");
            return say(least, "leave it out to set no limit");
        }
        for (name, value) in [
            ("processes", Some(self.processes)),
            ("files", Some(self.files)),
            ("cpu_s", self.cpu_s),
            ("idle_s", self.idle_s),
            ("user", self.user.map(u64::from)),
        ] {
            if value == Some(0) {
                return say(format!("`machine.{name}` is 1 at least"), "leave it out");
            }
        }
        let relative = self.write.iter().chain(&self.read).find(|path| !path.is_absolute())?;
        say(
            format!("`{}` is no absolute path", relative.display()),
            "machines see the same names as everybody: write them from `/` on",
        )
    }

    /// How long machines run that nobody calls.
    pub fn idle(&self) -> Option<Duration> {
        self.idle_s.map(Duration::from_secs)
    }

    /// What the program may do.
    pub fn spec(&self) -> SandboxSpec {
        SandboxSpec {
            strictness: match self.sandbox {
                SandboxSetting::Required => Strictness::Required,
                SandboxSetting::Best => Strictness::Best,
                SandboxSetting::Off => Strictness::Off,
            },
            network: match self.network {
                NetworkSetting::None => Network::None,
                NetworkSetting::Host => Network::Host,
            },
            write: self.write.clone(),
            read: self.read.clone(),
            limits: Limits {
                memory: self.memory_mb.map(|memory| memory.saturating_mul(1 << 20)),
                processes: Some(self.processes),
                files: Some(self.files),
                cpu_seconds: self.cpu_s,
            },
            user: self.user,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_a_sentence_with_a_remedy() {
        for (text, part) in [
            ("count = 0", "`machine.count` is 1 to 64"),
            ("count = 65", "`machine.count`"),
            ("memory_mb = 1", "`machine.memory_mb` is 16"),
            ("processes = 0", "`machine.processes`"),
            ("user = 0", "`machine.user`"),
            ("write = [\"a/b\"]", "`a/b` is no absolute path"),
        ] {
            let config: MachineConfig = toml::from_str(text).unwrap();
            let (fault, help) = config.fault().expect(text);
            assert!(fault.contains(part) && !help.is_empty(), "{text}: {fault}");
        }
        for wrong in ["sandbox = \"some\"", "network = \"lan\"", "count = -1", "more = 1"] {
            assert!(toml::from_str::<MachineConfig>(wrong).is_err(), "{wrong}");
        }
        let all = "count = 3\nidle_s = 60\nsandbox = \"required\"\nnetwork = \"none\"\n\
                   write = [\"/srv\"]\nread = [\"/opt\"]\nmemory_mb = 512\nprocesses = 8\n\
                   files = 64\ncpu_s = 5\nuser = 1000\n";
        let config: MachineConfig = toml::from_str(all).unwrap();
        assert_eq!(config.fault(), None);
        let spec = config.spec();
        assert_eq!((spec.strictness, spec.network), (Strictness::Required, Network::None));
        assert_eq!(spec.limits.memory, Some(512 << 20));
        assert_eq!(config.idle(), Some(Duration::from_secs(60)));
        assert_eq!(MachineConfig::default().spec(), SandboxSpec::default());
    }
}
