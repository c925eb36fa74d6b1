//! A JWK set (RFC 7517), read strictly.
//!
//! Only public keys for signatures, of the kinds and sizes that are known to be good. Knows
//! nothing of where the set came from.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use tidegate_wire::json::{Limits, Raw, check};

/// The most keys in one set.
const MAX_KEYS: usize = 32;
/// The most bytes of one set.
pub(super) const MAX_BYTES: usize = 64 << 10;
/// The longest name of a key.
const MAX_KID: usize = 64;

const LIMITS: Limits =
    Limits { bytes: MAX_BYTES, depth: 8, members: 64, nodes: 4_096, string: 16 << 10, number: 32 };

/// Why a set of keys is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// Not the JSON that a set is.
    #[error("it is no JWK set: a JSON object with a list `keys` is needed")]
    Form,
    /// None that can be used.
    #[error(
        "it holds no key that can be used: RSA from 2048 to 4096 bits, EC on P-256 or P-384, or Ed25519, for signatures"
    )]
    Nothing,
    /// More than anybody needs.
    #[error("it holds more than {MAX_KEYS} keys")]
    Many,
    /// A private or symmetric key, which is known to others now.
    #[error(
        "it holds a private or symmetric key: make a new pair and hand over the public key only"
    )]
    Private,
}

/// One key, in the members that are needed to write it again.
#[derive(Clone, Serialize, Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(default, skip_serializing)]
    key_ops: Option<Vec<String>>,
}

#[derive(Clone)]
struct PublicKey {
    written: Jwk,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
}

/// Keys that signatures can be checked with; never empty.
#[derive(Clone)]
pub struct PublicKeys(Vec<PublicKey>);

impl PublicKeys {
    /// Reads the set that somebody else publishes: keys of kinds that are not known, or for
    /// other ends, are left out.
    pub fn published(text: &[u8]) -> Result<Self, BadKeys> {
        Self::read(text).map(|(keys, _)| keys)
    }

    /// Reads the set that a client has handed over: it must hold public keys only.
    pub fn handed_over(text: &[u8]) -> Result<Self, BadKeys> {
        match Self::read(text) {
            Ok((_, Secrets::Some)) => Err(BadKeys::Private),
            other => other.map(|(keys, _)| keys),
        }
    }

    fn read(text: &[u8]) -> Result<(Self, Secrets), BadKeys> {
        check(text, &LIMITS).map_err(|_| BadKeys::Form)?;
        let whole = Raw::from_checked(std::str::from_utf8(text).map_err(|_| BadKeys::Form)?);
        let list = whole.get("keys").ok_or(BadKeys::Form)?;
        if !list.as_str().starts_with('[') {
            return Err(BadKeys::Form);
        }
        let (mut keys, mut secrets) = (Vec::new(), Secrets::None);
        for (at, raw) in list.elements().enumerate() {
            if at == MAX_KEYS {
                return Err(BadKeys::Many);
            }
            if ["d", "p", "q", "k", "oth"].iter().any(|name| raw.get(name).is_some()) {
                secrets = Secrets::Some;
                continue;
            }
            keys.extend(raw.read().ok().and_then(PublicKey::new));
        }
        match (keys.is_empty(), secrets) {
            (true, Secrets::Some) => Err(BadKeys::Private),
            (true, Secrets::None) => Err(BadKeys::Nothing),
            _ => Ok((Self(keys), secrets)),
        }
    }

    /// The key with this name, or the only one that could have signed so where the token names
    /// none.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let fits = |key: &&PublicKey| key.algorithms.contains(&algorithm);
        let Some(kid) = kid else {
            let mut able = self.0.iter().filter(fits);
            return match (able.next(), able.next()) {
                (Some(only), None) => Found::Key(&only.key),
                (None, _) => Found::Unfit,
                (Some(_), Some(_)) => Found::Unnamed,
            };
        };
        let mut named = self.0.iter().filter(|key| key.written.kid.as_deref() == Some(kid));
        match (named.clone().next(), named.find(fits)) {
            (None, _) => Found::Unknown,
            (Some(_), None) => Found::Unfit,
            (Some(_), Some(key)) => Found::Key(&key.key),
        }
    }
}

/// Whether a set held keys that are nobody else's business.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    None,
    Some,
}

/// What [`PublicKeys::find`] gives.
pub(super) enum Found<'a> {
    /// The key.
    Key(&'a DecodingKey),
    /// None has this name.
    Unknown,
    /// It is of a kind that cannot have signed so.
    Unfit,
    /// Several could have, and the token does not say which one.
    Unnamed,
}

impl PublicKey {
    /// `None` for a key that is not known to be good.
    fn new(written: Jwk) -> Option<Self> {
        if written.kid.as_deref().is_some_and(|kid| !is_kid(kid)) {
            return None;
        }
        if written.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if written.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return None;
        }
        let (all, key) = written.key()?;
        let algorithms = match written.alg.as_deref() {
            None => all,
            Some(name) => {
                let at = all.iter().position(|algorithm| is_named(*algorithm, name))?;
                all.get(at..=at)?
            }
        };
        Some(Self { written, algorithms, key })
    }
}

impl Jwk {
    /// The key and what it can have signed with.
    fn key(&self) -> Option<(&'static [Algorithm], DecodingKey)> {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let part = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (part(&self.n)?, part(&self.e)?);
                let n = n.strip_prefix(&[0]).unwrap_or(&n);
                let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
                let is_sound = (256..=512).contains(&n.len())
                    && n.first().is_some_and(|byte| *byte >= 0x80)
                    && is_odd(n)
                    && (1..=4).contains(&e.len())
                    && is_odd(&e)
                    && e != [1];
                let key = DecodingKey::from_rsa_raw_components(n, &e);
                is_sound.then_some((&[RS256, RS384, RS512, PS256, PS384, PS512], key))
            }
            ("EC", Some(curve)) => {
                let (algorithms, size): (&[Algorithm], _) = match curve {
                    "P-256" => (&[ES256], 32),
                    "P-384" => (&[ES384], 48),
                    _ => return None,
                };
                let (x, y) = (part(&self.x)?, part(&self.y)?);
                let point = [&[4][..], &x, &y].concat();
                let is_sound = x.len() == size && y.len() == size;
                is_sound.then(|| (algorithms, DecodingKey::from_ec_der(&point)))
            }
            ("OKP", Some("Ed25519")) => {
                let x = part(&self.x)?;
                (x.len() == 32).then(|| (&[EdDSA][..], DecodingKey::from_ed_der(&x)))
            }
            _ => None,
        }
    }
}

/// Whether a key may have this name: it is only ever compared.
pub(super) fn is_kid(kid: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=MAX_KID).contains(&kid.len()) && kid.bytes().all(plain)
}

fn is_named(algorithm: Algorithm, name: &str) -> bool {
    name.parse::<Algorithm>().is_ok_and(|named| named == algorithm)
}

impl Serialize for PublicKeys {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|key| &key.written))
    }
}

impl<'de> Deserialize<'de> for PublicKeys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Vec::<Jwk>::deserialize(deserializer)?;
        let keys: Option<Vec<_>> = written.into_iter().map(PublicKey::new).collect();
        let keys = keys.filter(|keys| !keys.is_empty());
        keys.map(Self).ok_or_else(|| serde::de::Error::custom("a key that cannot be used"))
    }
}

impl std::fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| key.written.kid.as_deref())).finish()
    }
}
