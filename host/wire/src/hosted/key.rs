//! The key that a machine and the gateway share, and what is signed with it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tidegate_model::Secret;
use zeroize::Zeroizing;

/// Text that is no key, or no randomness for a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Neither id nor key can be read.
    #[error("a machine key is `ID.KEY`: 8 and 32 bytes in base64url, as the gateway wrote it")]
    Spelling,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for a machine key")]
    Random,
}

/// A key of 256 bits with a public id. Wiped on drop, never printed.
#[derive(Clone)]
pub struct HostedKey {
    id: Box<str>,
    bytes: Zeroizing<[u8; 32]>,
    /// The only head of tokens under this key, as it stands in them.
    head: Box<str>,
}

impl HostedKey {
    /// A new key for one life of one machine.
    pub fn generate() -> Result<Self, BadKey> {
        let mut id = [0_u8; 8];
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(&mut id).map_err(|_| BadKey::Random)?;
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| BadKey::Random)?;
        Ok(Self::of(&id, bytes))
    }

    /// Reads what [`HostedKey::write`] wrote.
    pub fn read(text: &str) -> Result<Self, BadKey> {
        let (id, key) = text.trim().split_once('.').ok_or(BadKey::Spelling)?;
        let mut bytes = Zeroizing::new([0_u8; 32]);
        let mut known = [0_u8; 8];
        for (text, into) in [(id, known.as_mut_slice()), (key, bytes.as_mut_slice())] {
            // The decoder may need room for whole groups of four characters.
            let mut room = Zeroizing::new([0_u8; 36]);
            let length = URL_SAFE_NO_PAD.decode_slice(text, room.as_mut_slice());
            match length.ok().and_then(|length| room.get(..length)) {
                Some(decoded) if decoded.len() == into.len() => into.copy_from_slice(decoded),
                _ => return Err(BadKey::Spelling),
            }
        }
        Ok(Self::of(&known, bytes))
    }

    /// `ID.KEY`, for the one place that hands it to the machine.
    pub fn write(&self) -> Secret {
        let mut text = String::with_capacity(64);
        text.push_str(&self.id);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(self.bytes.as_slice(), &mut text);
        Secret::new(text)
    }

    /// The id, which tokens name.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn of(id: &[u8], bytes: Zeroizing<[u8; 32]>) -> Self {
        let id = URL_SAFE_NO_PAD.encode(id);
        let head = format!(r#"{{"alg":"HS256","kid":"{id}","typ":"JWT"}}"#);
        Self { head: URL_SAFE_NO_PAD.encode(head).into(), id: id.into(), bytes }
    }

    pub(super) fn head(&self) -> &str {
        &self.head
    }

    /// The signature of `signed` (head and claims with the dot between) as text.
    pub(super) fn sign(&self, signed: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(signed).finalize().into_bytes())
    }

    /// Whether `signature` is that of `signed`; takes the same time for every wrong one.
    pub(super) fn has_signed(&self, signed: &[u8], signature: &str) -> bool {
        let decoded = URL_SAFE_NO_PAD.decode(signature);
        decoded.is_ok_and(|bytes| self.mac(signed).verify_slice(&bytes).is_ok())
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        // A key shorter than the block is padded with zeros, as RFC 2104 has it.
        let mut block = Zeroizing::new([0_u8; 64]);
        block.iter_mut().zip(self.bytes.iter()).for_each(|(to, from)| *to = *from);
        Hmac::<Sha256>::new(&(*block).into()).chain_update(signed)
    }
}

impl fmt::Debug for HostedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostedKey({})", self.id)
    }
}
