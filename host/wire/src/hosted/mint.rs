//! Making tokens, on the gateway's side.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue};
use tidegate_model::Timestamp;

use super::{Addressee, BadKey, Head, HostedKey, LIFETIME, body_digest};
use crate::json::write_string;

/// Makes the tokens for one machine. Shared by all who send to it.
#[derive(Debug)]
pub struct Minter {
    header: HeaderName,
    key: RwLock<Arc<HostedKey>>,
    /// The claims that never change, as JSON without the closing brace.
    fixed: Vec<u8>,
    /// What the numbers of this minter begin with, so that no two minters share one.
    origin: String,
    next: AtomicU64,
}

impl Minter {
    /// Tokens of `issuer` (the gateway's own name) for one machine, under its key, to be sent
    /// in `header` ([`super::HEADER`], unless another was agreed on).
    pub fn new(
        issuer: &str,
        to: &Addressee,
        key: HostedKey,
        header: HeaderName,
    ) -> Result<Self, BadKey> {
        let mut origin = [0_u8; 12];
        getrandom::fill(&mut origin).map_err(|_| BadKey::Random)?;
        let mut fixed = Vec::with_capacity(256);
        let claims = [
            ("{\"iss\":", issuer),
            (",\"aud\":", &to.machine),
            (",\"org\":", &to.org),
            (",\"connector\":", &to.connector),
            (",\"machine\":", &to.machine),
        ];
        for (name, value) in claims {
            fixed.extend_from_slice(name.as_bytes());
            write_string(&mut fixed, value);
        }
        let key = RwLock::new(Arc::new(key));
        let origin = URL_SAFE_NO_PAD.encode(origin);
        Ok(Self { header, key, fixed, origin, next: AtomicU64::new(1) })
    }

    /// The header that the token goes into.
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// From now on signs with another key, which the machine must know already.
    pub fn use_key(&self, key: HostedKey) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    /// The token for one request that is about to leave with exactly these headers (beside
    /// the token and those that the connection adds) and this body.
    pub fn mint(
        &self,
        head: Head<'_>,
        headers: &[(HeaderName, HeaderValue)],
        body: &[u8],
        now: Timestamp,
    ) -> HeaderValue {
        let key = Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner));
        let bound = head.digest(headers.iter().map(|(name, value)| (name, value)), &self.header);
        let issued = now.as_millis() / 1000;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (origin, body) = (&self.origin, body_digest(body));
        let expires = issued.saturating_add(LIFETIME);
        let mut claims = self.fixed.clone();
        let rest = format!(
            r#","iat":{issued},"exp":{expires},"jti":"{origin}.{number}","head":"{bound}","body":"{body}"}}"#
        );
        claims.extend_from_slice(rest.as_bytes());
        let mut token = String::with_capacity(claims.len() * 2);
        token.push_str(key.head());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let signature = key.sign(token.as_bytes());
        token.push('.');
        token.push_str(&signature);
        // Nothing but base64url and dots: always a header value; an empty one is refused.
        let mut value =
            HeaderValue::try_from(token).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}
