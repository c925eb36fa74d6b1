//! `plugins/NAME.toml`: one plugin, the versions of it, what it may do and where it is bound.
//!
//! The file is the one source of truth: `tidegate plugin …` edits it, a running gateway
//! follows it. What is within one file is checked here; what it refers to in `directory`.

mod limits;
pub mod reach;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_wasm::Capability;

pub use limits::PluginLimits;
pub use reach::{CredentialConfig, Credentials, HttpConfig, StateConfig};

/// Most versions in `[[previous]]`.
pub const PREVIOUS: usize = 5;

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
    /// Lower numbers run first on the way in and last on the way back. Of several customizers
    /// that edit one tool, the one with the highest number has the last word. The same number:
    /// by name.
    pub order: i32,
}

/// A version that was in force before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionConfig {
    /// The component file, relative to this one.
    pub component: PathBuf,
    /// The file's hash: `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The trusted key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// A version that asks for more than was granted; it does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldConfig {
    /// The component file, relative to this one.
    pub component: PathBuf,
    /// The file's hash: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The trusted key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// The capabilities that it asks for and was not granted.
    pub needs: Vec<String>,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// The component file in force, relative to this one. Left out while the only version
    /// there is is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<PathBuf>,
    /// The hash that the component file must have: `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where the component came from; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The key of `[plugins.keys]` whose signature the component must have, in a file of its
    /// name with `.sig` added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Whether it is kept without running.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
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
    /// What the capability `http` leads to.
    #[serde(default, skip_serializing_if = "HttpConfig::is_empty")]
    pub http: HttpConfig,
    /// What the capability `credential` leads to, by name.
    #[serde(default, skip_serializing_if = "Credentials::is_empty")]
    pub credentials: Credentials,
    /// What the capability `state` leads to.
    #[serde(default)]
    pub state: StateConfig,
    /// The versions before this one, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<VersionConfig>,
    /// A newer version that waits for grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldConfig>,
}

impl PluginConfig {
    /// The component that is to run: none while it is disabled or only held.
    pub fn in_force(&self) -> Option<&Path> {
        self.component.as_deref().filter(|_| !self.disabled)
    }

    /// How it stands, in one word: `enforce`, `observe`, `disabled`, or `held` where no
    /// version is in force.
    pub fn state(&self) -> &'static str {
        match (self.disabled, &self.component, self.mode) {
            (true, ..) => "disabled",
            (_, None, _) => "held",
            (.., ModeSetting::Enforce) => "enforce",
            (.., ModeSetting::Observe) => "observe",
        }
    }

    /// Makes relative paths absolute.
    pub fn rooted(&mut self, base: &Path) {
        let root = |path: &mut PathBuf| *path = base.join(&*path);
        self.component.iter_mut().for_each(root);
        self.previous.iter_mut().for_each(|version| root(&mut version.component));
        self.held.iter_mut().for_each(|held| root(&mut held.component));
        self.credentials.values_mut().for_each(|credential| credential.rooted(base));
    }

    /// Everything within the file that cannot be meant: what is wrong, and what to do.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.component.is_none() && self.held.is_none() {
            faults.push((
                "`component` is missing".to_owned(),
                "write the path of the component file, relative to this one".to_owned(),
            ));
        }
        let held = self.held.iter().map(|held| ("held.digest", Some(&held.digest)));
        let previous =
            self.previous.iter().map(|version| ("previous.digest", version.digest.as_ref()));
        let digests = [("digest", self.digest.as_ref())].into_iter().chain(held).chain(previous);
        for (field, digest) in digests {
            if let Some(digest) = digest.filter(|digest| !is_digest(digest)) {
                faults.push((
                    format!("`{field}` is `{}`, which is no digest", digest.escape_default()),
                    "write `sha256:` and 64 hexadecimal digits in lower case".to_owned(),
                ));
            }
        }
        for name in &self.grants {
            if let Err(unknown) = name.parse::<Capability>() {
                faults.push((format!("`grants`: {unknown}"), "correct or remove it".to_owned()));
            }
        }
        if self.previous.len() > PREVIOUS {
            faults.push((
                format!("`previous` holds {} versions", self.previous.len()),
                format!("keep the newest {PREVIOUS}"),
            ));
        }
        faults.extend(self.limits.faults());
        faults.extend(reach::faults(&self.http, &self.credentials, self.state));
        faults
    }
}

/// Whether a text is a SHA-256 digest as files and registries write it.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests;
