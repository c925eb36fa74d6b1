//! `identity.toml`: how people and clients sign in.
//!
//! Owns the file's form, what must fit together in it, and the step to
//! [`Settings`], where its secrets are fetched. Knows no
//! protocol.

mod clients;
mod provider;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_identity::settings::Settings;

pub use clients::ClientConfig;
pub use provider::{ClaimsConfig, PresetSetting, ProviderConfig};

/// The file's name in a configuration directory.
pub const FILE: &str = "identity.toml";

/// Whether somebody who was not invited may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinSetting {
    /// Everybody whom a provider vouches for becomes a member.
    #[default]
    Anyone,
    /// Only people who are in the directory already.
    Invited,
}

/// The `[sign_in]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignInConfig {
    /// Whether accounts of the gateway's own, with a password, may sign in.
    pub accounts: bool,
    /// The provider that is the only way in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether somebody who was not invited may come in.
    pub join: JoinSetting,
    /// Hours without use after which a browser is signed out.
    pub idle_hours: u32,
    /// Days after which a browser is signed out at the latest.
    pub lifetime_days: u32,
}

impl Default for SignInConfig {
    fn default() -> Self {
        Self {
            accounts: true,
            provider: None,
            join: JoinSetting::Anyone,
            idle_hours: 12,
            lifetime_days: 7,
        }
    }
}

/// The `[registration]` table: clients that nobody has written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationConfig {
    /// Whether they may register themselves (RFC 7591).
    pub dynamic: bool,
    /// Whether they may be known by the URL of their metadata document.
    pub documents: bool,
    /// The only hosts whose documents are trusted; any host when left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub document_hosts: Vec<String>,
    /// Addresses beside the public internet where documents may be fetched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_addresses: Vec<IpAddr>,
}

impl Default for RegistrationConfig {
    fn default() -> Self {
        Self {
            dynamic: true,
            documents: true,
            document_hosts: Vec::new(),
            allow_addresses: Vec::new(),
        }
    }
}

/// The `[tokens]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokensConfig {
    /// Minutes for which an access token is good.
    pub access_minutes: u32,
    /// Days without use after which a client has to ask again.
    pub idle_days: u32,
}

impl Default for TokensConfig {
    fn default() -> Self {
        Self { access_minutes: 10, idle_days: 30 }
    }
}

/// An `[assertions."ISSUER"]` table: an authority whose signed assertions about people are
/// taken instead of a sign-in (ID-JAG).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssertionConfig {
    /// Where its keys are.
    pub jwks_uri: String,
    /// The provider whose people it speaks of; where left out, e-mail addresses name them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Addresses beside the public internet where its keys may be fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_addresses: Vec<IpAddr>,
}

/// The `[scim]` table: provisioning by the organisation's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScimConfig {
    /// `sha256:…` of the bearer token.
    pub token: String,
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// How people sign in.
    pub sign_in: SignInConfig,
    /// The organisation's identity providers, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, ProviderConfig>,
    /// The groups that give a role, by role.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Vec<String>>,
    /// OAuth clients that are written down, by client id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub clients: BTreeMap<String, ClientConfig>,
    /// Other clients.
    pub registration: RegistrationConfig,
    /// How long tokens are good.
    pub tokens: TokensConfig,
    /// Authorities whose assertions are taken, by issuer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub assertions: BTreeMap<String, AssertionConfig>,
    /// Provisioning by the organisation's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scim: Option<ScimConfig>,
}

/// Something that does not fit, and what to do about it.
pub type Fault = (String, String);

impl IdentityConfig {
    /// Everything that does not fit together, and what to do about each.
    pub fn faults(&self) -> Vec<Fault> {
        settings::faults(self)
    }

    /// What it says, with its secrets fetched.
    pub fn to_settings(&self) -> Result<Settings, Vec<Fault>> {
        settings::made(self)
    }

    /// The files that decide, beside this one, what it says.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let secrets = self.providers.values().filter_map(|it| it.client_secret.file());
        let keys = self.clients.values().filter_map(|it| it.jwks.as_ref()?.file());
        secrets.chain(keys).cloned().collect()
    }

    /// Makes relative file paths absolute.
    pub fn rooted(&mut self, base: &Path) {
        self.providers.values_mut().for_each(|it| it.client_secret.rooted(base));
        self.clients.values_mut().filter_map(|it| it.jwks.as_mut()).for_each(|it| it.rooted(base));
    }
}
