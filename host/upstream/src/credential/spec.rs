//! Credentials as plain data; they hold references, never secrets.
//!
//! One variant for each kind; what belongs to a kind alone stands in that kind's own struct.

use super::{OAuthSpec, Scope};

/// A credential as an administrator describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CredentialSpec {
    /// None is needed.
    #[default]
    None,
    /// The same key on every request.
    Key(KeySpec),
    /// A token that an authorization server issues after somebody has agreed.
    OAuth(OAuthSpec),
}

/// A key, token or password that is used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// Where it goes.
    pub placing: Placing,
    /// Where it comes from.
    pub source: KeySource,
}

/// Where a credential goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placing {
    /// Into a header of each request.
    Header {
        /// Its name, for instance `authorization`.
        name: String,
        /// Its value around the secret, which stands at `{}`: `Bearer {}`.
        format: String,
    },
    /// Into the environment of the program that serves the call (hosted).
    Env {
        /// The variable.
        name: String,
    },
}

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// From outside, the same for everybody: `env:NAME` or `file:PATH`; the key into
    /// [`crate::connector::Parts::secrets`].
    Reference(String),
    /// From the vault, where an administrator or the person has put it.
    Stored(Scope),
}

impl CredentialSpec {
    /// The word in configuration and status output, and part of what stored credentials are
    /// bound to.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Key(_) => "key",
            Self::OAuth(_) => "oauth",
        }
    }

    /// Whether callers share it.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Key(KeySpec { source: KeySource::Stored(scope), .. }) => *scope,
            Self::OAuth(spec) => spec.scope,
            Self::None | Self::Key(_) => Scope::Shared,
        }
    }

    /// Whether it lives in the vault, so that somebody has to bring it.
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::OAuth(_) | Self::Key(KeySpec { source: KeySource::Stored(_), .. }))
    }

    /// References to secrets that it holds.
    pub fn references(&self) -> Vec<&str> {
        match self {
            Self::Key(KeySpec { source: KeySource::Reference(reference), .. }) => vec![reference],
            Self::OAuth(spec) => spec.client_secret.as_deref().into_iter().collect(),
            Self::None | Self::Key(_) => Vec::new(),
        }
    }
}
