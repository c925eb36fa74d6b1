//! `/api/v1/grants`: what people let clients do.

use serde::{Deserialize, Serialize};
use tidegate_identity::authorization::{Grant, GrantId};
use utoipa::{IntoParams, ToSchema};

use super::{
    asked::{Asked, limit, quoted, user_id},
    failed::Failed,
    moment::Moment,
    route::{Done, Query},
};

/// Grants that are looked at in one step.
const STEP: usize = 500;

/// A grant. The client's name is its own word.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct GrantInfo {
    pub(crate) id: String,
    pub(crate) user: String,
    /// The client's id.
    pub(crate) client: String,
    /// What the client was called when it was granted.
    pub(crate) client_name: String,
    /// What it is for: the URL of a virtual MCP, or of this API.
    pub(crate) resource: String,
    pub(crate) scopes: Vec<String>,
    /// `authorization_code`, `device_code` or `assertion`.
    pub(crate) origin: String,
    pub(crate) created: Moment,
    /// When a token was issued under it last.
    pub(crate) last_used: Moment,
    /// When it ends without further use.
    pub(crate) expires: Moment,
}

/// Some grants.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct GrantPage {
    pub(crate) grants: Vec<GrantInfo>,
    /// What to ask for as `after` to go on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// Which grants are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only those of this user.
    user: Option<String>,
    /// Only those of this client.
    client: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// How many entries at most: 1 to 1000, 100 where nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// How many grants were ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Revoked {
    pub(crate) grants: usize,
}

impl GrantInfo {
    fn of(asked: &Asked, grant: &Grant) -> Self {
        Self {
            id: grant.id.to_string(),
            user: grant.user.to_string(),
            client: grant.client.clone(),
            client_name: grant.client_name.clone(),
            resource: asked.identity.ground.issuer.audience(&grant.resource),
            scopes: grant.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            origin: grant.origin.name().to_owned(),
            created: grant.created.into(),
            last_used: grant.last_used.into(),
            expires: grant.expires.into(),
        }
    }
}

pub(super) async fn list(
    asked: &Asked,
    Query(wanted): Query<Wanted>,
) -> Result<Done<GrantPage>, Failed> {
    let limit = limit(wanted.limit);
    let mut after = wanted.after.as_deref().map(grant_id).transpose()?;
    let fits = |grant: &Grant| wanted.client.as_ref().is_none_or(|client| grant.client == *client);
    let server = &asked.identity.server;
    let (mut grants, mut next) = (Vec::new(), None);
    if let Some(user) = &wanted.user {
        // One person has few, so paging goes by their ids.
        let mut all = server.grants_of(&user_id(user)?).await?;
        all.sort_by_key(|grant| grant.id);
        let mut rest =
            all.iter().filter(|grant| after.is_none_or(|after| grant.id > after) && fits(grant));
        grants.extend(rest.by_ref().take(limit).map(|grant| GrantInfo::of(asked, grant)));
        next = rest.next().and(grants.last()).map(|grant: &GrantInfo| grant.id.clone());
        return Ok(Done::of(GrantPage { grants, next }));
    }
    'all: loop {
        let some = server.grants(after, STEP).await?;
        let Some(last) = some.last() else { break };
        after = Some(last.id);
        for grant in some.iter().filter(|grant| fits(grant)) {
            if grants.len() == limit {
                next = grants.last().map(|grant: &GrantInfo| grant.id.clone());
                break 'all;
            }
            grants.push(GrantInfo::of(asked, grant));
        }
    }
    Ok(Done::of(GrantPage { grants, next }))
}

fn grant_id(text: &str) -> Result<GrantId, Failed> {
    text.parse().map_err(|error: tidegate_identity::authorization::grant::BadGrantId| {
        Failed::bad_request(&error.to_string())
    })
}

fn missing(id: GrantId) -> Failed {
    Failed::missing(format!("there is no grant `{id}`, or it has ended"))
}

pub(super) async fn revoke(asked: &Asked, (): ()) -> Result<Done<GrantInfo>, Failed> {
    let id = grant_id(asked.parameter("grant")?)?;
    let grant = asked.identity.server.grant(id).await?.ok_or_else(|| missing(id))?;
    end(asked, &grant).await
}

async fn end(asked: &Asked, grant: &Grant) -> Result<Done<GrantInfo>, Failed> {
    if !asked.identity.server.revoke_grant(grant.id).await? {
        return Err(missing(grant.id));
    }
    let note = format!(
        "grant {} ended: user {}, client {}, {}, scopes {}",
        grant.id,
        grant.user,
        quoted(Some(&grant.client)),
        asked.identity.ground.issuer.audience(&grant.resource),
        grant.scopes
    );
    Ok(Done::noted(GrantInfo::of(asked, grant), note))
}

pub(super) async fn revoke_of_user(asked: &Asked, (): ()) -> Result<Done<Revoked>, Failed> {
    let id = user_id(asked.parameter("user")?)?;
    let grants = asked.identity.server.revoke_user(&id).await?;
    Ok(Done::noted(Revoked { grants }, format!("user {id}: all {grants} grants ended")))
}

pub(super) async fn revoke_of_client(asked: &Asked, (): ()) -> Result<Done<Revoked>, Failed> {
    let client = asked.parameter("client")?;
    let grants = asked.identity.server.revoke_client(client).await?;
    let note = format!("client {}: all {grants} grants ended", quoted(Some(client)));
    Ok(Done::noted(Revoked { grants }, note))
}

/// The caller's own grants.
pub(super) async fn own(asked: &Asked, (): ()) -> Result<Done<GrantPage>, Failed> {
    let grants = asked.identity.server.grants_of(&asked.own_id()?).await?;
    let grants = grants.iter().map(|grant| GrantInfo::of(asked, grant)).collect();
    Ok(Done::of(GrantPage { grants, next: None }))
}

/// Ends a grant of the caller's own; one of somebody else is not there.
pub(super) async fn revoke_own(asked: &Asked, (): ()) -> Result<Done<GrantInfo>, Failed> {
    let id = grant_id(asked.parameter("grant")?)?;
    let grant = asked.identity.server.grant(id).await?;
    let user = asked.own_id()?;
    let own = grant.filter(|grant| grant.user == user);
    end(asked, &own.ok_or_else(|| missing(id))?).await
}
