//! Signed out at the provider, signed out here; and the other way round.
//!
//! Owns the check of logout tokens (OpenID Connect Back-Channel Logout 1.0), front-channel
//! notices and the URL for signing out at the provider. Says which sessions have ended: whoever
//! calls revokes what was granted in them.

use std::time::Duration;

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{Jwk, JwkSet},
};
use model::Timestamp;
use openidconnect::{
    ClientId, LogoutRequest, PostLogoutRedirectUrl, core::CoreJwsSigningAlgorithm as Core,
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tidegate_model as model;
use tidegate_store::{Batch, Expect, Op, Put, StoreError, Table};

use super::{
    LoginRefused, Providers, Session, Sessions,
    discovery::{Known, algorithms},
    exchange::{ProviderIdToken, SKEW},
    flow,
};
use crate::{Settings, directory::Link, settings::Provider};

/// The event that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The longest logout token.
const TOKEN: usize = 16 << 10;
/// How old one may be.
const AGE: Duration = Duration::from_secs(600);
/// How far ahead one may end, so that it need not be remembered for long.
const AHEAD: Duration = Duration::from_secs(3_600);

/// Whom a provider has signed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// The provider's name in the settings.
    pub provider: String,
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

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    iat: u64,
    exp: u64,
    jti: String,
    events: serde_json::Map<String, Value>,
    sub: Option<String>,
    sid: Option<String>,
    nonce: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
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
        if token.len() > TOKEN {
            return Err(LoginRefused::Untrusted("its logout token is too long"));
        }
        let known = self.known(name, provider).await?;
        let claims = match signed(&known, token) {
            Err(Unsigned::NoKey) => {
                signed(&*self.with_new_keys(name, provider, &known).await?, token)
            }
            other => other,
        };
        let claims = claims.map_err(|unsigned| match unsigned {
            Unsigned::NoKey => LoginRefused::Untrusted("its logout token has an unknown key"),
            Unsigned::Bad(why) => LoginRefused::Untrusted(why),
        })?;
        self.check_logout(provider, &known, &claims)?;
        self.spend_logout(name, &claims).await?;
        Ok(LogoutToken { provider: name.to_owned(), sid: claims.sid, subject: claims.sub })
    }

    /// Checks a notice that a page of the provider loaded `/login/{provider}/frontchannel`.
    pub async fn front_channel(
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
        let (provider, sid) = (provider.to_owned(), Some(sid.to_owned()));
        Ok(LogoutToken { provider, sid, subject: None })
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

    fn check_logout(
        &self,
        provider: &Provider,
        known: &Known,
        claims: &Claims,
    ) -> Result<(), LoginRefused> {
        let untrusted = |why| Err(LoginRefused::Untrusted(why));
        if claims.iss != known.metadata.issuer().as_str() {
            return untrusted("its logout token was made by another issuer");
        }
        let is_ours = match &claims.aud {
            Audience::One(aud) => *aud == provider.client_id,
            Audience::Many(all) => all.contains(&provider.client_id),
        };
        if !is_ours {
            return untrusted("its logout token was made for another client");
        }
        let now = self.ground.clock.now();
        let (issued, ends) = (seconds(claims.iat), seconds(claims.exp));
        if issued > now.after(SKEW) || issued.after(AGE + SKEW) < now || ends.after(SKEW) <= now {
            return untrusted("its logout token is not of now: compare the clocks");
        }
        if ends > now.after(AHEAD) {
            return untrusted("its logout token is good for longer than an hour");
        }
        if !claims.events.get(EVENT).is_some_and(Value::is_object) || claims.nonce.is_some() {
            return untrusted("what it sent is no logout token");
        }
        let sound = |text: &String| flow::plain(Some(&Value::String(text.clone()))).is_some();
        let named = [&claims.sid, &claims.sub];
        if named.iter().all(|name| name.is_none())
            || !named.into_iter().flatten().chain([&claims.jti]).all(sound)
        {
            return untrusted("its logout token names nobody");
        }
        Ok(())
    }

    /// Notes a token's id, so that it is not taken again.
    async fn spend_logout(&self, name: &str, claims: &Claims) -> Result<(), LoginRefused> {
        let id = Sha256::new().chain_update(name).chain_update([0]).chain_update(&claims.jti);
        let put = Put {
            table: Table::Token,
            org: self.ground.issuer.org().clone(),
            key: [b"logout\0".as_slice(), &id.finalize()].concat(),
            value: vec![1],
            schema: 1,
            expires: Some(seconds(claims.exp).after(SKEW)),
            expect: Expect::Absent,
        };
        match self.ground.store.commit(Batch::new().with(Op::Put(put))).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { .. }) => Err(LoginRefused::Repeated),
            Err(error) => Err(error.into()),
        }
    }
}

impl Sessions {
    /// Ends the sessions of whom a provider has signed out.
    pub async fn sign_out(&self, token: &LogoutToken) -> Result<SignedOut, StoreError> {
        let provider = &token.provider;
        let mut sessions = Vec::new();
        if let Some(sid) = &token.sid {
            sessions.extend(self.end_sid(provider, sid).await?);
        }
        if let Some(subject) = token.subject.clone() {
            let link = Link { provider: provider.clone(), subject };
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

/// Why a token's signature does not hold.
enum Unsigned {
    NoKey,
    Bad(&'static str),
}

/// The claims of a token that the provider has signed.
fn signed(known: &Known, token: &str) -> Result<Claims, Unsigned> {
    let bad = Unsigned::Bad("its logout token has no signature that holds");
    let Ok(header) = jsonwebtoken::decode_header(token) else { return Err(bad) };
    // A token of another kind says so; one of no kind is told by its event.
    let kind = header.typ.as_deref().unwrap_or("jwt").to_ascii_lowercase();
    if !matches!(kind.as_str(), "logout+jwt" | "application/logout+jwt" | "jwt") {
        return Err(Unsigned::Bad("what it sent is no logout token"));
    }
    if !algorithms(&known.metadata).any(|named| same(named) == Some(header.alg)) {
        return Err(bad);
    }
    // The library of the sign-in keeps keys in a form of its own; their JSON is the same.
    let keys = serde_json::to_value(known.metadata.jwks());
    let keys: Option<JwkSet> = keys.ok().and_then(|keys| serde_json::from_value(keys).ok());
    let keys = keys.unwrap_or(JwkSet { keys: Vec::new() }).keys;
    let fits = |key: &&Jwk| header.kid.is_none() || key.common.key_id == header.kid;
    let mut fitting = keys.iter().filter(fits);
    let key = match (fitting.next(), fitting.next()) {
        (Some(key), None) => key,
        (None, _) => return Err(Unsigned::NoKey),
        (Some(_), Some(_)) => return Err(bad),
    };
    let Ok(key) = DecodingKey::from_jwk(key) else { return Err(bad) };
    let mut validation = Validation::new(header.alg);
    // Time and audience are checked against the gateway's own clock and words.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = jsonwebtoken::decode::<Claims>(token, &key, &validation);
    decoded.map(|decoded| decoded.claims).map_err(|_| bad)
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

fn seconds(text: u64) -> Timestamp {
    Timestamp::from_millis(text.saturating_mul(1_000))
}
