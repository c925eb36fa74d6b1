//! How random values, digests, resources and scopes are written in tokens and stored rows.
//!
//! Owns nothing but spellings, so that each has one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::AuthorizationError;

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, AuthorizationError> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| AuthorizationError::Random)?;
    Ok(bytes)
}

/// base64url without padding, as in tokens.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of base64url without padding; `None` for every other spelling.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// SHA-256 over the parts, each led by its length, so that their borders count.
pub(crate) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC-SHA256 over the parts in a row; the caller makes their borders unambiguous.
pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key shorter than the block is padded with zeros, as RFC 2104 has it.
    let mut block = Zeroizing::new([0_u8; 64]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new(&(*block).into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// A resource in a row: `vmcp:{name}` or `admin`.
pub(crate) mod resource {
    use model::VmcpId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use tidegate_model as model;

    use crate::Resource;

    pub(crate) fn text(resource: &Resource) -> String {
        match resource {
            Resource::Vmcp(vmcp) => format!("vmcp:{vmcp}"),
            Resource::Admin => "admin".to_owned(),
        }
    }

    pub(crate) fn serialize<S: Serializer>(of: &Resource, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(of))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Resource, D::Error> {
        let text = String::deserialize(from)?;
        if text == "admin" {
            return Ok(Resource::Admin);
        }
        let vmcp = text.strip_prefix("vmcp:").and_then(|name| VmcpId::new(name).ok());
        vmcp.map(Resource::Vmcp).ok_or_else(|| D::Error::custom("no resource"))
    }
}

/// Scopes in a row, as in a `scope` parameter.
pub(crate) mod scopes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::Scopes;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(of: &Scopes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(of)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scopes, D::Error> {
        Ok(Scopes::parse(&String::deserialize(from)?))
    }
}

/// A key of 32 bytes in a row, as base64url.
pub(crate) mod key {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use zeroize::Zeroizing;

    pub(crate) type Key = Zeroizing<[u8; 32]>;

    pub(crate) fn serialize<S: Serializer>(of: &Key, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Zeroizing::new(super::base64url(of.as_slice())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Key, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        let bytes = super::from_base64url(&text).map(Zeroizing::new);
        let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        key.map(Zeroizing::new).ok_or_else(|| D::Error::custom("no key"))
    }
}

/// A redirect URI, as it was written.
pub(crate) mod redirect {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::authorization::redirect::RedirectUri;

    pub(crate) fn serialize<S: Serializer>(of: &RedirectUri, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(of.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RedirectUri, D::Error> {
        RedirectUri::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Where a client is written down, by name.
pub(crate) mod client_kind {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::authorization::client::ClientKind;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(of: &ClientKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(of.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ClientKind, D::Error> {
        let name = String::deserialize(from)?;
        [ClientKind::Settings, ClientKind::Registered, ClientKind::Document, ClientKind::BuiltIn]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| D::Error::custom("no kind of client"))
    }
}
