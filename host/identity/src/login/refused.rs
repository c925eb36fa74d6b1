//! Why nobody was signed in.
//!
//! Every text here may be shown to whoever tried: none holds a token, a code or a claim, none
//! says whether somebody is known, and none tells of the organisation's network.

use std::fmt;

use tidegate_store::{KeyringError, StoreError};

use super::claims::ClaimsRefused;

/// Why a sign-in with a provider was refused.
#[derive(Debug, thiserror::Error)]
pub enum LoginRefused {
    /// There is no such provider, or it may not be used.
    #[error("nobody can sign in here with a provider called `{0}`: choose another one")]
    NoProvider(String),
    /// The provider cannot be reached, or its metadata cannot be used.
    #[error(
        "the sign-in provider `{provider}` cannot be used now: try again later, or tell an administrator"
    )]
    Unavailable {
        /// Its name in the settings.
        provider: String,
        /// What failed, for administrators.
        why: String,
    },
    /// The answer belongs to no sign-in that this browser began in the last ten minutes.
    #[error("this browser has not begun this sign-in, or too long ago: begin it again")]
    NotBegun,
    /// The sign-in was finished before.
    #[error("this sign-in is over already: begin it again")]
    Repeated,
    /// The provider says no.
    #[error("the sign-in provider refused with `{0}`")]
    Denied(String),
    /// The provider's answer does not hold.
    #[error("the sign-in provider's answer cannot be trusted: {0}")]
    Untrusted(&'static str),
    /// What the provider says of the person cannot be used.
    #[error(transparent)]
    Claims(#[from] ClaimsRefused),
    /// The store refused.
    #[error("the sign-in could not be recorded: try again")]
    Store(#[from] StoreError),
    /// The sign-in could not be sealed.
    #[error("the sign-in could not be sealed: try again")]
    Keyring(#[from] KeyringError),
    /// The system gave no random bytes.
    #[error("the system has no randomness for a sign-in: try again")]
    NoRandomness,
}

impl LoginRefused {
    /// Says so in the log, since whoever tried is not told why.
    pub(super) fn unavailable(provider: &str, why: impl fmt::Display) -> Self {
        tracing::warn!(provider, %why, "a sign-in provider cannot be used");
        Self::Unavailable { provider: provider.to_owned(), why: why.to_string() }
    }

    /// One word for audit rows and figures.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoProvider(_) => "no_provider",
            Self::Unavailable { .. } => "provider_unavailable",
            Self::NotBegun => "not_begun",
            Self::Repeated => "repeated",
            Self::Denied(_) => "denied",
            Self::Untrusted(_) => "untrusted",
            Self::Claims(_) => "claims",
            Self::Store(_) | Self::Keyring(_) | Self::NoRandomness => "internal",
        }
    }
}
