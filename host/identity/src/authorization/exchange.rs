//! Token exchange (RFC 8693): a client that an administrator wrote down takes a person's token
//! for one virtual MCP and asks for one for another, in the same person's name.
//!
//! Owns what may become of a token: one of a person, for a virtual MCP that the client may come
//! from, gives another for one that it may go to; never more rights, never longer, never the
//! admin API, and never a second exchange. Whether this person may connect there is asked of policy, as always.

use super::{
    client::ClientKind,
    error::{ErrorCode, TokenRefused},
    grant::GrantId,
    pending::{Asking, Draft, Source},
};
use crate::{Resource, Scope, Scopes, method::access_token::Subject};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

impl Asking<'_> {
    /// What an exchange would give.
    pub(super) fn exchange(&self) -> Result<Draft, TokenRefused> {
        let refused = |code, sentence: &'static str| Err(TokenRefused::new(code, sentence));
        let is_trusted = self.client.kind == ClientKind::Settings && self.client.is_confidential();
        if !is_trusted {
            let sentence = "tokens are exchanged for clients that an administrator has added, \
                            with a secret or a key";
            return refused(ErrorCode::UnauthorizedClient, sentence);
        }
        let token = self.parameters.need("subject_token")?;
        if !matches!(self.parameters.need("subject_token_type")?, ACCESS_TOKEN | JWT) {
            let sentence = "the only `subject_token_type` is that of an access token of ours";
            return refused(ErrorCode::InvalidRequest, sentence);
        }
        let wanted = self.parameters.get("requested_token_type")?;
        if wanted.is_some_and(|wanted| !matches!(wanted, ACCESS_TOKEN | JWT)) {
            let sentence = "the only `requested_token_type` is that of an access token";
            return refused(ErrorCode::InvalidRequest, sentence);
        }
        for name in ["actor_token", "actor_token_type"] {
            if self.parameters.get(name)?.is_some() {
                let sentence = "an `actor_token` is not taken: the client itself is the actor";
                return refused(ErrorCode::InvalidRequest, sentence);
            }
        }
        if self.parameters.get("audience")?.is_some() {
            let sentence = "name what the token is for by `resource`, not by `audience`";
            return refused(ErrorCode::InvalidTarget, sentence);
        }
        let resource = self.named_resource()?;
        // Who may go from where to where is written down place by place.
        let is_listed = |resource: &Resource| match resource {
            Resource::Vmcp(vmcp) => self.client.vmcps.contains(vmcp),
            Resource::Admin => false,
        };
        if !is_listed(&resource) {
            let sentence = "this client may exchange no token for this resource: an \
                            administrator would have to list the virtual MCP server for it";
            return refused(ErrorCode::InvalidTarget, sentence);
        }
        // Signed by us, in force, and nobody in its way was put out since.
        let subject = self.server.tokens.inspect(token).map_err(|_| unusable())?;
        let said = subject.bearer().cloned().ok_or_else(unusable)?;
        let is_original = said.parent.is_none() && !said.is_by_client;
        if !is_original || !is_listed(&said.resource) {
            return Err(unusable());
        }
        let held: Scopes = said.scopes.without(Scope::Offline);
        let scopes = self.asked(&resource)?.unwrap_or(held);
        if !held.covers(scopes) {
            let sentence = "`scope` asks for more than the token has that is exchanged";
            return refused(ErrorCode::InvalidScope, sentence);
        }
        let person = self.subject(subject.user(), subject.kind(), said.issued);
        let person = person.map_err(|_| unusable())?;
        let parent: GrantId = said.grant.parse().map_err(|_| unusable())?;
        Ok(Draft {
            subject: Subject::Person(person),
            source: Source::Free,
            id: GrantId::random()?,
            resource,
            scopes,
            authenticated: said.authenticated,
            amr: Vec::new(),
            since: said.issued,
            parent: Some(parent),
            actor: Some(self.client.id.to_string()),
            end: Some(said.expires),
        })
    }
}

/// One answer for whatever is wrong with a token that is to be exchanged (section 2.2.2).
fn unusable() -> TokenRefused {
    let sentence = "the `subject_token` is none that this client can exchange: it is unknown, \
                    over, exchanged already, or for a resource that is not listed for the client";
    TokenRefused::new(ErrorCode::InvalidRequest, sentence)
}
