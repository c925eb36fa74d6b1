//! Signatures of components: detached Ed25519 over the component's digest.
//!
//! Owns the signed message, the forms of keys and signatures, and who is trusted. What is
//! signed is `tidegate-plugin-v1`, a line break, the digest as text (`sha256:…`) and a line
//! break, so that a signature is good for no other purpose. Where a component or a signature
//! comes from is not known here.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use tidegate_model::Secret;

/// What stands before the digest in a signed message.
const PURPOSE: &str = "tidegate-plugin-v1";
/// A component's hash as it is pinned and signed: `sha256:` and 64 hexadecimal digits.
pub fn digest_text(hash: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a file with a private key begins with, so that it is not taken for a public one.
const PRIVATE: &str = "tidegate-plugin-private-key:";

/// Why a key or a signature cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 32 bytes of base64, or no point of the curve.
    #[error("it is no public key: one line of base64, as `tidegate plugin keygen` writes it")]
    PublicKey,
    /// It is the other half.
    #[error("it is a private key; name the file with `.pub` at its end")]
    PrivateForPublic,
    /// Not what `keygen` writes.
    #[error("it is no private key: one line, as `tidegate plugin keygen` writes it")]
    PrivateKey,
    /// Not 64 bytes of base64.
    #[error("it is no signature: one line of base64, as `tidegate plugin sign` writes it")]
    Signature,
    /// Made by another key, or for another component.
    #[error("the signature does not fit the component")]
    Wrong,
    /// No trusted key has this name.
    #[error("no key `{0}` is in `[plugins.keys]` of gateway.toml")]
    UnknownKey(String),
    /// Signatures are required and there is none.
    #[error("it is not signed, and gateway.toml has `plugins.require_signature = true`")]
    Unsigned,
    /// None of the trusted keys made it.
    #[error("no key of `[plugins.keys]` in gateway.toml made its signature")]
    Untrusted,
    /// The system has no randomness.
    #[error("the system has no randomness for a key")]
    NoRandomness,
}

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads one line of base64.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let text = text.trim();
        if text.starts_with(PRIVATE) {
            return Err(SignatureError::PrivateForPublic);
        }
        let bytes = STANDARD.decode(text).map_err(|_| SignatureError::PublicKey)?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| SignatureError::PublicKey)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| SignatureError::PublicKey)?;
        // Under such a key a signature says nothing about the message.
        if key.is_weak() { Err(SignatureError::PublicKey) } else { Ok(Self(key)) }
    }

    /// Checks the signature, one line of base64, of a component with this digest.
    pub fn verify(&self, digest: &str, signature: &str) -> Result<(), SignatureError> {
        let bytes = STANDARD.decode(signature.trim()).map_err(|_| SignatureError::Signature)?;
        let signature = Signature::from_slice(&bytes).map_err(|_| SignatureError::Signature)?;
        self.0
            .verify_strict(message(digest).as_bytes(), &signature)
            .map_err(|_| SignatureError::Wrong)
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&STANDARD.encode(self.0.as_bytes()))
    }
}

/// A key that signs. Wiped when dropped, never printed.
pub struct PrivateKey(SigningKey);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl PrivateKey {
    /// A new one.
    pub fn generate() -> Result<Self, SignatureError> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| SignatureError::NoRandomness)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads the one line that [`PrivateKey::text`] gives.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let seed = text.trim().strip_prefix(PRIVATE).ok_or(SignatureError::PrivateKey)?;
        let seed = STANDARD.decode(seed).map_err(|_| SignatureError::PrivateKey)?;
        let seed = zeroize::Zeroizing::new(seed);
        let seed =
            <&[u8; 32]>::try_from(seed.as_slice()).map_err(|_| SignatureError::PrivateKey)?;
        Ok(Self(SigningKey::from_bytes(seed)))
    }

    /// The line to keep in a file that only its owner may read.
    pub fn text(&self) -> Secret {
        Secret::new(format!("{PRIVATE}{}\n", STANDARD.encode(self.0.as_bytes())))
    }

    /// The other half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature of a component with this digest, as one line of base64 without its end.
    pub fn sign(&self, digest: &str) -> String {
        STANDARD.encode(self.0.sign(message(digest).as_bytes()).to_bytes())
    }
}

fn message(digest: &str) -> String {
    format!("{PURPOSE}\n{digest}\n")
}

/// Whose components run here: `[plugins]` of gateway.toml.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    required: bool,
    keys: BTreeMap<String, PublicKey>,
}

impl Trust {
    /// Over these keys, by name; with `required`, nothing runs without a signature.
    pub fn new(required: bool, keys: BTreeMap<String, PublicKey>) -> Self {
        Self { required, keys }
    }

    /// Whether nothing runs without a signature.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// The name of the trusted key that made this signature; `None` where none did.
    pub fn signer(&self, digest: &str, signature: &str) -> Option<&str> {
        let made = |(_, key): &(&String, &PublicKey)| key.verify(digest, signature).is_ok();
        self.keys.iter().find(made).map(|(name, _)| name.as_str())
    }

    /// The name of a trusted key.
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        self.keys.iter().find(|(_, known)| *known == key).map(|(name, _)| name.as_str())
    }

    /// Whether a component may run that is said to be signed by the key `signed_by`.
    pub fn check(
        &self,
        digest: &str,
        signed_by: Option<&str>,
        signature: Option<&str>,
    ) -> Result<(), SignatureError> {
        let Some(name) = signed_by else {
            return if self.required { Err(SignatureError::Unsigned) } else { Ok(()) };
        };
        let key = self.keys.get(name).ok_or_else(|| SignatureError::UnknownKey(name.to_owned()))?;
        key.verify(digest, signature.ok_or(SignatureError::Unsigned)?)
    }

    /// Whether a component may run of which nobody says who signed it: any trusted key will do.
    pub fn check_any(&self, digest: &str, signature: Option<&str>) -> Result<(), SignatureError> {
        if !self.required {
            return Ok(());
        }
        let signature = signature.ok_or(SignatureError::Unsigned)?;
        self.signer(digest, signature).map(drop).ok_or(SignatureError::Untrusted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:aa";

    fn trust(required: bool, key: &PrivateKey) -> Trust {
        Trust::new(required, [("ops".to_owned(), key.public())].into())
    }

    #[test]
    fn keys_and_signatures_survive_being_written() {
        let key = PrivateKey::generate().unwrap();
        let again = PrivateKey::parse(key.text().expose()).unwrap();
        let public = PublicKey::parse(&format!("{}\n", key.public())).unwrap();
        assert_eq!(public, again.public());
        assert_eq!(public.verify(DIGEST, &format!("{}\n", again.sign(DIGEST))), Ok(()));
        assert_eq!(format!("{key:?}"), "***");
    }

    #[test]
    fn a_signature_is_good_for_one_key_one_component_and_one_purpose() {
        let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let public = key.public();
        assert_eq!(public.verify("sha256:ab", &key.sign(DIGEST)), Err(SignatureError::Wrong));
        assert_eq!(public.verify(DIGEST, &other.sign(DIGEST)), Err(SignatureError::Wrong));
        let bare = STANDARD.encode(key.0.sign(DIGEST.as_bytes()).to_bytes());
        assert_eq!(public.verify(DIGEST, &bare), Err(SignatureError::Wrong));
        for bad in ["", "====", "AAAA"] {
            assert_eq!(public.verify(DIGEST, bad), Err(SignatureError::Signature), "{bad}");
        }
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let key = PrivateKey::generate().unwrap();
        let private = key.text();
        assert_eq!(PublicKey::parse(private.expose()), Err(SignatureError::PrivateForPublic));
        let neutral = STANDARD.encode([[1_u8].as_slice(), &[0; 31]].concat());
        for bad in ["", "AAAA", "not base64", neutral.as_str()] {
            assert_eq!(PublicKey::parse(bad), Err(SignatureError::PublicKey), "{bad}");
            assert_eq!(PrivateKey::parse(bad).err(), Some(SignatureError::PrivateKey), "{bad}");
        }
    }

    #[test]
    fn trust_is_by_name_and_required_where_it_says_so() {
        let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let good = key.sign(DIGEST);
        let (free, strict) = (trust(false, &key), trust(true, &key));
        for trust in [&free, &strict] {
            assert_eq!(trust.check(DIGEST, Some("ops"), Some(&good)), Ok(()));
            assert_eq!(
                trust.check(DIGEST, Some("ops"), Some(&other.sign(DIGEST))),
                Err(SignatureError::Wrong)
            );
            assert_eq!(trust.check(DIGEST, Some("ops"), None), Err(SignatureError::Unsigned));
            let unknown = Err(SignatureError::UnknownKey("dev".to_owned()));
            assert_eq!(trust.check(DIGEST, Some("dev"), Some(&good)), unknown);
        }
        assert_eq!(free.check(DIGEST, None, None), Ok(()));
        assert_eq!(strict.check(DIGEST, None, Some(&good)), Err(SignatureError::Unsigned));
        assert_eq!(free.check_any(DIGEST, None), Ok(()));
        assert_eq!(strict.check_any(DIGEST, None), Err(SignatureError::Unsigned));
        assert_eq!(strict.check_any(DIGEST, Some(&good)), Ok(()));
        let wrong = other.sign(DIGEST);
        assert_eq!(strict.check_any(DIGEST, Some(&wrong)), Err(SignatureError::Untrusted));
        assert_eq!(
            (strict.signer(DIGEST, &good), strict.signer(DIGEST, &wrong)),
            (Some("ops"), None)
        );
    }
}
