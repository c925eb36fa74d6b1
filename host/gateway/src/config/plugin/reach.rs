//! What the granted capabilities of a plugin lead to: `[http]`, `[credentials.NAME]`, `[state]`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_wasm::capabilities::http::Hosts;

use crate::config::reference::Reference;

/// The `[http]` table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Hosts that requests may go to: `api.example.com`, `api.example.com:8443`, or
    /// `*.example.com` for everything below it.
    pub hosts: Vec<String>,
    /// Whether these hosts may be on this machine or in a private network.
    pub allow_private: bool,
}

impl HttpConfig {
    /// Whether it leads nowhere, as without the table.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The `[credentials.NAME]` tables.
pub type Credentials = BTreeMap<String, CredentialConfig>;

/// One `[credentials.NAME]` table: a secret by `env` or by `file`, and where it may go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CredentialConfig {
    /// The environment variable of the gateway that holds the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The file that holds the secret, relative to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The hosts it may be sent to, each within `http.hosts`; none when it is for signing only.
    pub hosts: Vec<String>,
}

impl CredentialConfig {
    /// Where the secret is; `None` unless exactly one place is named.
    pub fn secret(&self) -> Option<Reference> {
        match (&self.env, &self.file) {
            (Some(name), None) if !name.is_empty() => Some(Reference::Env(name.clone())),
            (None, Some(path)) => Some(Reference::File(path.clone())),
            _ => None,
        }
    }

    /// Makes a relative path absolute.
    pub fn rooted(&mut self, base: &Path) {
        if let Some(file) = &mut self.file {
            *file = base.join(&*file);
        }
    }
}

/// The `[state]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// Room for keys and values together, in KiB (at most 1,048,576).
    pub quota_kib: u64,
}

impl StateConfig {
    /// Whether it is as without the table.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { quota_kib: 1024 }
    }
}

/// Everything in the three tables that cannot be meant, and what to do.
pub fn faults(
    http: &HttpConfig,
    credentials: &Credentials,
    state: StateConfig,
) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let known = known_hosts("http.hosts", &http.hosts, &mut faults);
    for (name, credential) in credentials {
        let field = format!("credentials.{}", name.escape_default());
        if !is_name(name) {
            faults.push((
                format!("`{field}` is no name"),
                "use 1 to 64 of a-z, 0-9, `-` and `_`".to_owned(),
            ));
        }
        if credential.secret().is_none() {
            faults.push((
                format!("`{field}` names no secret, or two"),
                "write either `env` or `file`".to_owned(),
            ));
        }
        let hosts = known_hosts(&format!("{field}.hosts"), &credential.hosts, &mut faults);
        if let Some(host) = hosts.outside(&known) {
            faults.push((
                format!("`{field}.hosts`: `{host}` is not among `http.hosts`"),
                "add it there, or remove it here".to_owned(),
            ));
        }
    }
    if !(1..=1 << 20).contains(&state.quota_kib) {
        faults.push((
            format!("`state.quota_kib` is {}", state.quota_kib),
            format!("write 1 to {}, or leave it out to get the default", 1 << 20),
        ));
    }
    faults
}

/// The hosts of a field as far as they are hosts.
fn known_hosts(field: &str, texts: &[String], faults: &mut Vec<(String, String)>) -> Hosts {
    Hosts::parse(texts).unwrap_or_else(|bad| {
        faults.push((format!("`{field}`: {bad}"), "correct or remove it".to_owned()));
        Hosts::default()
    })
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}
