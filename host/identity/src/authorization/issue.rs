//! Issuing what is pending: the one place where grants and tokens come to be.
//!
//! Whatever can be used once is used up in the commit that writes the grant, so that of two at
//! the same moment one goes through. The token is made after the commit; a client that loses
//! the answer to a refresh asks again and gets the same.

use model::{Secret, Timestamp};
use serde_json::json;
use tidegate_model as model;
use tidegate_store::{Expect, Op};

use super::{
    AuthorizationServer,
    client::GrantType,
    code, device, ended,
    error::{AuthorizationError, Replayed, TokenRefused},
    grant::{GrantId, GrantRow, Origin},
    pending::{Pending, Source, remaining},
    refresh::{self, Presented, Standing},
    spelling,
    spent::spend,
    token::{self, Actor, Claims, seconds},
};
use crate::{Scope, Scopes, directory::DirectoryError, method::access_token::Subject};

/// How often a refresh looks again that others were quicker at.
const TRIES: usize = 8;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What a client gets.
#[derive(Debug)]
pub struct TokenReply {
    /// The access token.
    pub access_token: Secret,
    /// For how many seconds.
    pub expires_in: u64,
    /// How to get the next one, where there is a way without anybody being asked.
    pub refresh_token: Option<Secret>,
    /// The rights it carries.
    pub scopes: Scopes,
    /// The grant it belongs to.
    pub grant: GrantId,
    /// Whether the answer names the type of the token, as that to an exchange does.
    is_exchanged: bool,
}

impl TokenReply {
    /// The body of the answer (RFC 6749 section 5.1). Holds the tokens: wiped when dropped.
    pub fn to_json(&self) -> Secret {
        let mut body = json!({
            "access_token": self.access_token.expose(),
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": self.scopes.to_string(),
        });
        if let Some(members) = body.as_object_mut() {
            if let Some(refresh) = &self.refresh_token {
                members.insert("refresh_token".into(), refresh.expose().into());
            }
            if self.is_exchanged {
                members.insert("issued_token_type".into(), ACCESS_TOKEN.into());
            }
        }
        Secret::new(body.to_string())
    }
}

impl AuthorizationServer {
    /// Issues what is pending. What was good when it was asked for may have been used or
    /// revoked meanwhile.
    pub async fn issue(&self, pending: Pending) -> Result<TokenReply, TokenRefused> {
        self.check_alive(&pending)?;
        let now = self.ground.clock.now();
        let (refresh, ends) = match &pending.source {
            Source::Code { code, row, version } => {
                let grant = self.new_grant(&pending, row.session.clone(), now)?;
                let grant = GrantRow { redirect_uri: Some(row.redirect_uri.clone()), ..grant };
                let spent = code::spend(&self.rows, code.expose(), (row, *version), pending.id)?;
                if !self.begin(&pending, &grant, vec![spent]).await? {
                    return Err(self.used_meanwhile(&pending).await?);
                }
                grant.told(pending.id)
            }
            Source::Device { code, row, version, approval } => {
                let grant = self.new_grant(&pending, approval.session.clone(), now)?;
                let spent = device::spend(&self.rows, code.expose(), (row, *version), pending.id)?;
                if !self.begin(&pending, &grant, vec![spent]).await? {
                    return Err(self.used_meanwhile(&pending).await?);
                }
                grant.told(pending.id)
            }
            Source::Refresh(presented) => {
                let row = self.rotate(presented, &pending).await?;
                (Some(refresh::token(pending.id, &row)), row.expires)
            }
            Source::Assertion { issuer, id, until } => {
                let owner = (issuer.as_str(), id.as_str());
                if !spend(&self.ground, "assertion", owner, *until).await? {
                    return Err(TokenRefused::grant());
                }
                let grant = self.new_grant(&pending, None, now)?;
                if !self.begin(&pending, &grant, Vec::new()).await? {
                    return Err(AuthorizationError::Busy.into());
                }
                (None, pending.bearer.expires)
            }
            Source::Free => (None, pending.bearer.expires),
        };
        self.reply(&pending, refresh, ends, now)
    }

    /// The grant that a pending token begins.
    fn new_grant(
        &self,
        pending: &Pending,
        session: Option<String>,
        now: Timestamp,
    ) -> Result<GrantRow, AuthorizationError> {
        let Subject::Person(person) = &pending.subject else {
            return Err(AuthorizationError::Damaged { what: "subject of a grant" });
        };
        let may_refresh = pending.way != GrantType::JwtBearer
            && (pending.client.may(GrantType::RefreshToken)
                || pending.bearer.scopes.has(Scope::Offline));
        // What cannot be refreshed ends with its only token.
        let end = now.after(pending.grant_idle);
        Ok(GrantRow {
            user: person.user.id.clone(),
            kind: person.user.kind,
            client: pending.client.id.to_string(),
            client_name: pending.client.name.clone(),
            redirect_uri: None,
            resource: pending.bearer.resource.clone(),
            scopes: pending.bearer.scopes,
            origin: Origin::of(pending.way),
            // When it was agreed to: a sign-out after that ends it, whenever it is redeemed.
            created: pending.since,
            last_used: now,
            expires: if may_refresh { end } else { pending.bearer.expires },
            authenticated: pending.bearer.authenticated.unwrap_or(now),
            amr: pending.amr.clone(),
            session,
            generation: u32::from(may_refresh),
            rotated: now,
            family: spelling::random()?,
        })
    }

    /// Writes a new grant together with these steps, unless the session that it was given in
    /// has ended; `false` if something does not hold.
    async fn begin(
        &self,
        pending: &Pending,
        grant: &GrantRow,
        mut steps: Vec<Op>,
    ) -> Result<bool, TokenRefused> {
        let org = self.ground.issuer.org();
        steps.extend(grant.session.as_deref().map(|session| ended::not_yet(org, session)));
        steps.extend(self.grants.write(pending.id, grant, Expect::Absent)?);
        self.commit_alive(pending, steps).await
    }

    /// Carries out these steps, if nobody has put out whom they are for: not even another
    /// process, in this moment. `false` if one of the steps does not hold.
    async fn commit_alive(&self, pending: &Pending, steps: Vec<Op>) -> Result<bool, TokenRefused> {
        let user = pending.subject.user();
        for _ in 0..TRIES {
            self.check_alive(pending)?;
            let known = self.directory.user(user).ok_or_else(TokenRefused::grant)?;
            let mut all = steps.clone();
            all.push(self.directory.unchanged(&known));
            if self.rows.commit(all).await? {
                return Ok(true);
            }
            match self.directory.has_changed(user, known.version).await {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(DirectoryError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::error!(%error, user.id = %user, "a user cannot be read again");
                    return Err(AuthorizationError::Damaged { what: "user" }.into());
                }
            }
        }
        Err(AuthorizationError::Busy.into())
    }

    /// Refuses where what was agreed to does not count any more, by what the directory says.
    fn check_alive(&self, pending: &Pending) -> Result<(), TokenRefused> {
        let is_alive = pending.subject.is_alive(&self.directory, pending.since);
        is_alive.then_some(()).ok_or_else(TokenRefused::grant)
    }

    /// What was good when it was asked for has been used since: what came of it ends.
    async fn used_meanwhile(&self, pending: &Pending) -> Result<TokenRefused, TokenRefused> {
        let (what, used) = match &pending.source {
            Source::Code { code, .. } => {
                let found = code::read(&self.rows, code.expose()).await?;
                (Replayed::Code, found.and_then(|(row, _)| row.used))
            }
            Source::Device { code, .. } => {
                let found = device::read(&self.rows, code.expose()).await?;
                let used = found.and_then(|(row, _)| match row.answer {
                    device::Answer::Used(id) => Some(id),
                    _ => None,
                });
                (Replayed::DeviceCode, used)
            }
            _ => return Ok(TokenRefused::grant()),
        };
        match used {
            Some(id) => self.replayed(what, id).await,
            None => Ok(TokenRefused::grant()),
        }
    }

    /// Makes the next refresh token the valid one, or finds that it is already.
    async fn rotate(
        &self,
        presented: &Presented,
        pending: &Pending,
    ) -> Result<GrantRow, TokenRefused> {
        for _ in 0..TRIES {
            let (row, version, standing) = self.present(presented, &pending.client).await?;
            if standing == Standing::JustUsed {
                return Ok(row);
            }
            let now = self.ground.clock.now();
            let next = GrantRow {
                generation: row.generation.checked_add(1).ok_or_else(TokenRefused::grant)?,
                rotated: now,
                last_used: now,
                expires: now.after(pending.grant_idle),
                ..row
            };
            let steps = self.grants.write(presented.grant, &next, Expect::Version(version))?;
            if self.commit_alive(pending, steps.into()).await? {
                return Ok(next);
            }
        }
        Err(AuthorizationError::Busy.into())
    }

    fn reply(
        &self,
        pending: &Pending,
        refresh_token: Option<Secret>,
        ends: Timestamp,
        now: Timestamp,
    ) -> Result<TokenReply, TokenRefused> {
        let bearer = &pending.bearer;
        let claims = Claims {
            iss: self.ground.issuer.to_string(),
            sub: pending.subject.user().clone(),
            aud: self.ground.issuer.audience(&bearer.resource),
            client_id: bearer.client.to_string(),
            scope: bearer.scopes.to_string(),
            iat: seconds(now),
            nbf: seconds(now),
            exp: seconds(bearer.expires),
            jti: spelling::base64url(spelling::random::<16>()?.as_slice()),
            gid: pending.id,
            parent_gid: bearer.parent.as_deref().and_then(|id| id.parse().ok()),
            grant_exp: seconds(ends),
            iat_ms: now.as_millis(),
            sub_kind: pending.subject.kind(),
            by_client: bearer.is_by_client,
            of_settings: bearer.is_of_settings,
            auth_time: bearer.authenticated.map(seconds),
            amr: pending.amr.clone(),
            act: pending.actor.clone().map(|sub| Actor { sub }),
        };
        let token = token::sign(&self.keys.now(), &claims);
        let damaged = AuthorizationError::Damaged { what: "claims of a new token" };
        Ok(TokenReply {
            access_token: token.ok_or(damaged)?,
            expires_in: remaining(now, bearer.expires),
            refresh_token,
            scopes: bearer.scopes,
            grant: pending.id,
            is_exchanged: pending.way == GrantType::TokenExchange,
        })
    }
}

impl GrantRow {
    /// The refresh token that its client is told, if there is one, and when it ends.
    fn told(&self, id: GrantId) -> (Option<Secret>, Timestamp) {
        ((self.generation > 0).then(|| refresh::token(id, self)), self.expires)
    }
}
