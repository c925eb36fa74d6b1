//! Enterprise-managed authorization: an assertion of the organisation's own authority instead
//! of a browser (ID-JAG, RFC 7523).
//!
//! Owns what such an assertion has to say. Which keys verify it, and how, is `jwks`; whom it
//! speaks of, the directory knows. It is good once, and gives no refresh token: the authority
//! is asked again, and can say no.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tidegate_wire::client::egress::AddressPolicy;

use super::{
    error::{ErrorCode, TokenRefused},
    grant::GrantId,
    jwks::{self, ASYMMETRIC, Expected, Type, Verified},
    pending::{Asking, Draft, Source},
    request::{base_of, scopes_of},
};
use crate::{
    Scope, Scopes,
    directory::{Kind, Link, Person},
    method::access_token::Subject,
    settings::{AssertionIssuer, Provider},
};

const TYPE: &str = "oauth-id-jag+jwt";
/// How far ahead its end may be: its id is remembered until then.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How far two clocks may be apart, as in [`jwks`].
const SKEW: Duration = Duration::from_secs(60);
const MAX_JTI: usize = 256;

impl Asking<'_> {
    /// What an assertion would give.
    pub(super) async fn assertion(&self) -> Result<Draft, TokenRefused> {
        if !self.client.is_confidential() {
            let sentence = "assertions are taken from clients that prove who they are";
            return Err(TokenRefused::new(ErrorCode::UnauthorizedClient, sentence));
        }
        let assertion = self.parameters.need("assertion")?;
        let (authority, from, verified) = self.judged(assertion).await?;
        let end = verified.expires;
        let id = verified.id.clone().filter(|id| (1..=MAX_JTI).contains(&id.len()));
        let is_for_us = verified.audiences.len() == 1
            && verified.claim::<String>("client_id").as_deref() == Some(self.client.id.as_str())
            && end <= self.now.after(LONGEST + SKEW);
        let (Some(id), true) = (id, is_for_us) else { return Err(TokenRefused::grant()) };
        let issuer = &self.server.ground.issuer;
        let named = verified.claim::<String>("resource");
        let resource = named.and_then(|uri| issuer.resource(&uri)).ok_or_else(|| {
            let sentence = "the assertion names no resource of this gateway";
            TokenRefused::new(ErrorCode::InvalidTarget, sentence)
        })?;
        if self.parameters.get("resource")?.is_some() && self.named_resource()? != resource {
            let sentence = "`resource` is not the one that the assertion names";
            return Err(TokenRefused::new(ErrorCode::InvalidTarget, sentence));
        }
        let person = self.person(&authority, &verified).ok_or_else(TokenRefused::grant)?;
        let claimed = verified.claim::<String>("scope").unwrap_or_default();
        let allowed = Scopes::parse(&claimed).both(scopes_of(&resource)).with(base_of(&resource));
        let asked = self.asked(&resource)?.unwrap_or(allowed);
        Ok(Draft {
            subject: Subject::Person(person),
            id: GrantId::random()?,
            scopes: allowed.both(asked).without(Scope::Offline),
            resource,
            authenticated: verified
                .claim::<u64>("auth_time")
                .map(super::token::moment)
                .or(Some(self.now)),
            amr: Vec::new(),
            since: self.now,
            parent: None,
            actor: None,
            end: None,
            source: Source::Assertion { issuer: from, id, until: end.after(SKEW) },
        })
    }

    /// The assertion, if an authority of the settings has signed it for us.
    async fn judged(
        &self,
        assertion: &str,
    ) -> Result<(AssertionIssuer, String, Verified), TokenRefused> {
        let from = jwks::claimed(assertion, "iss").ok_or_else(TokenRefused::grant)?;
        let authority = self.settings.assertion_issuers.get(&from);
        let authority = authority.cloned().ok_or_else(TokenRefused::grant)?;
        let ground = &self.server.ground;
        let allow = addresses(&authority.addresses);
        let url = &authority.jwks_uri;
        let keys = self.server.key_sets.at(&ground.egress, &ground.clock, url, allow);
        let us = ground.issuer.to_string();
        let expected = Expected {
            algorithms: ASYMMETRIC,
            kind: Type::Exactly(TYPE),
            issuer: &from,
            audiences: &[&us],
        };
        match keys.verify(assertion, &expected).await {
            Ok(verified) => Ok((authority, from, verified)),
            Err(why) => {
                tracing::info!(issuer = %from, %why, "an identity assertion is not taken");
                Err(TokenRefused::grant())
            }
        }
    }

    /// Whom it speaks of: an active person that is linked to the authority's provider, or has
    /// the address that it vouches for.
    fn person(&self, authority: &AssertionIssuer, said: &Verified) -> Option<Arc<Person>> {
        let directory = &self.server.directory;
        let email = || said.claim::<String>("email").and_then(|email| directory.by_email(&email));
        let person = match &authority.provider {
            None => email()?,
            Some(name) => {
                let provider = self.settings.providers.get(name)?;
                let (issuer, subject) = (provider.issuer.clone(), said.subject.clone()?);
                let link = Link { provider: name.clone(), issuer, subject };
                match directory.linked(&link) {
                    Some(person) => person,
                    None => {
                        unlinked(provider, said).then(email).flatten().filter(|person| {
                            // Somebody else's account there is not this one's.
                            !person.user.links.iter().any(|one| one.is_beside(&link))
                        })?
                    }
                }
            }
        };
        self.subject(&person.user.id, Kind::Person, self.now).ok()
    }
}

/// Whether an address counts for somebody who has never signed in at this provider.
fn unlinked(provider: &Provider, said: &Verified) -> bool {
    provider.trust_email || said.claim::<bool>("email_verified") == Some(true)
}

/// The public internet and these.
fn addresses(allowed: &[IpAddr]) -> AddressPolicy {
    AddressPolicy { addresses: allowed.to_vec(), ..AddressPolicy::default() }
}
