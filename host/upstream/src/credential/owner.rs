//! Whose credential it is.
//!
//! A credential belongs to one owner for one connector, sent to one place. Names of people
//! are hashed where they become part of a key, so that keys have a length.

use sha2::{Digest, Sha256};
use tidegate_model::UserId;

/// Whose credential it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// Everybody's who may call: a service account.
    Shared,
    /// One person's or agent's, used for nobody else.
    User(UserId),
}

/// An owner as part of a key: SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OwnerKey(pub(crate) [u8; 32]);

/// Whether callers share one credential or each bring their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scope {
    /// One for all.
    #[default]
    Shared,
    /// One for each person or agent.
    PerUser,
}

impl Scope {
    /// Whose credential serves `user`.
    pub fn owner(self, user: &UserId) -> Owner {
        match self {
            Self::Shared => Owner::Shared,
            Self::PerUser => Owner::User(user.clone()),
        }
    }

    /// The spelling in configuration and status output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::PerUser => "user",
        }
    }
}

impl Owner {
    pub(crate) fn key(&self) -> OwnerKey {
        let hash = match self {
            Self::Shared => Sha256::digest(b"shared"),
            Self::User(user) => {
                Sha256::new().chain_update(b"user\0").chain_update(user.as_str()).finalize()
            }
        };
        OwnerKey(hash.into())
    }

    /// The person or agent; `None` for a shared one.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Shared => None,
            Self::User(user) => Some(user),
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shared => f.write_str("everybody"),
            Self::User(user) => user.fmt(f),
        }
    }
}
