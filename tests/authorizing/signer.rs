//! Programs that prove who they are with a key: what they sign, well and badly.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use tidegate_model::{Clock as _, SystemClock};

/// An Ed25519 key under a name.
#[derive(Debug)]
pub(super) struct Signer {
    kid: &'static str,
    key: SigningKey,
}

impl Signer {
    /// The key that `seed` gives.
    pub(super) fn new(kid: &'static str, seed: u8) -> Self {
        Self { kid, key: SigningKey::from_bytes(&[seed; 32]) }
    }

    /// A key set with its public half.
    pub(super) fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        let key = json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x,
        });
        json!({ "keys": [key] }).to_string()
    }

    /// The header of its tokens.
    pub(super) fn header(&self, kind: &str) -> Value {
        json!({ "alg": "EdDSA", "typ": kind, "kid": self.kid })
    }

    /// A token with this header and these claims, signed whatever they say.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Header and claims of a token, without a signature.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// The time in seconds, as tokens have it.
pub(super) fn now() -> u64 {
    SystemClock.now().as_millis() / 1_000
}

/// `base` with the members of `edits` set, or taken away where they are null.
pub(super) fn edited(base: &Value, edits: &Value) -> Value {
    let mut edited = base.clone();
    let members = edited.as_object_mut().unwrap();
    for (name, value) in edits.as_object().unwrap() {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
    edited
}
