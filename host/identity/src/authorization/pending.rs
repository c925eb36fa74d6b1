//! What a client is about to get, before policy has been asked.
//!
//! Owns the questions of the RFCs about each kind of grant at the token endpoint. A pending
//! token has changed nothing yet, but for what ends because it was presented twice. It becomes
//! one through [`AuthorizationServer::issue`](super::AuthorizationServer::issue) alone.

use std::{fmt, sync::Arc};

use model::{Secret, Timestamp};
use tidegate_model as model;

use super::{
    AuthorizationServer,
    client::{Client, ClientKind, GrantType},
    code::CodeRow,
    device::{Approval, DeviceRow},
    error::{ErrorCode, Incident, Replayed, TokenRefused},
    grant::{GrantId, GrantRow, Origin},
    parameters::Parameters,
    refresh::{Presented, Standing},
    request::{NOT_FOR_CLIENT, may_reach, target},
    token::seconds,
};
use crate::{
    Caller, Resource, Scopes, Settings,
    caller::Bearer,
    directory::{Kind, Person},
    method::access_token::{self, Subject},
};

/// A request of a client at an endpoint that it calls itself.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    /// The values of its `Authorization` headers.
    pub authorization: &'a [&'a str],
    /// The form's fields, decoded, in the order in which they came.
    pub fields: &'a [(String, String)],
}

impl fmt::Debug for Form<'_> {
    /// Without values: secrets are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields.iter().map(|(name, _)| name)).finish()
    }
}

impl<'a> Form<'a> {
    pub(super) fn parameters(&self) -> Parameters<'a> {
        Parameters::new(self.fields)
    }
}

/// A token that may be issued once policy agrees. Dropping it leaves everything as it was.
pub struct Pending {
    pub(super) subject: Subject,
    pub(super) bearer: Arc<Bearer>,
    pub(super) caller: Caller,
    pub(super) client: Arc<Client>,
    pub(super) way: GrantType,
    pub(super) source: Source,
    pub(super) id: GrantId,
    pub(super) amr: Vec<String>,
    pub(super) actor: Option<String>,
    /// From when on it counts that the subject may have been signed out.
    pub(super) since: Timestamp,
    /// How long its grant lasts without use.
    pub(super) grant_idle: std::time::Duration,
}

/// Where a pending token comes from.
pub(super) enum Source {
    Code {
        code: Secret,
        row: Box<CodeRow>,
        version: u64,
    },
    Device {
        code: Secret,
        row: Box<DeviceRow>,
        version: u64,
        approval: Approval,
    },
    Refresh(Presented),
    /// An assertion of an organisation's authority, good once until then.
    Assertion {
        issuer: String,
        id: String,
        until: Timestamp,
    },
    /// Nothing that could be used up.
    Free,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (way, user) = (self.way.name(), self.subject.user());
        write!(f, "Pending({way} of {user} for {:?})", self.bearer.resource)
    }
}

impl Pending {
    /// Who would come with the token, for the question whether they may connect.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What the token would be for.
    pub fn resource(&self) -> &Resource {
        &self.bearer.resource
    }

    /// The rights that the token would carry.
    pub fn scopes(&self) -> Scopes {
        self.bearer.scopes
    }

    /// Who gets it.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// How the client came to it.
    pub fn way(&self) -> GrantType {
        self.way
    }

    /// The grant that it would be issued under.
    pub fn grant(&self) -> GrantId {
        self.id
    }
}

/// What all ways have to say of a token.
pub(super) struct Draft {
    pub(super) subject: Subject,
    pub(super) source: Source,
    pub(super) id: GrantId,
    pub(super) resource: Resource,
    pub(super) scopes: Scopes,
    pub(super) authenticated: Option<Timestamp>,
    pub(super) amr: Vec<String>,
    pub(super) since: Timestamp,
    pub(super) parent: Option<GrantId>,
    pub(super) actor: Option<String>,
    /// No later than this.
    pub(super) end: Option<Timestamp>,
}

/// One request at the token endpoint.
pub(super) struct Asking<'a> {
    pub(super) server: &'a AuthorizationServer,
    pub(super) settings: &'a Settings,
    pub(super) client: Arc<Client>,
    pub(super) parameters: Parameters<'a>,
    pub(super) now: Timestamp,
}

impl Asking<'_> {
    /// What this request would give.
    pub(super) async fn pending(self) -> Result<Pending, TokenRefused> {
        let name = self.parameters.need("grant_type")?;
        let way = GrantType::named(name).ok_or_else(|| {
            let sentence = "there is no such `grant_type` here: the metadata lists them";
            TokenRefused::new(ErrorCode::UnsupportedGrantType, sentence)
        })?;
        if !self.client.may(way) {
            let sentence = "this client is not registered for this `grant_type`";
            return Err(TokenRefused::new(ErrorCode::UnauthorizedClient, sentence));
        }
        let draft = match way {
            GrantType::AuthorizationCode => self.code().await?,
            GrantType::RefreshToken => self.refresh().await?,
            GrantType::ClientCredentials => self.for_itself()?,
            GrantType::DeviceCode => self.device().await?,
            GrantType::JwtBearer => self.assertion().await?,
            GrantType::TokenExchange => self.exchange()?,
        };
        self.finish(way, draft)
    }

    fn finish(self, way: GrantType, draft: Draft) -> Result<Pending, TokenRefused> {
        if !may_reach(&self.client, &draft.resource) {
            return Err(TokenRefused::new(ErrorCode::InvalidTarget, NOT_FOR_CLIENT));
        }
        let access = self.settings.access_lifetime.min(super::token::LONGEST);
        let expires = self.now.after(access);
        let expires = draft.end.map_or(expires, |end| end.min(expires));
        let bearer = Arc::new(Bearer {
            resource: draft.resource,
            scopes: draft.scopes,
            grant: draft.id.to_string().into(),
            client: self.client.id.as_str().into(),
            issued: self.now,
            expires,
            authenticated: draft.authenticated,
            grant_expires: expires,
            parent: draft.parent.map(|id| id.to_string().into()),
            is_by_client: matches!(draft.subject, Subject::Client(_)),
            is_of_settings: self.client.kind == ClientKind::Settings,
        });
        let org = self.server.ground.issuer.org();
        let caller = draft.subject.caller(org, &bearer);
        Ok(Pending {
            caller,
            bearer,
            client: self.client,
            way,
            subject: draft.subject,
            source: draft.source,
            id: draft.id,
            amr: draft.amr,
            actor: draft.actor,
            since: draft.since,
            grant_idle: self.settings.grant_idle,
        })
    }

    /// The person or agent of the directory, if what they allowed at `since` still counts.
    pub(super) fn subject(
        &self,
        user: &model::UserId,
        kind: Kind,
        since: Timestamp,
    ) -> Result<Arc<Person>, TokenRefused> {
        access_token::alive(&self.server.directory, user, kind, since)
            .ok_or_else(TokenRefused::grant)
    }

    /// Refuses a `resource` that is another than what was granted.
    pub(super) fn same_resource(&self, granted: &Resource) -> Result<(), TokenRefused> {
        let Some(given) = self.parameters.get("resource")? else { return Ok(()) };
        if self.server.ground.issuer.resource(given).as_ref() == Some(granted) {
            return Ok(());
        }
        let sentence = "`resource` is not what was granted: authorize anew for another one";
        Err(TokenRefused::new(ErrorCode::InvalidTarget, sentence))
    }

    /// The resource that has to be named.
    pub(super) fn named_resource(&self) -> Result<Resource, TokenRefused> {
        let given = self.parameters.get("resource")?;
        target(&self.server.ground.issuer, &self.client, given)
            .map_err(|sentence| TokenRefused::new(ErrorCode::InvalidTarget, sentence))
    }

    /// The scopes asked for, which may not be more than `granted`; all of it without any.
    pub(super) fn narrowed(
        &self,
        resource: &Resource,
        granted: Scopes,
    ) -> Result<Scopes, TokenRefused> {
        let Some(asked) = self.asked(resource)? else { return Ok(granted) };
        if granted.covers(asked) {
            return Ok(asked);
        }
        let sentence = "`scope` asks for more than was granted: authorize anew for more";
        Err(TokenRefused::new(ErrorCode::InvalidScope, sentence))
    }

    /// The scopes asked for, if any were.
    pub(super) fn asked(&self, resource: &Resource) -> Result<Option<Scopes>, TokenRefused> {
        let Some(text) = self.parameters.get("scope")? else { return Ok(None) };
        let asked = super::request::asked_scopes(resource, Some(text));
        let sentence = "the parameter `scope` is malformed";
        let asked = asked.ok_or_else(|| TokenRefused::new(ErrorCode::InvalidScope, sentence))?;
        Ok(Some(asked))
    }
}

impl AuthorizationServer {
    /// Ends the grant that came of something which was presented again.
    pub(super) async fn replayed(
        &self,
        what: Replayed,
        id: GrantId,
    ) -> Result<TokenRefused, TokenRefused> {
        let row = self.grants.revoke(id).await?;
        let incident =
            |row: GrantRow| Incident { what, grant: id, user: row.user, client: row.client };
        Ok(row.map_or_else(TokenRefused::grant, |row| TokenRefused::after(incident(row))))
    }

    /// The grant of a presented refresh token, if the token is good at this moment; a token
    /// that somebody else must have used ends the grant.
    pub(super) async fn present(
        &self,
        presented: &Presented,
        client: &Client,
    ) -> Result<(GrantRow, u64, Standing), TokenRefused> {
        let found = self.grants.read(presented.grant).await?;
        let (row, version) = found.ok_or_else(TokenRefused::grant)?;
        let standing = presented.standing(&row, self.ground.clock.now());
        let standing = standing.ok_or_else(TokenRefused::grant)?;
        if row.client != client.id.as_str() {
            return Err(self.replayed(Replayed::ForeignRefreshToken, presented.grant).await?);
        }
        if standing == Standing::Stale {
            return Err(self.replayed(Replayed::RefreshToken, presented.grant).await?);
        }
        Ok((row, version, standing))
    }
}

impl Origin {
    /// What a grant that comes this way is noted as.
    pub(super) fn of(way: GrantType) -> Self {
        match way {
            GrantType::DeviceCode => Self::DeviceCode,
            GrantType::JwtBearer => Self::Assertion,
            _ => Self::AuthorizationCode,
        }
    }
}

/// The seconds from `now` until `end`.
pub(super) fn remaining(now: Timestamp, end: Timestamp) -> u64 {
    seconds(end).saturating_sub(seconds(now))
}
