//! How a client proves who it is, at the endpoints it calls itself (RFC 6749 section 2.3).
//!
//! One way per request, and the one that the client is registered for. Whatever is wrong, the
//! answer is the same `invalid_client`, and an unknown client costs what a known one does.

use std::sync::Arc;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use model::Secret;
use tidegate_model as model;
use tidegate_store::StoreError;
use url::form_urlencoded;

use super::{
    client::{Client, ClientAuthentication, ClientError, ClientKeys, Clients, SecretHash},
    jwks::{ASYMMETRIC, Expected, TokenRefused, Type, Verified, claimed, labour},
    spent::spend,
};
use crate::Settings;

/// The one `client_assertion_type` (RFC 7523 section 2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far ahead the end of an assertion may be.
const ASSERTION_LIFETIME: std::time::Duration = std::time::Duration::from_secs(5 * 60);
/// How far two clocks may be apart, as in [`super::jwks`].
const SKEW: std::time::Duration = std::time::Duration::from_secs(60);
/// The longest id of an assertion.
const MAX_JTI: usize = 256;

/// What a request says of its client; nothing of it is proven.
#[derive(Debug, Clone)]
pub struct Credentials {
    client_id: String,
    proof: Proof,
}

#[derive(Debug, Clone)]
enum Proof {
    None,
    Basic(Secret),
    Post(Secret),
    Assertion(Secret),
}

/// Whether the client tried HTTP authentication, and has to be told how that goes (RFC 6749
/// section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// The answer is a 400 or 401 without a challenge.
    None,
    /// The answer is a 401 with `WWW-Authenticate: Basic`.
    Basic,
}

/// `invalid_client`: all that anybody is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the client is not known, or did not prove who it is as it is registered to")]
pub struct InvalidClient {
    /// How the answer looks.
    pub challenge: Challenge,
    /// What was wrong, for the log only. Holds no secret.
    pub why: String,
}

/// Why a client is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// It is not who it says, or does not say.
    #[error(transparent)]
    Invalid(#[from] InvalidClient),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Credentials {
    /// What the `Authorization` headers and the form of a request say.
    pub fn read(authorization: &[&str], form: &[(String, String)]) -> Result<Self, InvalidClient> {
        let challenge = if authorization.is_empty() { Challenge::None } else { Challenge::Basic };
        let invalid = |why: &str| InvalidClient { challenge, why: why.to_owned() };
        let field = |name: &str| {
            let mut found = form.iter().filter(|(key, _)| key == name);
            match (found.next(), found.next()) {
                (None, _) => Ok(None),
                (Some((_, value)), None) => Ok(Some(value.as_str())),
                (Some(_), Some(_)) => Err(invalid("a parameter is sent twice")),
            }
        };
        let (named, secret) = (field("client_id")?, field("client_secret")?);
        let (assertion, kind) = (field("client_assertion")?, field("client_assertion_type")?);
        let basic = match authorization {
            [] => None,
            [one] => Some(read_basic(one).ok_or_else(|| invalid("no `Basic` credentials"))?),
            _ => return Err(invalid("`Authorization` is sent twice")),
        };
        let (client_id, proof) = match (basic, secret, assertion, kind) {
            (None, None, None, None) => (named.map(str::to_owned), Proof::None),
            (Some((id, secret)), None, None, None) => (Some(id), Proof::Basic(secret)),
            (None, Some(secret), None, None) => {
                (named.map(str::to_owned), Proof::Post(Secret::new(secret.to_owned())))
            }
            (None, None, Some(assertion), Some(ASSERTION_TYPE)) => {
                (claimed(assertion, "sub"), Proof::Assertion(Secret::new(assertion.to_owned())))
            }
            (None, None, _, _) => return Err(invalid("the assertion or its type is not taken")),
            _ => return Err(invalid("more than one way of authentication is used")),
        };
        let client_id = client_id.ok_or_else(|| invalid("no `client_id` is given"))?;
        if named.is_some_and(|named| named != client_id) {
            return Err(invalid("two different clients are named"));
        }
        Ok(Self { client_id, proof })
    }

    /// The client that the request names.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    fn challenge(&self) -> Challenge {
        match self.proof {
            Proof::Basic(_) => Challenge::Basic,
            _ => Challenge::None,
        }
    }
}

/// Client id and secret of a `Basic` header, each form-encoded before (RFC 6749 section 2.3.1).
fn read_basic(header: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let encoded = encoded.trim();
    let decoded = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()?;
    let decoded = zeroize::Zeroizing::new(String::from_utf8(decoded).ok()?);
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decode(id)?, Secret::new(form_decode(secret)?)))
}

/// One form-encoded text; `None` where it is more than one field.
fn form_decode(text: &str) -> Option<String> {
    if text.contains(['&', '=']) {
        return Some(text.to_owned());
    }
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned())
}

impl Clients {
    /// The client that sent these credentials. Public clients only have to name themselves:
    /// what they may do, PKCE and redirect URIs decide.
    pub async fn authenticate(
        &self,
        settings: &Settings,
        credentials: &Credentials,
    ) -> Result<Arc<Client>, AuthenticationError> {
        let client = match self.find(settings, &credentials.client_id).await {
            Ok(client) => Ok(client),
            Err(ClientError::Store(error)) => return Err(error.into()),
            Err(unknown) => Err(unknown.to_string()),
        };
        let proven = self.check(client.as_deref().ok(), &credentials.proof).await?;
        let invalid = |why| InvalidClient { challenge: credentials.challenge(), why };
        let client = client.map_err(invalid)?;
        proven.map_err(|why| AuthenticationError::Invalid(invalid(why)))?;
        Ok(client)
    }

    /// Whether the proof is that of the client; takes as long where there is none.
    async fn check(
        &self,
        client: Option<&Client>,
        proof: &Proof,
    ) -> Result<Result<(), String>, StoreError> {
        let way = client.map(|client| &client.authentication);
        let holds = match (proof, way) {
            (Proof::None, Some(ClientAuthentication::None)) => Ok(()),
            (
                Proof::Basic(secret),
                Some(ClientAuthentication::SecretBasic(hash) | ClientAuthentication::Secret(hash)),
            )
            | (
                Proof::Post(secret),
                Some(ClientAuthentication::SecretPost(hash) | ClientAuthentication::Secret(hash)),
            ) => check_secret(secret, hash),
            (Proof::Assertion(token), Some(ClientAuthentication::PrivateKey(keys))) => {
                let id = client.map_or("", |client| client.id.as_str());
                return self.check_assertion(id, keys, token.expose()).await;
            }
            (other, _) => {
                pretend(other);
                Err("it does not authenticate as it is registered to".to_owned())
            }
        };
        Ok(holds)
    }

    async fn check_assertion(
        &self,
        id: &str,
        keys: &ClientKeys,
        token: &str,
    ) -> Result<Result<(), String>, StoreError> {
        let now = self.ground.clock.now();
        let (issuer, endpoint) =
            (self.ground.issuer.to_string(), self.ground.issuer.endpoint("/oauth/token"));
        let audiences = [issuer.as_str(), endpoint.as_str()];
        let expected = assertion(id, &audiences);
        let verified: Result<Verified, TokenRefused> = match keys {
            ClientKeys::Here(keys) => keys.verify(token, &expected, now),
            ClientKeys::At(set) => set.verify(token, &expected).await,
        };
        let verified = match verified {
            Ok(verified) => verified,
            Err(why) => {
                if why != TokenRefused::Signature {
                    labour(token);
                }
                return Ok(Err(format!("its assertion is not taken: {why}")));
            }
        };
        let Some(jti) = verified.id.as_deref().filter(|jti| (1..=MAX_JTI).contains(&jti.len()))
        else {
            return Ok(Err("its assertion has no `jti`".to_owned()));
        };
        if verified.subject.as_deref() != Some(id) || verified.audiences.len() != 1 {
            return Ok(Err("its assertion is not of itself, for us alone".to_owned()));
        }
        if verified.expires > now.after(ASSERTION_LIFETIME + SKEW) {
            return Ok(Err("its assertion is good for longer than five minutes".to_owned()));
        }
        let until = verified.expires.after(SKEW);
        let is_new = spend(&self.ground, "client-assertion", (id, jti), until).await?;
        Ok(if is_new { Ok(()) } else { Err("its assertion was used before".to_owned()) })
    }
}

/// Does the work of a check that fails whatever it finds.
fn pretend(proof: &Proof) {
    match proof {
        Proof::None => {}
        Proof::Basic(secret) | Proof::Post(secret) => {
            let _ = check_secret(secret, &SecretHash::from_bytes([0; 32]));
        }
        Proof::Assertion(token) => labour(token.expose()),
    }
}

fn check_secret(secret: &Secret, hash: &SecretHash) -> Result<(), String> {
    if SecretHash::of(secret.expose()).is(hash) {
        Ok(())
    } else {
        Err("its secret is another one".to_owned())
    }
}

fn assertion<'a>(client: &'a str, audiences: &'a [&'a str]) -> Expected<'a> {
    let kind = Type::Preferably("client-authentication+jwt");
    Expected { algorithms: ASYMMETRIC, kind, issuer: client, audiences }
}

#[cfg(test)]
mod tests;
