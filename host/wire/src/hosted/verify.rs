//! Judging tokens, on the machine's side.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use tidegate_model::Clock;

use super::{
    Addressee, Head, HostedKey, LIFETIME, SKEW, body_digest,
    replay::{Numbers, Seen},
};

/// The longest token that is looked at.
const LONGEST: usize = 4_096;

/// Why a request is not the gateway's, or not for this machine. The words may go to whoever
/// sent it: they say nothing about the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No token.
    #[error("the hosted-call token is missing")]
    Missing,
    /// More than one token.
    #[error("the hosted-call token is repeated")]
    Repeated,
    /// Not the spelling of a token, or claims of another shape.
    #[error("the hosted-call token is malformed")]
    Malformed,
    /// The head is none that a key of this machine has: another algorithm or key, or more in
    /// it than there should be.
    #[error("the hosted-call token is not of this machine's key and algorithm")]
    Head,
    /// The signature is wrong.
    #[error("the signature of the hosted-call token is wrong")]
    Signature,
    /// It is not good any more.
    #[error("the hosted-call token has expired")]
    Expired,
    /// It is from the future.
    #[error("the hosted-call token is from the future: set the clocks right")]
    Early,
    /// It claims another lifetime than tokens have.
    #[error("the hosted-call token claims another lifetime than 120 seconds")]
    Lifetime,
    /// It is for another machine, connector or organisation.
    #[error("the hosted-call token is for another machine")]
    Misrouted,
    /// It was used before.
    #[error("the hosted-call token was used before")]
    Replayed,
    /// Too many minters at once.
    #[error("hosted-call tokens come from too many senders at once: wait two minutes")]
    Crowded,
    /// Method, target, headers or body are not those that it was made for.
    #[error("the request is not the one that its hosted-call token was made for")]
    Changed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims<'a> {
    #[serde(borrow, rename = "iss")]
    _issuer: Cow<'a, str>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    #[serde(borrow)]
    org: Cow<'a, str>,
    #[serde(borrow)]
    connector: Cow<'a, str>,
    #[serde(borrow)]
    machine: Cow<'a, str>,
    iat: u64,
    exp: u64,
    #[serde(borrow)]
    jti: Cow<'a, str>,
    #[serde(borrow)]
    head: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

/// Judges the tokens of requests to one machine.
#[derive(Debug)]
pub struct Verifier {
    header: HeaderName,
    to: Addressee,
    /// The key in use, and the one before it or after it while keys are exchanged.
    keys: RwLock<Arc<[HostedKey]>>,
    numbers: Mutex<Numbers>,
    clock: Arc<dyn Clock>,
}

/// A request whose head is the gateway's; its body is still to be held against the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    body: Box<str>,
}

impl Admitted {
    /// Whether `body` is the whole body that the token was made for.
    pub fn check(&self, body: &[u8]) -> Result<(), Refused> {
        if *self.body == *body_digest(body) { Ok(()) } else { Err(Refused::Changed) }
    }
}

impl Verifier {
    /// For the machine `to`, whose tokens are under `key` and arrive in `header`.
    pub fn new(to: Addressee, key: HostedKey, header: HeaderName, clock: Arc<dyn Clock>) -> Self {
        let keys = RwLock::new([key].into());
        Self { header, to, keys, numbers: Mutex::default(), clock }
    }

    /// The machine it judges for.
    pub const fn addressee(&self) -> &Addressee {
        &self.to
    }

    /// The header that tokens arrive in.
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Takes a further key. The newest before it stays good until the next one comes; older
    /// ones are given up.
    pub fn add_key(&self, key: HostedKey) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if !keys.iter().any(|known| known.id() == key.id()) {
            *keys = keys.last().cloned().into_iter().chain([key]).collect();
        }
    }

    /// Judges the head of a request, before its body is read. A token that gets this far is
    /// used up.
    pub fn admit(&self, head: Head<'_>, headers: &HeaderMap) -> Result<Admitted, Refused> {
        let mut tokens = headers.get_all(&self.header).iter();
        let token = tokens.next().ok_or(Refused::Missing)?;
        if tokens.next().is_some() {
            return Err(Refused::Repeated);
        }
        let token = token.to_str().ok().filter(|text| text.len() <= LONGEST);
        let token = token.ok_or(Refused::Malformed)?;
        let payload = self.signed(token)?;
        let claims: Claims<'_> =
            serde_json::from_slice(&payload).map_err(|_| Refused::Malformed)?;
        let to = &self.to;
        if [&*claims.aud, &claims.machine] != [&*to.machine; 2]
            || claims.org != to.org
            || claims.connector != to.connector
        {
            return Err(Refused::Misrouted);
        }
        let now = self.clock.now();
        let seconds = now.as_millis() / 1000;
        if claims.exp.checked_sub(claims.iat) != Some(LIFETIME) {
            return Err(Refused::Lifetime);
        }
        let until = claims.exp.saturating_add(SKEW).saturating_mul(1000);
        if now.as_millis() > until {
            return Err(Refused::Expired);
        }
        if claims.iat > seconds.saturating_add(SKEW) {
            return Err(Refused::Early);
        }
        if claims.head != head.digest(headers.iter(), &self.header) {
            return Err(Refused::Changed);
        }
        let (origin, number) = claims.jti.split_once('.').ok_or(Refused::Malformed)?;
        let number = number.parse().map_err(|_| Refused::Malformed)?;
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let until = tidegate_model::Timestamp::from_millis(until);
        numbers.take(origin, number, until, now).map_err(|seen| match seen {
            Seen::Before => Refused::Replayed,
            Seen::Crowded => Refused::Crowded,
        })?;
        Ok(Admitted { body: claims.body.into() })
    }

    /// The claims of a token that a key of this machine has signed.
    fn signed(&self, token: &str) -> Result<Vec<u8>, Refused> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (head, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let key = keys.iter().find(|key| key.head() == head).ok_or(Refused::Head)?;
        if !key.has_signed(signed.as_bytes(), signature) {
            return Err(Refused::Signature);
        }
        URL_SAFE_NO_PAD.decode(claims).map_err(|_| Refused::Malformed)
    }
}
