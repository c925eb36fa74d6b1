//! Access tokens: what they say, and their one form on the wire (RFC 9068).
//!
//! A JWT with `typ` `at+jwt`, signed with Ed25519. Nothing in a presented token chooses how it
//! is checked: header members other than `alg`, `typ` and `kid` refuse it, `kid` is looked up in
//! a map and used for nothing else. Knows no grant's state; see `method::access_token`.

use std::time::Duration;

use ed25519_dalek::{Signature, Signer as _};
use model::{Secret, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use tidegate_model as model;

use super::{grant::GrantId, signing::Keys, spelling};
use crate::directory::Kind;

/// The longest that any access token is good for, whatever the settings say.
pub(crate) const LONGEST: Duration = Duration::from_secs(86_400);

/// The longest text that is looked at.
const MAX: usize = 8 << 10;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// Who acts for the subject (RFC 8693 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Actor {
    pub(crate) sub: String,
}

/// What an access token says. Times of the standard claims are in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: UserId,
    /// Exactly one.
    pub(crate) aud: String,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    pub(crate) iat: u64,
    pub(crate) nbf: u64,
    pub(crate) exp: u64,
    pub(crate) jti: String,
    /// The grant.
    pub(crate) gid: GrantId,
    /// The grant of the token that this one was exchanged for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent_gid: Option<GrantId>,
    /// When the grant ends without further use.
    pub(crate) grant_exp: u64,
    /// When it was issued, to the millisecond, so that what was revoked within the same second
    /// is told apart.
    pub(crate) iat_ms: u64,
    /// Whether `sub` is a person or an agent.
    #[serde(default)]
    pub(crate) sub_kind: Kind,
    /// Whether the agent stands in the settings beside its client, not in the directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) by_client: bool,
    /// Whether the client stands in the settings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) of_settings: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) amr: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) act: Option<Actor>,
}

/// A number of seconds since 1970 as a moment.
pub(crate) fn moment(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1_000))
}

/// The last whole second before a moment.
pub(crate) fn seconds(at: Timestamp) -> u64 {
    at.as_millis() / 1_000
}

/// The text of a token; `None` only if it cannot be written as JSON.
pub(crate) fn sign(keys: &Keys, claims: &Claims) -> Option<Secret> {
    let header = Header { alg: "EdDSA", typ: "at+jwt", kid: &keys.kid };
    let part = |json: Vec<u8>| spelling::base64url(&json);
    let head = part(serde_json::to_vec(&header).ok()?);
    let body = part(serde_json::to_vec(claims).ok()?);
    let mut text = format!("{head}.{body}");
    let signature = keys.signer.sign(text.as_bytes());
    text.push('.');
    text.push_str(&spelling::base64url(&signature.to_bytes()));
    Some(Secret::new(text))
}

/// What a token says, if we signed it and it is in force at `now`; `None` for anything else.
pub(crate) fn verify(keys: &Keys, issuer: &str, token: &str, now: Timestamp) -> Option<Claims> {
    if token.len() > MAX {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (head, body) = signed.split_once('.')?;
    let head = spelling::from_base64url(head)?;
    let header: Header<'_> = serde_json::from_slice(&head).ok()?;
    if header.alg != "EdDSA" || header.typ != "at+jwt" {
        return None;
    }
    let key = keys.verifier(header.kid, now)?;
    let signature: [u8; 64] = spelling::from_base64url(signature)?.try_into().ok()?;
    // The body is not read before the signature holds.
    key.verify_strict(signed.as_bytes(), &Signature::from_bytes(&signature)).ok()?;
    let claims: Claims = serde_json::from_slice(&spelling::from_base64url(body)?).ok()?;
    let is_in_force = moment(claims.nbf) <= now && moment(claims.exp) > now;
    (claims.iss == issuer && is_in_force).then_some(claims)
}
