//! `/api/v1/me`: the caller as the gateway knows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{asked::Asked, failed::Failed, route::Done};

/// The caller.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Me {
    /// How policies name them.
    pub(crate) user: String,
    /// `person` or `agent`.
    pub(crate) kind: String,
    pub(crate) org: String,
    pub(crate) groups: Vec<String>,
    pub(crate) roles: Vec<String>,
    /// How they signed in, as policies see it.
    pub(crate) sign_in: String,
    /// The API key that was presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The client that an access token was issued to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
    /// The administrative actions that policies permit them now.
    pub(crate) may: Vec<String>,
}

pub(super) async fn show(asked: &Asked, (): ()) -> Result<Done<Me>, Failed> {
    let caller = &asked.caller;
    Ok(Done::of(Me {
        user: caller.user().to_string(),
        kind: caller.kind().name().to_owned(),
        org: caller.org().to_string(),
        groups: caller.groups().to_vec(),
        roles: caller.roles().to_vec(),
        sign_in: caller.sign_in().name().to_owned(),
        key: caller.key().map(ToString::to_string),
        client: caller.client().map(str::to_owned),
        may: asked.permitted(caller).iter().map(|action| action.name().to_owned()).collect(),
    }))
}
