//! The `[auth]` table of a connector: how the gateway proves itself to it.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_upstream::credential::{CredentialSpec, KeySource, KeySpec, Placing};

use super::{connector::ConnectorKind, reference::Reference};

/// The `[auth]` table: one secret, sent in one header or set as one variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// The header.
    #[serde(default = "authorization")]
    pub header: String,
    /// The header's value, with `{}` where the secret goes.
    #[serde(default = "bearer")]
    pub format: String,
    /// `hosted`: the environment variable that the secret goes into, instead of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The secret: `env:NAME` or `file:PATH`.
    pub secret: Reference,
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
        None
    }

    /// As the layer below takes it.
    pub fn spec(&self) -> CredentialSpec {
        let placing = match &self.env {
            Some(name) => Placing::Env { name: name.clone() },
            None => Placing::Header { name: self.header.clone(), format: self.format.clone() },
        };
        let source = KeySource::Reference(self.secret.clone().into());
        CredentialSpec::Key(KeySpec { placing, source })
    }

    /// What it refers to outside of itself.
    pub fn reference(&self) -> Option<&Reference> {
        Some(&self.secret)
    }

    /// Makes relative file paths absolute.
    pub fn rooted(&mut self, base: &Path) {
        self.secret.rooted(base);
    }
}
