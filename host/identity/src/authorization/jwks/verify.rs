//! Whether a signed token is what somebody expects (RFC 7519, RFC 8725).
//!
//! The header is read first and refused for whatever is not needed; then the signature; only
//! then the claims. Times are those of the caller's clock.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::de::DeserializeOwned;
use tidegate_model::{Json, Timestamp};
use tidegate_wire::json::{Limits, Raw, checked};

use super::keys::{Found, PublicKeys, is_kid};

/// The longest token.
const MAX_TOKEN: usize = 16 << 10;
/// The longest header, encoded.
const MAX_HEADER: usize = 1_024;
/// How far two clocks may be apart.
const SKEW: Duration = Duration::from_secs(60);

const LIMITS: Limits = Limits {
    bytes: MAX_TOKEN,
    depth: 16,
    members: 256,
    nodes: 4_096,
    string: MAX_TOKEN,
    number: 64,
};

/// Every algorithm that is ever taken: signatures that the verifier cannot make itself.
pub const ASYMMETRIC: &[Algorithm] = &[
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
];

/// What the `typ` of a token has to be, without `application/`, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type<'a> {
    /// This one, so that no other kind of token can be mistaken for it.
    Exactly(&'a str),
    /// This one, `JWT` or none: for kinds whose specification does not ask for it.
    Preferably(&'a str),
}

/// What a token has to be like.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Algorithms that its issuer uses. Symmetric ones are refused even where they stand here.
    pub algorithms: &'a [Algorithm],
    /// Its kind.
    pub kind: Type<'a>,
    /// Its `iss`, exactly.
    pub issuer: &'a str,
    /// Its `aud` names one of these, exactly.
    pub audiences: &'a [&'a str],
}

/// A token that is as expected.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Its `sub`.
    pub subject: Option<String>,
    /// Its `aud`; where it names several, all of them.
    pub audiences: Vec<String>,
    /// Its `exp`.
    pub expires: Timestamp,
    /// Its `iat`.
    pub issued: Option<Timestamp>,
    /// Its `jti`.
    pub id: Option<String>,
    claims: Json,
}

impl Verified {
    /// A claim of its own, where it has one of this type.
    pub fn claim<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        Raw::from_checked(self.claims.as_str()).get(name)?.read().ok()
    }

    /// Whether it has a claim of this name, of whatever type.
    pub fn has(&self, name: &str) -> bool {
        Raw::from_checked(self.claims.as_str()).get(name).is_some()
    }
}

/// Why a token is not taken. For logs: whoever has presented it is told no difference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Not three parts of base64url, not JSON, or too long.
    #[error("it is no signed token")]
    Form,
    /// A header member beside `alg`, `kid`, `typ` and a certificate's digest, which is not looked at.
    #[error("its header says more than `alg`, `kid` and `typ`")]
    Header,
    /// An algorithm that its issuer does not use, or that is never taken.
    #[error("its algorithm is not taken")]
    Algorithm,
    /// A name of a key that is none.
    #[error("its `kid` is no name of a key")]
    Kid,
    /// Another kind of token.
    #[error("its `typ` is that of another kind of token")]
    Type,
    /// No key of its issuer has this name.
    #[error("its key is not known")]
    UnknownKey,
    /// The key is of another kind, or it is not said which of several it is.
    #[error("its key does not go with its algorithm")]
    WrongKey,
    /// Not signed with that key.
    #[error("its signature does not hold")]
    Signature,
    /// A claim is missing or of the wrong type.
    #[error("its claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// Of another issuer.
    #[error("it is of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("it is for another audience")]
    Audience,
    /// Over.
    #[error("it has expired")]
    Expired,
    /// Not yet good, or from the future.
    #[error("it is not good yet")]
    Early,
    /// The keys of its issuer cannot be had.
    #[error("the keys of its issuer cannot be had: {0}")]
    Keys(String),
}

impl PublicKeys {
    /// Judges a token at the moment `now`, with one minute of difference between clocks.
    pub fn verify(
        &self,
        token: &str,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Verified, TokenRefused> {
        Parts::read(token, expected)?.verify(self, expected, now)
    }
}

/// A token whose header is as expected; nothing of it is proven.
pub(super) struct Parts<'a> {
    algorithm: Algorithm,
    kid: Option<String>,
    signed: &'a str,
    signature: &'a str,
    claims: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn read(token: &'a str, expected: &Expected<'_>) -> Result<Self, TokenRefused> {
        let (signed, signature) = split(token)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenRefused::Form)?;
        if header.len() > MAX_HEADER {
            return Err(TokenRefused::Form);
        }
        let header = object(header)?;
        let header = Raw::from_checked(header.as_str());
        // Entra names the certificate of its key as well, which says nothing that `kid` does not.
        let is_known = |name: &str| matches!(name, "alg" | "kid" | "typ" | "x5t" | "x5t#S256");
        if header.members().any(|it| !is_known(&it.key)) {
            return Err(TokenRefused::Header);
        }
        let text = |name| match header.get(name) {
            None => Ok(None),
            Some(value) => value.string().map(Some).ok_or(TokenRefused::Form),
        };
        let named = text("alg")?.and_then(|name| name.parse().ok());
        let is_taken = |it: &Algorithm| ASYMMETRIC.contains(it) && expected.algorithms.contains(it);
        let algorithm = named.filter(is_taken).ok_or(TokenRefused::Algorithm)?;
        let kid = text("kid")?.map(|kid| kid.into_owned());
        if kid.as_deref().is_some_and(|kid| !is_kid(kid)) {
            return Err(TokenRefused::Kid);
        }
        check_type(text("typ")?.as_deref(), expected.kind)?;
        Ok(Self { algorithm, kid, signed, signature, claims })
    }

    /// Whether a new set of keys could hold the one that is missing.
    pub(super) fn is_unknown_to(&self, keys: &PublicKeys) -> bool {
        matches!(keys.find(self.kid.as_deref(), self.algorithm), Found::Unknown)
    }

    pub(super) fn verify(
        &self,
        keys: &PublicKeys,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Verified, TokenRefused> {
        let key = match keys.find(self.kid.as_deref(), self.algorithm) {
            Found::Key(key) => key,
            Found::Unknown => return Err(TokenRefused::UnknownKey),
            Found::Unfit | Found::Unnamed => return Err(TokenRefused::WrongKey),
        };
        let holds = crypto::verify(self.signature, self.signed.as_bytes(), key, self.algorithm);
        if !matches!(holds, Ok(true)) {
            return Err(TokenRefused::Signature);
        }
        let verified = read_claims(object(self.claims)?, expected)?;
        check_times(&verified, now)?;
        Ok(verified)
    }
}

/// Takes as long as checking a signature does, whatever the token is: for whom there is no key
/// to check it with, so that nobody can tell by the time.
pub fn labour(token: &str) {
    /// A public key and a signature that go together (RFC 8037, appendix A); the private half is
    /// published with them.
    const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const SIGNATURE: &str =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let message = token.get(..MAX_TOKEN).unwrap_or(token).as_bytes();
    if let Ok(key) = DecodingKey::from_ed_components(KEY) {
        let holds = crypto::verify(SIGNATURE, message, &key, Algorithm::EdDSA);
        debug_assert!(!matches!(holds, Ok(true)), "it is the signature of something else");
    }
}

/// A claim of a token that nobody has checked, to find out whose keys to check it with.
pub fn claimed(token: &str, name: &str) -> Option<String> {
    let (signed, _) = split(token).ok()?;
    let claims = object(signed.split_once('.')?.1).ok()?;
    Some(Raw::from_checked(claims.as_str()).get(name)?.string()?.into_owned())
}

/// What is signed, and the signature.
fn split(token: &str) -> Result<(&str, &str), TokenRefused> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if token.len() > MAX_TOKEN || !token.bytes().all(is_plain) {
        return Err(TokenRefused::Form);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefused::Form)?;
    let dots = signed.bytes().filter(|b| *b == b'.').count();
    if dots != 1 || signature.is_empty() {
        return Err(TokenRefused::Form);
    }
    Ok((signed, signature))
}

/// A JSON object with each key once, from its base64url.
fn object(encoded: &str) -> Result<Json, TokenRefused> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenRefused::Form)?;
    let json = checked(bytes.into(), &LIMITS).map_err(|_| TokenRefused::Form)?;
    let is_object = Raw::from_checked(json.as_str()).as_str().starts_with('{');
    if is_object { Ok(json) } else { Err(TokenRefused::Form) }
}

fn check_type(found: Option<&str>, expected: Type<'_>) -> Result<(), TokenRefused> {
    let found = found.map(|typ| {
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
    });
    let fits = match (expected, found.as_deref()) {
        (Type::Exactly(name), found) => found == Some(name),
        (Type::Preferably(name), Some(found)) => found == name || found == "jwt",
        (Type::Preferably(_), None) => true,
    };
    if fits { Ok(()) } else { Err(TokenRefused::Type) }
}

fn read_claims(claims: Json, expected: &Expected<'_>) -> Result<Verified, TokenRefused> {
    let all = Raw::from_checked(claims.as_str());
    let text = |name| match all.get(name) {
        None => Ok(None),
        Some(value) => {
            let text = value.string().ok_or(TokenRefused::Claim(name))?;
            Ok(Some(text.into_owned()))
        }
    };
    let moment = |name| match all.get(name) {
        None => Ok(None),
        Some(value) => read_moment(value).map(Some).ok_or(TokenRefused::Claim(name)),
    };
    let issuer = text("iss")?.ok_or(TokenRefused::Claim("iss"))?;
    if issuer != expected.issuer {
        return Err(TokenRefused::Issuer);
    }
    let audiences = read_audiences(all.get("aud"))?;
    if !audiences.iter().any(|aud| expected.audiences.contains(&aud.as_str())) {
        return Err(TokenRefused::Audience);
    }
    let expires = moment("exp")?.ok_or(TokenRefused::Claim("exp"))?;
    let (issued, subject, id) = (moment("iat")?, text("sub")?, text("jti")?);
    moment("nbf")?;
    Ok(Verified { subject, audiences, expires, issued, id, claims })
}

fn read_audiences(value: Option<Raw<'_>>) -> Result<Vec<String>, TokenRefused> {
    let value = value.ok_or(TokenRefused::Claim("aud"))?;
    if let Some(one) = value.string() {
        return Ok(vec![one.into_owned()]);
    }
    value.read().map_err(|_| TokenRefused::Claim("aud"))
}

/// A NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction.
fn read_moment(value: Raw<'_>) -> Option<Timestamp> {
    let seconds: f64 = value.as_str().parse().ok()?;
    // Beyond this, seconds are not told apart any more.
    let is_sane = (0.0..=9_007_199_254_740.0).contains(&seconds);
    let millis = Duration::try_from_secs_f64(seconds).ok()?.as_millis();
    is_sane.then(|| Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

fn check_times(verified: &Verified, now: Timestamp) -> Result<(), TokenRefused> {
    if verified.expires.after(SKEW) <= now {
        return Err(TokenRefused::Expired);
    }
    let not_before = Raw::from_checked(verified.claims.as_str()).get("nbf").and_then(read_moment);
    let is_early = |moment: Option<Timestamp>| moment.is_some_and(|it| it > now.after(SKEW));
    if is_early(not_before) || is_early(verified.issued) {
        return Err(TokenRefused::Early);
    }
    Ok(())
}
