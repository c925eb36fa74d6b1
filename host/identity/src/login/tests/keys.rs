//! Keys of a provider, and what it signs with them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

/// A key pair under a name.
pub(super) struct Signer {
    pub(super) kid: &'static str,
    pub(super) algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    pub(super) fn es256(kid: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        Self::with(kid, Algorithm::ES256, EncodingKey::from_ec_der(&pair.serialize_der()))
    }

    /// With a key that was made for these tests and is used nowhere else.
    pub(super) fn rs256(kid: &'static str) -> Self {
        let der = include_bytes!("rsa.der");
        Self::with(kid, Algorithm::RS256, EncodingKey::from_rsa_der(der))
    }

    pub(super) fn ed25519(kid: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let public = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
        Self {
            kid,
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_der(&pair.serialize_der()),
            jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": public, "kid": kid, "use": "sig" }),
        }
    }

    fn with(kid: &'static str, algorithm: Algorithm, key: EncodingKey) -> Self {
        let jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = kid.into();
        Self { kid, algorithm, key, jwk }
    }

    /// The public half, as it is published.
    pub(super) fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_as(self.kid, "JWT", claims)
    }

    pub(super) fn sign_as(&self, kid: &str, kind: &str, claims: &Value) -> String {
        let header = Header {
            kid: Some(kid.to_owned()),
            typ: Some(kind.to_owned()),
            ..Header::new(self.algorithm)
        };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// A token signed with a secret that is anything but one.
pub(super) fn hs256(kid: &str, secret: &[u8], claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A token that is not signed at all.
pub(super) fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({ "alg": "none" })), part(claims))
}
