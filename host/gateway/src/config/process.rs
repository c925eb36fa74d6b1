//! `gateway.toml`: what a process needs to start.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_wasm::{Allocation, Settings};

use super::{Problem, egress::EgressConfig};
use crate::signature::{PublicKey, Trust};

/// The newest version of the configuration's form that this program reads.
pub const FORMAT: u32 = 1;

/// When an audit row counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DurabilitySetting {
    /// Flushed to the disk before the answer leaves: survives power loss.
    #[default]
    Disk,
    /// Written before the answer leaves, flushed within 50 ms: survives the death of the process.
    Process,
    /// Not written at all; for measurements only, and said loudly at start.
    None,
}

/// What is kept of arguments and results beside their digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayloadSetting {
    /// Nothing.
    #[default]
    Off,
    /// A sealed copy with secrets masked, up to `payload_limit` bytes.
    Masked,
}

/// The `[audit]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// When a row counts as written.
    pub durability: DurabilitySetting,
    /// What is kept of payloads.
    pub payloads: PayloadSetting,
    /// Largest payload kept, in bytes; longer ones are cut and marked.
    pub payload_limit: usize,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            durability: DurabilitySetting::default(),
            payloads: PayloadSetting::default(),
            payload_limit: 16 * 1024,
        }
    }
}

/// The `[keys]` table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// Where the root key is. `file:PATH`, made on first start; empty: `root.key` in the data
    /// directory. `credential:NAME`, a credential of the systemd service. `exec:PROGRAM ARGUMENTS`
    /// or `unix:SOCKET`, a key service. `env:NAME`, for development only.
    pub provider: String,
}

/// The `[tls]` table: a certificate chain and its key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// The `[plugins]` table: whose components run here, and what they may use together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsConfig {
    /// Memory of all instances of components together, in MiB (64 to 1,048,576): beyond it a
    /// plugin fails for want of memory, and none is at fault.
    pub memory_mib: u64,
    /// Instances of components at a time, those of all plugins and connectors together (8 to
    /// 4,096); further hooks wait for one to end.
    pub instances: u32,
    /// Whether a component runs only with the signature of a key below.
    pub require_signature: bool,
    /// Public keys by name, each as `tidegate plugin keygen` writes it.
    pub keys: BTreeMap<String, String>,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            memory_mib: (Settings::MEMORY >> 20) as u64,
            instances: Settings::INSTANCES,
            require_signature: false,
            keys: BTreeMap::new(),
        }
    }
}

impl PluginsConfig {
    /// The first value that is out of its range, and what to do.
    fn fault(&self) -> Option<(String, String)> {
        let values = [
            ("memory_mib", self.memory_mib, 64..=1 << 20),
            // Each has an address range of its own, and of these there is an end, too.
            ("instances", u64::from(self.instances), 8..=4_096),
        ];
        let (name, value, fit) = values.into_iter().find(|(_, value, fit)| !fit.contains(value))?;
        let (least, most) = fit.into_inner();
        Some((
            format!("`plugins.{name}` is {value}"),
            format!("write {least} to {most}, or leave it out to get the default"),
        ))
    }

    /// How the sandbox for all components is set up, but for its clock and its cache.
    pub fn sandbox(&self) -> Settings {
        let memory = usize::try_from(self.memory_mib << 20).unwrap_or(usize::MAX);
        let allocation = Allocation::Pooling { instances: self.instances };
        Settings { allocation, memory, ..Settings::default() }
    }
}

/// The `[limits]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Largest request body, in bytes.
    pub body: usize,
    /// Deepest nesting of a request's JSON.
    pub depth: usize,
    /// Longest a call may take, in milliseconds.
    pub call_ms: u64,
    /// Tools on one page of a list.
    pub page: usize,
    /// Idle minutes after which a session of a legacy client ends.
    pub session_idle_minutes: u64,
    /// Most sessions of legacy clients at a time.
    pub sessions: usize,
    /// Most seconds that in-flight calls get when the process is told to stop.
    pub drain_seconds: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            body: 4 * 1024 * 1024,
            depth: 64,
            call_ms: 120_000,
            page: 1_000,
            session_idle_minutes: 60,
            sessions: 100_000,
            drain_seconds: 25,
        }
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessConfig {
    /// The version of the configuration's form; a newer one is refused.
    pub format: u32,
    /// Address of the public listener; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The URL by which clients reach it; taken from `listen` when empty.
    pub public_url: String,
    /// Address of the listener for health and metrics.
    pub ops_listen: SocketAddr,
    /// The data directory, relative to this file.
    pub data: PathBuf,
    /// Host names, beyond the one in `public_url`, that clients may use.
    pub allowed_hosts: Vec<String>,
    /// Web origins that may call from a browser.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// TLS for the public listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// The root key.
    pub keys: KeysConfig,
    /// Whom the gateway trusts when it connects to others.
    pub egress: EgressConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// Whose components run here, and what they may use together.
    pub plugins: PluginsConfig,
    /// Limits.
    pub limits: LimitsConfig,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            format: FORMAT,
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            public_url: String::new(),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 9787)),
            data: PathBuf::from("./data"),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            tls: None,
            keys: KeysConfig::default(),
            egress: EgressConfig::default(),
            audit: AuditConfig::default(),
            plugins: PluginsConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

impl ProcessConfig {
    /// Reads `gateway.toml` in `dir`; the defaults where there is none. Paths come back
    /// relative to `dir`.
    pub fn read(dir: &Path) -> Result<Self, Problem> {
        let file = dir.join("gateway.toml");
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Problem::of(&file, format!("cannot be read: {error}"))),
        };
        let mut config: Self =
            toml::from_str(&text).map_err(|error| Problem::toml(&file, &text, &error))?;
        config.validate(&file)?;
        config.data = dir.join(&config.data);
        config.egress.rooted(dir);
        if let Some(tls) = &mut config.tls {
            tls.certificate = dir.join(&tls.certificate);
            tls.key = dir.join(&tls.key);
        }
        if let Some(path) = config.keys.provider.strip_prefix("file:") {
            config.keys.provider = format!("file:{}", dir.join(path).display());
        }
        Ok(config)
    }

    /// Where root keys come from.
    pub fn key_provider(&self) -> String {
        match self.keys.provider.as_str() {
            "" => format!("file:{}", self.data.join("root.key").display()),
            source => source.to_owned(),
        }
    }

    /// The file that holds the root key, where it is in one.
    pub fn root_key(&self) -> Option<PathBuf> {
        self.key_provider().strip_prefix("file:").map(PathBuf::from)
    }

    /// Whose components run here.
    pub fn trust(&self) -> Trust {
        // Keys that are none were refused when the file was read.
        let keys = self.plugins.keys.iter();
        let keys = keys.filter_map(|(name, key)| Some((name.clone(), PublicKey::parse(key).ok()?)));
        Trust::new(self.plugins.require_signature, keys.collect())
    }

    fn validate(&self, file: &Path) -> Result<(), Problem> {
        let fault = |message: &str, help: &str| Err(Problem::of(file, message).with_help(help));
        if self.format == 0 || self.format > FORMAT {
            return fault(
                &format!("`format` is {}, and this program reads up to {FORMAT}", self.format),
                "use the version of tidegate that the directory was written for",
            );
        }
        let provider = self.keys.provider.split_once(':');
        let is_known = provider.is_some_and(|(kind, rest)| {
            ["file", "credential", "exec", "unix", "env"].contains(&kind) && !rest.trim().is_empty()
        });
        if !self.keys.provider.is_empty() && !is_known {
            let help = "use `file:PATH`, `credential:NAME`, `exec:PROGRAM ARGUMENTS`, `unix:SOCKET`, \
                        or `env:NAME` for development";
            return fault("`keys.provider` is not known", help);
        }
        let url = self.public_url.as_str();
        let schemed = url.is_empty() || url.starts_with("http://") || url.starts_with("https://");
        if !schemed || url.contains(['?', '#', '@', ' ']) {
            return fault(
                "`public_url` is no plain http or https URL",
                "write it like `https://mcp.example.com`",
            );
        }
        let exposed = !self.listen.ip().is_loopback();
        if exposed && self.tls.is_none() && self.trusted_proxies.is_empty() {
            return fault(
                "`listen` is open to the network without TLS",
                "add a `[tls]` table, name your proxies in `trusted_proxies`, or listen on 127.0.0.1",
            );
        }
        if let Some((message, help)) = self.plugins.fault() {
            return fault(&message, &help);
        }
        for (name, key) in &self.plugins.keys {
            if let Err(bad) = PublicKey::parse(key) {
                let name = name.escape_default();
                return fault(&format!("`plugins.keys.{name}`: {bad}"), "correct or remove it");
            }
        }
        if self.limits.body < 1_024
            || self.limits.depth < 4
            || self.limits.page == 0
            || self.limits.call_ms == 0
        {
            return fault(
                "a value in `[limits]` is too small to serve any call",
                "leave it out to get the default",
            );
        }
        Ok(())
    }
}
