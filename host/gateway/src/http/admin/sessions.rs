//! `/api/v1/sessions`: browsers in which people are signed in.

use serde::{Deserialize, Serialize};
use tidegate_identity::login::{Session, SessionId};
use tidegate_model::UserId;
use utoipa::{IntoParams, ToSchema};

use super::{
    asked::{Asked, user_id},
    failed::Failed,
    moment::Moment,
    route::{Done, Query},
};

/// A browser in which somebody is signed in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SessionInfo {
    pub(crate) id: String,
    pub(crate) user: String,
    /// The provider that they came from; absent for an account of the gateway's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<String>,
    /// When they proved who they are.
    pub(crate) signed_in: Moment,
    pub(crate) created: Moment,
    /// When it was used last, give or take five minutes.
    pub(crate) last_used: Moment,
}

/// The sessions of one user.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SessionPage {
    /// The newest first.
    pub(crate) sessions: Vec<SessionInfo>,
}

/// Whose sessions are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The user.
    user: String,
}

/// A session that was ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SessionEnded {
    pub(crate) ended: String,
    pub(crate) user: String,
    /// How many grants ended with it, since they were given in it.
    pub(crate) grants: usize,
}

impl SessionInfo {
    fn of(session: &Session) -> Self {
        Self {
            id: session.id.to_string(),
            user: session.user.to_string(),
            provider: session.link.as_ref().map(|link| link.provider.clone()),
            signed_in: session.auth_time.into(),
            created: session.created.into(),
            last_used: session.last_used.into(),
        }
    }
}

async fn of(asked: &Asked, user: &UserId) -> Result<Done<SessionPage>, Failed> {
    let sessions = asked.identity.browsers.of_user(user).await?;
    Ok(Done::of(SessionPage { sessions: sessions.iter().map(SessionInfo::of).collect() }))
}

pub(super) async fn list(
    asked: &Asked,
    Query(wanted): Query<Wanted>,
) -> Result<Done<SessionPage>, Failed> {
    of(asked, &user_id(&wanted.user)?).await
}

/// The caller's own sessions.
pub(super) async fn own(asked: &Asked, (): ()) -> Result<Done<SessionPage>, Failed> {
    of(asked, &asked.own_id()?).await
}

fn missing() -> Failed {
    Failed::missing("there is no such session, or it has ended".to_owned())
}

fn id(asked: &Asked) -> Result<SessionId, Failed> {
    SessionId::parse(asked.parameter("session")?).ok_or_else(missing)
}

pub(super) async fn end(asked: &Asked, (): ()) -> Result<Done<SessionEnded>, Failed> {
    let id = id(asked)?;
    let session = asked.identity.browsers.end(&id).await?.ok_or_else(missing)?;
    let grants = asked.identity.server.revoke_session(&session.user, id.as_str()).await?;
    let note = format!("session {id} of user {} ended, with {grants} grants", session.user);
    let ended = SessionEnded { ended: id.to_string(), user: session.user.to_string(), grants };
    Ok(Done::noted(ended, note))
}

/// Ends a session of the caller's own; one of somebody else is not there.
pub(super) async fn end_own(asked: &Asked, (): ()) -> Result<Done<SessionEnded>, Failed> {
    let id = id(asked)?;
    let own = asked.identity.browsers.of_user(&asked.own_id()?).await?;
    if !own.iter().any(|session| session.id == id) {
        return Err(missing());
    }
    end(asked, ()).await
}
