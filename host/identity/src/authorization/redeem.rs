//! Codes, refresh tokens and clients that act for themselves: what each would give.
//!
//! Reads and refuses. What is used up, and when, is `issue`'s.

use model::Secret;
use tidegate_model as model;

use super::{
    code,
    device::{self, Answer},
    error::{ErrorCode, Replayed, TokenRefused},
    grant::GrantId,
    pending::{Asking, Draft, Source},
    refresh::Presented,
    request::{base_of, scopes_of},
};
use crate::{Scope, method::access_token::Subject};

impl Asking<'_> {
    pub(super) async fn code(&self) -> Result<Draft, TokenRefused> {
        let code = self.parameters.need("code")?;
        let verifier = self.parameters.get("code_verifier")?.unwrap_or_default();
        let redirect_uri = self.parameters.get("redirect_uri")?;
        let found = code::read(&self.server.rows, code).await?;
        let (row, version) = found.ok_or_else(TokenRefused::grant)?;
        if let Some(id) = row.used {
            return Err(self.server.replayed(Replayed::Code, id).await?);
        }
        // OAuth 2.1 no longer asks for the redirect URI here; given, it has to be the one.
        let is_good = row.client == self.client.id.as_str()
            && redirect_uri.is_none_or(|uri| uri == row.redirect_uri)
            && row.expires > self.now
            && code::is_verified(&row.challenge, verifier);
        if !is_good {
            return Err(TokenRefused::grant());
        }
        self.same_resource(&row.resource)?;
        let person = self.subject(&row.user, row.kind, row.created)?;
        Ok(Draft {
            subject: Subject::Person(person),
            id: GrantId::random()?,
            resource: row.resource.clone(),
            scopes: row.scopes,
            authenticated: Some(row.authenticated),
            amr: row.amr.clone(),
            since: row.created,
            parent: None,
            actor: None,
            end: None,
            source: Source::Code { code: Secret::new(code.to_owned()), row: row.into(), version },
        })
    }

    pub(super) async fn refresh(&self) -> Result<Draft, TokenRefused> {
        let token = self.parameters.need("refresh_token")?;
        let presented = Presented::parse(token).ok_or_else(TokenRefused::grant)?;
        let row = self.server.present(&presented, &self.client).await?.0;
        self.same_resource(&row.resource)?;
        let scopes = self.narrowed(&row.resource, row.scopes)?;
        let person = self.subject(&row.user, row.kind, row.created)?;
        Ok(Draft {
            subject: Subject::Person(person),
            id: presented.grant,
            resource: row.resource,
            scopes,
            authenticated: Some(row.authenticated),
            amr: row.amr,
            since: row.created,
            parent: None,
            actor: None,
            end: None,
            source: Source::Refresh(presented),
        })
    }

    pub(super) fn for_itself(&self) -> Result<Draft, TokenRefused> {
        let unauthorized =
            |sentence: &'static str| TokenRefused::new(ErrorCode::UnauthorizedClient, sentence);
        if !self.client.is_confidential() {
            return Err(unauthorized("a client that keeps no secret cannot act for itself"));
        }
        let resource = self.named_resource()?;
        let asked = self.asked(&resource)?.unwrap_or(base_of(&resource));
        // There is nothing to refresh: the client can ask again.
        let scopes = asked.without(Scope::Offline);
        let (directory, now) = (&self.server.directory, self.now);
        let subject = Subject::of_client(directory, self.client.agent.as_ref(), now);
        let subject = subject
            .ok_or_else(|| unauthorized("no agent stands for this client, or it is not active"))?;
        Ok(Draft {
            subject,
            source: Source::Free,
            id: GrantId::random()?,
            resource,
            scopes,
            authenticated: None,
            amr: Vec::new(),
            since: now,
            parent: None,
            actor: None,
            end: None,
        })
    }

    pub(super) async fn device(&self) -> Result<Draft, TokenRefused> {
        let code = self.parameters.need("device_code")?;
        let found = device::read(&self.server.rows, code).await?;
        let (row, version) = found.ok_or_else(TokenRefused::grant)?;
        if row.client != self.client.id.as_str() {
            return Err(TokenRefused::grant());
        }
        let refused = |code, sentence: &'static str| Err(TokenRefused::new(code, sentence));
        if row.expires <= self.now {
            return refused(ErrorCode::ExpiredToken, "nobody answered in time: begin anew");
        }
        let approval = match &row.answer {
            Answer::Used(id) => {
                return Err(self.server.replayed(Replayed::DeviceCode, *id).await?);
            }
            Answer::Denied => return refused(ErrorCode::AccessDenied, "access was not granted"),
            Answer::Waiting if self.server.pace.is_kept(code, row.expires, self.now) => {
                let sentence = "nobody has answered yet: ask again";
                return refused(ErrorCode::AuthorizationPending, sentence);
            }
            Answer::Waiting => {
                return refused(ErrorCode::SlowDown, "ask five seconds later from now on");
            }
            Answer::Approved(approval) => approval.clone(),
        };
        self.same_resource(&row.resource)?;
        let person = self.subject(&approval.user, approval.kind, approval.at)?;
        Ok(Draft {
            subject: Subject::Person(person),
            id: GrantId::random()?,
            resource: row.resource.clone(),
            scopes: approval.scopes.both(scopes_of(&row.resource)),
            authenticated: Some(approval.authenticated),
            amr: approval.amr.clone(),
            since: approval.at,
            parent: None,
            actor: None,
            end: None,
            source: Source::Device {
                code: Secret::new(code.to_owned()),
                row: row.into(),
                version,
                approval,
            },
        })
    }
}
