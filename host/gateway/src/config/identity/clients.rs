//! A `[clients.ID]` table: an OAuth client that an administrator has written down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_identity::settings::RegisteredClient;
use tidegate_model::{UserId, VmcpId};

use super::{Fault, settings::digest};
use crate::config::reference::Reference;

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// What people are shown.
    pub name: String,
    /// Where answers may go; loopback ones with any port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// Whether it may be let in by a code that people type, for programs without a browser.
    /// Clients that nobody has written down may not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub device_codes: bool,
    /// `sha256:…` of its secret; a public client has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Where its public keys are (a JWK set): `file:PATH` or `env:NAME`. It proves itself with
    /// them instead of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Reference>,
    /// Who it is when it acts for itself (`client_credentials`): the name of an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Groups of that agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Roles of that agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Virtual MCPs it may get tokens for; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vmcps: Vec<String>,
}

impl ClientConfig {
    /// What does not fit together.
    pub(super) fn faults(&self, id: &str, faults: &mut Vec<Fault>) {
        let mut say = |message: &str, help: &str| {
            faults.push((format!("`clients.{id}` {message}"), help.to_owned()));
        };
        if self.name.trim().is_empty() || self.name.chars().count() > 80 {
            say("needs a `name` of at most 80 characters", "people see it when they are asked");
        }
        if self.secret.is_some() && self.jwks.is_some() {
            say("has both `secret` and `jwks`", "keep the one that it proves itself with");
        }
        if self.redirect_uris.is_empty() && !self.device_codes && self.agent.is_none() {
            say(
                "has neither `redirect_uris` nor `agent`",
                "write where answers may go, or the agent that it is",
            );
        }
        if self.agent.is_some() && self.secret.is_none() && self.jwks.is_none() {
            say("acts for an agent and proves nothing", "give it `secret` or `jwks`");
        }
        if self.agent.is_none() && !(self.groups.is_empty() && self.roles.is_empty()) {
            say("has groups or roles and no `agent`", "they are those of the agent that it is");
        }
        if let Some(Err((message, help))) = self.secret.as_deref().map(digest) {
            say(&format!("`secret` {message}"), &help);
        }
        if let Some(Err(bad)) = self.agent.as_deref().map(UserId::new) {
            say(&bad.to_string(), "name the agent as policies do");
        }
        if let Some(Err(bad)) = self.vmcps.iter().map(|name| VmcpId::new(name)).find(Result::is_err)
        {
            say(&bad.to_string(), "name a virtual MCP");
        }
    }

    /// The client that it describes, its keys fetched.
    pub(super) fn to_client(&self, id: &str) -> Result<RegisteredClient, Fault> {
        let bad = |message: String| (format!("`clients.{id}` {message}"), "correct it".to_owned());
        let jwks = match &self.jwks {
            None => None,
            Some(Reference::File(path)) => Some(
                std::fs::read_to_string(path)
                    .map_err(|error| bad(format!("`jwks` cannot be read: {error}")))?,
            ),
            Some(it @ Reference::Env(_)) => {
                let text = it.resolve().map_err(|error| bad(error.to_string()))?;
                Some(text.expose().to_owned())
            }
        };
        let names: Result<Vec<VmcpId>, _> =
            self.vmcps.iter().map(|name| VmcpId::new(name)).collect();
        let agent = self.agent.as_deref().map(UserId::new).transpose();
        Ok(RegisteredClient {
            name: self.name.clone(),
            redirect_uris: self.redirect_uris.clone(),
            device_codes: self.device_codes,
            secret: self.secret.as_deref().map(digest).transpose()?,
            jwks,
            agent: agent.map_err(|error| bad(error.to_string()))?,
            groups: self.groups.clone(),
            roles: self.roles.clone(),
            vmcps: names.map_err(|error| bad(error.to_string()))?,
        })
    }
}
