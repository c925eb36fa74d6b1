//! What a token of a client is (RFC 7662), and giving it up (RFC 7009).
//!
//! A client learns of its own tokens only, and gives up its own only: whatever else it presents
//! is answered like a token that never was.

use serde_json::json;
use tidegate_model as model;

use super::{
    AuthorizationServer,
    error::{ErrorCode, TokenRefused},
    grant::GrantId,
    pending::Form,
    refresh::{Presented, Standing},
    token::seconds,
};
use crate::{Settings, caller::Bearer};

/// A grant that a client gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The grant.
    pub grant: GrantId,
    /// Whose it was.
    pub user: model::UserId,
    /// The client, by its id.
    pub client: String,
}

impl AuthorizationServer {
    /// What a token is, as JSON, for the client that it was issued to and that proves who it is.
    pub async fn introspect(
        &self,
        settings: &Settings,
        form: Form<'_>,
    ) -> Result<Vec<u8>, TokenRefused> {
        let client = self.authenticate(settings, form).await?;
        if !client.is_confidential() {
            let sentence = "only clients that prove who they are may ask what a token is";
            return Err(TokenRefused::new(ErrorCode::InvalidClient, sentence));
        }
        let token = form.parameters().need("token")?;
        let inactive = || json!({ "active": false }).to_string().into_bytes();
        if let Some(presented) = Presented::parse(token) {
            let Some((row, _)) = self.grants.read(presented.grant).await? else {
                return Ok(inactive());
            };
            let standing = presented.standing(&row, self.ground.clock.now());
            let is_good = matches!(standing, Some(Standing::Current | Standing::JustUsed))
                && row.client == client.id.as_str()
                && self.is_alive(&row);
            if !is_good {
                return Ok(inactive());
            }
            let body = json!({
                "active": true,
                "client_id": row.client,
                "sub": row.user,
                "scope": row.scopes.to_string(),
                "iss": self.ground.issuer.to_string(),
                "aud": self.ground.issuer.audience(&row.resource),
                "iat": seconds(row.rotated),
                "exp": seconds(row.expires),
            });
            return Ok(body.to_string().into_bytes());
        }
        let caller = self.tokens.inspect(token).ok();
        let said = caller.as_ref().and_then(|caller| caller.bearer().map(|it| (caller, it)));
        let Some((caller, bearer)) = said.filter(|(_, it)| *it.client == *client.id.as_str())
        else {
            return Ok(inactive());
        };
        Ok(self.described(caller, bearer).to_string().into_bytes())
    }

    fn described(&self, caller: &crate::Caller, bearer: &Bearer) -> serde_json::Value {
        json!({
            "active": true,
            "token_type": "Bearer",
            "client_id": &*bearer.client,
            "sub": caller.user(),
            "username": caller.user(),
            "scope": bearer.scopes.to_string(),
            "iss": self.ground.issuer.to_string(),
            "aud": self.ground.issuer.audience(&bearer.resource),
            "iat": seconds(bearer.issued),
            "nbf": seconds(bearer.issued),
            "exp": seconds(bearer.expires),
        })
    }

    /// Ends the grant that a token of this client belongs to, with all its tokens. Says which,
    /// for the record; the client is answered alike whatever it presented.
    pub async fn revoke(
        &self,
        settings: &Settings,
        form: Form<'_>,
    ) -> Result<Option<GivenUp>, TokenRefused> {
        let client = self.authenticate(settings, form).await?;
        let token = form.parameters().need("token")?;
        let id = if let Some(presented) = Presented::parse(token) {
            let Some((row, _)) = self.grants.read(presented.grant).await? else {
                return Ok(None);
            };
            let is_own = row.client == client.id.as_str()
                && presented.standing(&row, self.ground.clock.now()).is_some();
            is_own.then_some((presented.grant, row.user, None))
        } else {
            let caller = self.tokens.inspect(token).ok();
            caller.and_then(|caller| {
                let bearer = caller.bearer().filter(|it| *it.client == *client.id.as_str())?;
                Some((bearer.grant.parse().ok()?, caller.user().clone(), Some(bearer.expires)))
            })
        };
        let Some((grant, user, last)) = id else { return Ok(None) };
        match last {
            Some(last) => self.grants.revoke_by_token(grant, last).await?,
            None => self.grants.revoke(grant).await?,
        };
        Ok(Some(GivenUp { grant, user, client: client.id.to_string() }))
    }
}
