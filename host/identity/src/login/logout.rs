//! Signed out at the provider, signed out here; and the other way round.
//!
//! Owns the check of logout tokens (OpenID Connect Back-Channel Logout 1.0), front-channel
//! notices and the URL for signing out at the provider. Says which sessions have ended: whoever
//! calls revokes what was granted in them.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use model::Timestamp;
use openidconnect::{
    ClientId, LogoutRequest, PostLogoutRedirectUrl, core::CoreJwsSigningAlgorithm as Core,
};
use serde_json::{Map, Value};
use tidegate_model as model;
use tidegate_store::StoreError;

use super::{
    LoginRefused, Providers, Session, Sessions,
    discovery::{Known, algorithms},
    exchange::{ProviderIdToken, SKEW},
    flow,
};
use crate::{
    Settings,
    authorization::{
        jwks::{Expected, PublicKeys, TokenRefused, Type, Verified},
        spent::spend,
    },
    directory::Link,
    settings::Provider,
};

/// The event that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old one may be.
const AGE: Duration = Duration::from_secs(600);
/// How far ahead one may end, so that it need not be remembered for long.
const AHEAD: Duration = Duration::from_secs(3_600);

/// Whom a provider has signed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// The provider's name in the settings.
    pub provider: String,
    /// Its issuer.
    pub issuer: String,
    /// Its own session that ended; all of the subject's when there is none.
    pub sid: Option<String>,
    /// Who it is.
    pub subject: Option<String>,
}

/// What became of a notice of a provider.
#[derive(Debug, Default)]
pub struct SignedOut {
    /// The sessions that have ended.
    pub sessions: Vec<Session>,
}

impl Providers {
    /// Checks a logout token that came to `/login/{provider}/backchannel`. Each is taken once.
    pub async fn logout_token(
        &self,
        settings: &Settings,
        provider: &str,
        token: &str,
    ) -> Result<LogoutToken, LoginRefused> {
        let name = provider;
        let provider = self.usable(settings, name)?;
        let known = self.known(name, provider).await?;
        let verified = match self.signed(provider, &known, token) {
            Err(TokenRefused::UnknownKey) => {
                let known = self.with_new_keys(name, provider, &known).await?;
                self.signed(provider, &known, token)
            }
            other => other,
        };
        let verified = verified.map_err(|refused| {
            tracing::warn!(provider = name, %refused, "a logout token is not taken");
            LoginRefused::Untrusted("its logout token does not hold")
        })?;
        let claims = Claims::read(&verified, self.ground.clock.now())?;
        let until = verified.expires.after(SKEW);
        if !spend(&self.ground, "logout token", (name, &claims.id), until).await? {
            return Err(LoginRefused::Repeated);
        }
        Ok(LogoutToken {
            provider: name.to_owned(),
            issuer: provider.issuer.clone(),
            sid: claims.sid,
            subject: claims.subject,
        })
    }

    /// Checks a notice that a page of the provider loaded `/login/{provider}/frontchannel`.
    pub fn front_channel(
        &self,
        settings: &Settings,
        provider: &str,
        query: &[(String, String)],
    ) -> Result<LogoutToken, LoginRefused> {
        let configured = self.usable(settings, provider)?;
        let one = |name: &str| {
            let mut found = query.iter().filter(|(key, _)| key == name);
            found.next().map(|(_, value)| value.as_str()).filter(|_| found.next().is_none())
        };
        let (issuer, sid) = (one("iss"), one("sid"));
        if issuer != Some(configured.issuer.as_str()) {
            return Err(LoginRefused::Untrusted("it comes from another issuer"));
        }
        let sid = sid.filter(|sid| !sid.is_empty() && sid.len() <= 256);
        let sid = sid.ok_or(LoginRefused::Untrusted("it names no session"))?;
        Ok(LogoutToken {
            provider: provider.to_owned(),
            issuer: configured.issuer.clone(),
            sid: Some(sid.to_owned()),
            subject: None,
        })
    }

    /// Where a browser goes to be signed out at the provider its session came from, and to
    /// come back to `back` from there. `None` where the provider offers no such thing or
    /// cannot be asked: the session here has ended all the same.
    pub async fn logout_url(
        &self,
        settings: &Settings,
        session: &Session,
        back: &str,
    ) -> Option<String> {
        let name = &session.link.as_ref()?.provider;
        let provider = self.usable(settings, name).ok()?;
        let known = self.known(name, provider).await.ok()?;
        let more = known.metadata.additional_metadata();
        let end = more.end_session_endpoint.clone()?;
        let mut request = LogoutRequest::from(end)
            .set_client_id(ClientId::new(provider.client_id.clone()))
            .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(back.to_owned()).ok()?);
        let hint = session.id_token.as_ref().map(|token| token.expose().parse());
        if let Some(Ok(hint)) = hint {
            let hint: ProviderIdToken = hint;
            request = request.set_id_token_hint(&hint);
        }
        Some(request.http_get_url().into())
    }

    /// A token that the provider has signed for this gateway, of about now.
    fn signed(
        &self,
        provider: &Provider,
        known: &Known,
        token: &str,
    ) -> Result<Verified, TokenRefused> {
        // The library of the sign-in keeps keys in a form of its own; their JSON is the same.
        let keys = serde_json::to_vec(known.metadata.jwks()).unwrap_or_default();
        let keys =
            PublicKeys::published(&keys).map_err(|bad| TokenRefused::Keys(bad.to_string()))?;
        let algorithms: Vec<Algorithm> = algorithms(&known.metadata).filter_map(same).collect();
        let expected = Expected {
            algorithms: &algorithms,
            // A token of another kind says so; one of no kind is told by its event.
            kind: Type::Preferably("logout+jwt"),
            issuer: known.metadata.issuer().as_str(),
            audiences: &[&provider.client_id],
        };
        keys.verify(token, &expected, self.ground.clock.now())
    }
}

/// What makes a token a logout token.
struct Claims {
    id: String,
    sid: Option<String>,
    subject: Option<String>,
}

impl Claims {
    fn read(verified: &Verified, now: Timestamp) -> Result<Self, LoginRefused> {
        let untrusted = |why| Err(LoginRefused::Untrusted(why));
        let issued = verified.issued.unwrap_or_default();
        if issued.after(AGE + SKEW) < now || verified.expires > now.after(AHEAD) {
            return untrusted("its logout token is not of now: compare the clocks");
        }
        let events: Option<Map<String, Value>> = verified.claim("events");
        let is_logout = events.is_some_and(|all| all.get(EVENT).is_some_and(Value::is_object));
        if !is_logout || verified.has("nonce") {
            return untrusted("what it sent is no logout token");
        }
        let sid = verified.has("sid").then(|| verified.claim::<String>("sid"));
        // A name of the wrong type is none, and must not read as if it were not there.
        let Some(id) = verified.id.clone() else { return untrusted("its logout token has no id") };
        let (sid, subject) = match (sid, verified.subject.clone()) {
            (Some(None), _) | (None, None) => return untrusted("its logout token names nobody"),
            (sid, subject) => (sid.flatten(), subject),
        };
        let sound = |text: &String| flow::plain(Some(&Value::String(text.clone()))).is_some();
        if !sid.iter().chain(&subject).chain([&id]).all(sound) {
            return untrusted("its logout token names nobody");
        }
        Ok(Self { id, sid, subject })
    }
}

impl Sessions {
    /// Ends the sessions of whom a provider has signed out.
    pub async fn sign_out(&self, token: &LogoutToken) -> Result<SignedOut, StoreError> {
        let mut link = Link {
            provider: token.provider.clone(),
            issuer: token.issuer.clone(),
            subject: String::new(),
        };
        let mut sessions = Vec::new();
        if let Some(sid) = &token.sid {
            sessions.extend(self.end_sid(&link, sid).await?);
        }
        if let Some(subject) = token.subject.clone() {
            link.subject = subject;
            // With a session named, those end that may be it: the provider never named theirs.
            let ended = match token.sid {
                None => self.end_subject(&link).await?,
                Some(_) => self.end_unnamed(&link).await?,
            };
            sessions.extend(ended);
        }
        Ok(SignedOut { sessions })
    }
}

/// The same algorithm in the words of the library that checks logout tokens.
fn same(algorithm: Core) -> Option<Algorithm> {
    Some(match algorithm {
        Core::RsaSsaPkcs1V15Sha256 => Algorithm::RS256,
        Core::RsaSsaPkcs1V15Sha384 => Algorithm::RS384,
        Core::RsaSsaPkcs1V15Sha512 => Algorithm::RS512,
        Core::RsaSsaPssSha256 => Algorithm::PS256,
        Core::RsaSsaPssSha384 => Algorithm::PS384,
        Core::RsaSsaPssSha512 => Algorithm::PS512,
        Core::EcdsaP256Sha256 => Algorithm::ES256,
        Core::EcdsaP384Sha384 => Algorithm::ES384,
        Core::EdDsa => Algorithm::EdDSA,
        _ => return None,
    })
}
