//! `connectors/NAME.toml`: one upstream.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_wire::client::egress::Origin;

use super::{
    auth::AuthConfig,
    hosted::MachineConfig,
    plugin::{Credentials, HttpConfig, StateConfig, reach},
};

/// Which kind of upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorKind {
    /// An MCP server that runs elsewhere, reached over HTTP.
    Remote,
    /// An MCP server that the gateway starts and speaks to over stdio.
    Hosted,
    /// A WebAssembly component inside the gateway.
    Wasm,
}

/// Which era of MCP a remote or hosted upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EraSetting {
    /// Found out by asking.
    #[default]
    Auto,
    /// 2025-11-25 and before.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// How a remote upstream is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TransportSetting {
    /// Found out by asking: Streamable HTTP first, HTTP+SSE where that is not understood.
    #[default]
    Auto,
    /// Streamable HTTP (2025-03-26 and later).
    StreamableHttp,
    /// HTTP+SSE (2024-11-05), which clients and servers are leaving.
    Sse,
}

/// Addresses that a connector may reach beyond the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressSetting {
    /// This machine.
    Loopback,
    /// Private networks (RFC 1918, unique local IPv6).
    Private,
}

fn extensions() -> BTreeSet<String> {
    tidegate_upstream::connector::EXTENSIONS.map(str::to_owned).into()
}

/// The `[limits]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectorLimits {
    /// Calls at a time.
    pub concurrency: usize,
    /// Calls that wait for a turn.
    pub queue: usize,
    /// Longest a call may take, in milliseconds.
    pub timeout_ms: u64,
    /// Largest answer, in bytes.
    pub answer: usize,
}

impl Default for ConnectorLimits {
    fn default() -> Self {
        Self { concurrency: 64, queue: 128, timeout_ms: 60_000, answer: 16 * 1024 * 1024 }
    }
}

/// What an administrator says a tool does, over what the tool says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassConfig {
    /// Changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// May destroy or overwrite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// Reaches an open world.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorConfig {
    /// Which kind of upstream.
    pub kind: ConnectorKind,
    /// `remote`: the server's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `remote`: addresses beyond the public ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<AddressSetting>,
    /// `remote`, `hosted`: the era of MCP.
    #[serde(default)]
    pub era: EraSetting,
    /// `remote`: the transport.
    #[serde(default)]
    pub transport: TransportSetting,
    /// `remote`, `hosted`: the extensions of MCP, by identifier, that are carried between
    /// clients and this upstream; an empty list carries none. Others stay unsaid in both
    /// directions.
    #[serde(default = "extensions")]
    pub extensions: BTreeSet<String>,
    /// `remote`: the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// `hosted`: the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// `hosted`: its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `hosted`: where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// `hosted`: whether each client has a process of its own, for a server that keeps state
    /// or asks its clients questions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_caller: bool,
    /// `hosted`: its environment; values may be `env:NAME` or `file:PATH`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// `hosted`: the machines that it runs in.
    #[serde(default, skip_serializing_if = "MachineConfig::is_default")]
    pub machine: MachineConfig,
    /// `wasm`: the component file, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<PathBuf>,
    /// `wasm`: capabilities granted to the component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// `wasm`: the component's own configuration.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// `wasm`: what the capability `http` leads to.
    #[serde(default, skip_serializing_if = "HttpConfig::is_empty")]
    pub http: HttpConfig,
    /// `wasm`: what the capability `credential` leads to, by name.
    #[serde(default, skip_serializing_if = "Credentials::is_empty")]
    pub credentials: Credentials,
    /// `wasm`: what the capability `state` leads to.
    #[serde(default, skip_serializing_if = "StateConfig::is_default")]
    pub state: StateConfig,
    /// Limits.
    #[serde(default)]
    pub limits: ConnectorLimits,
    /// Approved classes of tools, by original name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, ClassConfig>,
}

impl ConnectorConfig {
    /// The first thing that does not fit together, and what to do.
    pub fn fault(&self) -> Option<(String, String)> {
        let say = |message: &str, help: &str| Some((message.to_owned(), help.to_owned()));
        let set = [
            ("url", self.url.is_some(), ConnectorKind::Remote),
            ("transport", self.transport != TransportSetting::Auto, ConnectorKind::Remote),
            ("allow", !self.allow.is_empty(), ConnectorKind::Remote),
            ("auth", self.auth.is_some(), ConnectorKind::Remote),
            ("command", self.command.is_some(), ConnectorKind::Hosted),
            ("args", !self.args.is_empty(), ConnectorKind::Hosted),
            ("cwd", self.cwd.is_some(), ConnectorKind::Hosted),
            ("per_caller", self.per_caller, ConnectorKind::Hosted),
            ("env", !self.env.is_empty(), ConnectorKind::Hosted),
            ("machine", !self.machine.is_default(), ConnectorKind::Hosted),
            ("component", self.component.is_some(), ConnectorKind::Wasm),
            ("grants", !self.grants.is_empty(), ConnectorKind::Wasm),
            ("config", !self.config.is_empty(), ConnectorKind::Wasm),
            ("http", !self.http.is_empty(), ConnectorKind::Wasm),
            ("credentials", !self.credentials.is_empty(), ConnectorKind::Wasm),
            ("state", !self.state.is_default(), ConnectorKind::Wasm),
        ];
        for (name, given, kind) in set {
            if given && kind != self.kind {
                return Some((
                    format!(
                        "`{name}` does not belong to a connector of kind `{}`",
                        self.kind.name()
                    ),
                    format!("remove it, or set `kind = \"{}\"`", kind.name()),
                ));
            }
        }
        match self.kind {
            ConnectorKind::Remote if self.url.is_none() => {
                say("a remote connector needs `url`", "write the server's Streamable HTTP endpoint")
            }
            ConnectorKind::Hosted if self.command.is_none() => say(
                "a hosted connector needs `command`",
                "write the program to start, and its `args`",
            ),
            ConnectorKind::Wasm if self.component.is_none() => {
                say("a wasm connector needs `component`", "write the path of the component file")
            }
            _ => (self.url_fault())
                .or_else(|| self.auth_fault())
                .or_else(|| self.limits_fault())
                .or_else(|| self.machine.fault())
                .or_else(|| self.extensions_fault())
                .or_else(|| self.transport_fault())
                .or_else(|| reach::faults(&self.http, &self.credentials, self.state).pop()),
        }
    }

    fn url_fault(&self) -> Option<(String, String)> {
        let bad = Origin::split(self.url.as_deref()?).err()?;
        Some((bad.to_string(), "write it like `https://mcp.example.com/mcp`".into()))
    }

    fn auth_fault(&self) -> Option<(String, String)> {
        self.auth.as_ref()?.fault(self.kind)
    }

    fn extensions_fault(&self) -> Option<(String, String)> {
        let is_prefixed = |name: &str| {
            matches!(name.split_once('/'), Some((vendor, rest)) if !vendor.is_empty() && !rest.is_empty())
                && !name.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        let bad = self.extensions.iter().find(|name| !is_prefixed(name))?;
        Some((
            format!("`{}` is no identifier of an extension", bad.escape_default()),
            "write it with its vendor, like `io.modelcontextprotocol/tasks`".into(),
        ))
    }

    fn transport_fault(&self) -> Option<(String, String)> {
        (self.transport == TransportSetting::Sse && self.era == EraSetting::Modern).then(|| {
            (
                "no modern server is reached over HTTP+SSE".into(),
                "leave `era` or `transport` out".into(),
            )
        })
    }

    fn limits_fault(&self) -> Option<(String, String)> {
        let limits = &self.limits;
        (limits.concurrency == 0 || limits.timeout_ms == 0 || limits.answer < 1_024).then(|| {
            (
                "a value in `[limits]` is too small to serve any call".into(),
                "leave it out to get the default".into(),
            )
        })
    }
}

impl ConnectorKind {
    /// The spelling in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::Hosted => "hosted",
            Self::Wasm => "wasm",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ConnectorConfig {
        toml::from_str(text).expect(text)
    }

    const REMOTE: &str = "kind = \"remote\"\nurl = \"https://mcp.example.com/mcp\"\n";
    const HOSTED: &str = "kind = \"hosted\"\ncommand = \"files\"\n";

    #[test]
    fn what_fits_together_has_no_fault() {
        for (kind, more) in [
            (REMOTE, ""),
            (REMOTE, "transport = \"sse\""),
            (REMOTE, "transport = \"streamable-http\"\nera = \"modern\""),
            (REMOTE, "extensions = []"),
            (HOSTED, "per_caller = true\nextensions = [\"com.example/x\"]"),
        ] {
            assert_eq!(read(&format!("{kind}{more}")).fault(), None, "{more}");
        }
        let known = ["io.modelcontextprotocol/tasks", "io.modelcontextprotocol/ui"];
        assert_eq!(read(REMOTE).extensions, known.map(str::to_owned).into());
        assert!(read(&format!("{REMOTE}extensions = []")).extensions.is_empty());
    }

    #[test]
    fn what_does_not_is_a_sentence_with_a_remedy() {
        for (kind, more, part) in [
            (HOSTED, "transport = \"sse\"", "`transport` does not belong"),
            (REMOTE, "per_caller = true", "`per_caller` does not belong"),
            (REMOTE, "transport = \"sse\"\nera = \"modern\"", "no modern server"),
            (REMOTE, "extensions = [\"tasks\"]", "`tasks` is no identifier"),
            (REMOTE, "extensions = [\"/tasks\"]", "`/tasks` is no identifier"),
            (REMOTE, "extensions = [\"a/\"]", "`a/` is no identifier"),
            (REMOTE, "extensions = [\"a/b c\"]", "`a/b c` is no identifier"),
        ] {
            let (fault, help) = read(&format!("{kind}{more}")).fault().expect(more);
            assert!(fault.contains(part) && !help.is_empty(), "{more}: {fault}");
        }
        for wrong in ["transport = \"websocket\"", "per_caller = 1", "extensions = true"] {
            assert!(toml::from_str::<ConnectorConfig>(&format!("{REMOTE}{wrong}")).is_err());
        }
    }
}
