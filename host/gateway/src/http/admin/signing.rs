//! `/api/v1/signing-keys`: the keys that sign the organisation's access tokens.
//!
//! They change by themselves; this is for whoever will not wait, or believes that somebody
//! else has one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    asked::Asked,
    failed::Failed,
    route::{Body, Done},
};

/// How signing keys are to be replaced.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedSigningKey {
    /// Whether the keys of before are forgotten, as somebody else may have them: access tokens
    /// that they signed are good no more, and clients refresh them.
    #[serde(default)]
    pub(crate) forget: bool,
}

/// What became of the keys of before.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SigningKeyReplaced {
    /// Whether access tokens of before are good no more.
    pub(crate) forgotten: bool,
}

pub(super) async fn rotate(
    asked: &Asked,
    Body(wanted): Body<WantedSigningKey>,
) -> Result<Done<SigningKeyReplaced>, Failed> {
    let server = &asked.identity.server;
    let became = if wanted.forget {
        server.replace_signing_keys().await?;
        "those of before are forgotten"
    } else {
        server.rotate_signing_key().await?;
        "those of before verify until what they signed has ended"
    };
    let note = format!("a new key signs access tokens; {became}");
    Ok(Done::noted(SigningKeyReplaced { forgotten: wanted.forget }, note))
}
