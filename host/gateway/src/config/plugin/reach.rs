//! What the granted capabilities of a plugin lead to: `[http]`, `[credentials.NAME]`, `[state]`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

    pub(super) fn rooted(&mut self, base: &Path) {
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

impl Default for StateConfig {
    fn default() -> Self {
        Self { quota_kib: 1024 }
    }
}

/// Everything in the three tables that cannot be meant, and what to do.
pub(super) fn faults(
    http: &HttpConfig,
    credentials: &Credentials,
    state: StateConfig,
) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for host in http.hosts.iter().filter(|host| !is_host(host)) {
        faults.push((
            format!("`http.hosts`: `{}` is no host", host.escape_default()),
            "write `api.example.com`, `api.example.com:8443` or `*.example.com`".to_owned(),
        ));
    }
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
        let outside = |host: &&String| !http.hosts.iter().any(|known| covers(known, host));
        for host in credential.hosts.iter().filter(outside) {
            faults.push((
                format!("`{field}.hosts`: `{}` is not among `http.hosts`", host.escape_default()),
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

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

/// Whether it has the form of a host with or without a port; the sandbox reads it exactly.
fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]_".contains(&byte);
    !name.is_empty() && name.len() <= 262 && name.bytes().all(fits)
}

/// Whether every host of the pattern `inner` is one of `outer`.
fn covers(outer: &str, inner: &str) -> bool {
    if outer == inner {
        return true;
    }
    let below = |suffix: &str| {
        inner
            .strip_suffix(suffix)
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|rest| !rest.is_empty())
    };
    outer.strip_prefix("*.").is_some_and(below)
}
