//! The `[auth]` table of a connector: how the gateway proves itself, or each caller, to it.
//!
//! One struct for all kinds, so that a key of another kind is named as such; what belongs to
//! a kind alone stands in that kind's own file below `auth/` once it is more than a few keys.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_upstream::credential::{
    CredentialSpec, KeySource, KeySpec, OAuthSpec, Placing, Scope, oauth::discovery::Named,
};
use tidegate_wire::client::egress::{AddressPolicy, Origin};

use super::{connector::ConnectorKind, reference::Reference};

/// What kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// A token, API key or password that is used as it is.
    #[default]
    Key,
    /// A token that an authorization server issues after somebody has agreed in a browser.
    Oauth,
}

/// Whose credential serves a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeSetting {
    /// One for everybody who may call.
    #[default]
    Shared,
    /// Each person's or agent's own.
    User,
}

/// The `[auth]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// What kind of credential.
    #[serde(default)]
    pub kind: AuthKind,
    /// Whose credential serves a call.
    #[serde(default)]
    pub scope: ScopeSetting,
    /// The header that it goes into.
    #[serde(default = "authorization")]
    pub header: String,
    /// The header's value, with `{}` where the secret goes.
    #[serde(default = "bearer")]
    pub format: String,
    /// `hosted`: the environment variable that it goes into, instead of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// `key`: the secret, `env:NAME` or `file:PATH`. Left out, it is kept in the vault:
    /// whoever it belongs to brings it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// `oauth`: the authorization server, where it shall not be found out from the connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `oauth`: origins beside the issuer's where its endpoints may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// `oauth`: the gateway's client there, where it does not register itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// `oauth`: the secret of `client_id`: `env:NAME` or `file:PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Reference>,
    /// `oauth`: the rights to ask for, where they shall not be found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

fn authorization() -> String {
    "Authorization".into()
}

fn bearer() -> String {
    "Bearer {}".into()
}

impl AuthConfig {
    /// The first thing that does not fit together, and what to do.
    pub fn fault(&self, connector: ConnectorKind) -> Option<(String, String)> {
        let say = |message: String, help: &str| Some((message, help.to_owned()));
        if self.format.matches("{}").count() != 1 {
            return say("`auth.format` must hold `{}` once".into(), "for example `Bearer {}`");
        }
        if self.header.parse::<http::HeaderName>().is_err() {
            let message = format!("`{}` is no header name", self.header);
            return say(message, "for example `Authorization`");
        }
        if self.env.is_some() && connector != ConnectorKind::Hosted {
            return say(
                "`auth.env` belongs to a connector of kind `hosted`".into(),
                "a remote server gets its credential in a header: remove `env`",
            );
        }
        if self.secret.is_some() && self.scope == ScopeSetting::User {
            return say(
                "`auth.secret` is the same for everybody, and `scope` is `user`".into(),
                "remove `secret`, so that everybody brings their own, or `scope`",
            );
        }
        self.kind_fault(connector)
    }

    /// What belongs to another kind.
    fn kind_fault(&self, connector: ConnectorKind) -> Option<(String, String)> {
        let of_oauth = [
            ("issuer", self.issuer.is_some()),
            ("endpoints", !self.endpoints.is_empty()),
            ("client_id", self.client_id.is_some()),
            ("client_secret", self.client_secret.is_some()),
            ("scopes", !self.scopes.is_empty()),
        ];
        let say = |message: String, help: &str| Some((message, help.to_owned()));
        match self.kind {
            AuthKind::Key => {
                let (name, _) = of_oauth.into_iter().find(|(_, given)| *given)?;
                say(
                    format!("`auth.{name}` belongs to `kind = \"oauth\"`"),
                    "remove it, or set the kind",
                )
            }
            AuthKind::Oauth if self.secret.is_some() => say(
                "`auth.secret` belongs to `kind = \"key\"`".into(),
                "the secret of a registered client is its `client_secret`",
            ),
            AuthKind::Oauth if self.client_secret.is_some() && self.client_id.is_none() => {
                say("`auth.client_secret` needs `client_id`".into(), "write whose secret it is")
            }
            AuthKind::Oauth if connector != ConnectorKind::Remote => say(
                "`kind = \"oauth\"` is for connectors of kind `remote`".into(),
                "its authorization server is found from the connector's `url`",
            ),
            AuthKind::Oauth => {
                let mut urls = self.issuer.iter().chain(&self.endpoints);
                let bad = urls.find_map(|url| Origin::split(url).err())?;
                say(bad.to_string(), "write it like `https://login.example.com`")
            }
        }
    }

    /// As the layer below takes it, for a connector at `url` that may reach `allow`.
    pub fn spec(&self, url: &str, allow: &AddressPolicy) -> CredentialSpec {
        let placing = match &self.env {
            Some(name) => Placing::Env { name: name.clone() },
            None => Placing::Header { name: self.header.clone(), format: self.format.clone() },
        };
        match self.kind {
            AuthKind::Key => {
                let source = match &self.secret {
                    Some(reference) => KeySource::Reference(reference.clone().into()),
                    None => KeySource::Stored(self.scope.into()),
                };
                CredentialSpec::Key(KeySpec { placing, source })
            }
            AuthKind::Oauth => CredentialSpec::OAuth(OAuthSpec {
                placing,
                scope: self.scope.into(),
                url: url.to_owned(),
                allow: allow.clone(),
                named: Named { issuer: self.issuer.clone(), endpoints: self.endpoints.clone() },
                client_id: self.client_id.clone(),
                client_secret: self.client_secret.clone().map(Into::into),
                scopes: self.scopes.clone(),
            }),
        }
    }

    /// What it refers to outside of itself.
    pub fn reference(&self) -> Option<&Reference> {
        self.secret.as_ref().or(self.client_secret.as_ref())
    }

    /// Makes relative file paths absolute.
    pub fn rooted(&mut self, base: &Path) {
        for secret in [&mut self.secret, &mut self.client_secret].into_iter().flatten() {
            secret.rooted(base);
        }
    }
}

impl From<ScopeSetting> for Scope {
    fn from(setting: ScopeSetting) -> Self {
        match setting {
            ScopeSetting::Shared => Self::Shared,
            ScopeSetting::User => Self::PerUser,
        }
    }
}
