//! The sealed form of a value, and what it is bound to.
//!
//! `magic "CR" ‖ fmt u8 ‖ alg u8 ‖ kek id [8] ‖ tenant key version u32 ‖ salt [32] ‖ nonce [12] ‖
//! ciphertext ‖ tag [16]`; integers little endian. fmt is 1, alg 1 is AES-256-GCM-SIV with a
//! key from HKDF-SHA256(secret, salt, info = "tidegate seal 1 " ‖ purpose). The associated data is
//! the header and all fields of [`Place`], each with its length before it (u32), so that a
//! value opens only where it was put. Knows no store and no provider.

use crate::seal::{self, Key, RandomError, SealError, TAG};

const MAGIC: &[u8; 2] = b"CR";
const FORMAT: u8 = 1;
const GCM_SIV: u8 = 1;
/// Bytes before the ciphertext.
pub const HEADER: usize = 60;
/// Bytes that sealing adds.
pub const OVERHEAD: usize = HEADER + TAG;

/// Names a key: the first 8 bytes of SHA-256(key ‖ "id").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(pub [u8; 8]);

impl KeyName {
    /// Reads 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut name = [0; 8];
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, pair) in name.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(name))
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What a sealed value is bound to. Fields that do not apply stay empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// What kind of thing is sealed: a table's name, `blob`, `payload`, `key`.
    pub kind: &'a str,
    /// The organisation.
    pub org: &'a str,
    /// The connector a credential is for.
    pub connector: &'a str,
    /// The origin a credential may be sent to.
    pub origin: &'a str,
    /// The user it belongs to, or `shared`.
    pub owner: &'a str,
    /// The record's key.
    pub key: &'a [u8],
    /// The record's version: an older row does not open as a newer one.
    pub version: u64,
    /// When it expires, in milliseconds since 1970; 0 for never.
    pub expires: u64,
    /// Version of the value's own schema.
    pub schema: u32,
}

impl Place<'_> {
    fn aad(&self, header: &[u8]) -> Vec<u8> {
        let (version, expires) = (self.version.to_le_bytes(), self.expires.to_le_bytes());
        let schema = self.schema.to_le_bytes();
        let fields: [&[u8]; 10] = [
            header,
            self.kind.as_bytes(),
            self.org.as_bytes(),
            self.connector.as_bytes(),
            self.origin.as_bytes(),
            self.owner.as_bytes(),
            self.key,
            &version,
            &expires,
            &schema,
        ];
        let mut aad = Vec::with_capacity(fields.iter().map(|field| field.len() + 4).sum());
        for field in fields {
            aad.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
            aad.extend_from_slice(field);
        }
        aad
    }
}

/// The header of a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The key-encryption key under which the tenant key was current.
    pub kek: KeyName,
    /// Version of the tenant key; 0 where a key itself is sealed.
    pub tenant_key: u32,
    salt: [u8; 32],
    nonce: [u8; 12],
}

/// Why an envelope does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too short, or not begun with the magic.
    #[error("these bytes are no sealed value")]
    NoEnvelope,
    /// A format or cipher of a newer version.
    #[error(
        "the value is sealed in format {format} with cipher {cipher}, which this version does not know: use the newer version again"
    )]
    Newer {
        /// Its format byte.
        format: u8,
        /// Its cipher byte.
        cipher: u8,
    },
    /// The tag does not hold.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Header {
    /// A header with a new salt and nonce.
    pub(crate) fn new(kek: KeyName, tenant_key: u32) -> Result<Self, RandomError> {
        Ok(Self { kek, tenant_key, salt: seal::random()?, nonce: seal::random()? })
    }

    /// Reads the header of a sealed value.
    pub fn read(sealed: &[u8]) -> Result<Self, EnvelopeError> {
        if sealed.len() < OVERHEAD {
            return Err(EnvelopeError::NoEnvelope);
        }
        Self::read_start(sealed)
    }

    /// Reads the header from the first bytes of a sealed value.
    pub(crate) fn read_start(sealed: &[u8]) -> Result<Self, EnvelopeError> {
        let no = EnvelopeError::NoEnvelope;
        let (magic, rest) = sealed.split_first_chunk::<2>().ok_or(no)?;
        let ([format, cipher], rest) = rest.split_first_chunk::<2>().ok_or(no)?;
        if magic != MAGIC {
            return Err(no);
        }
        if (*format, *cipher) != (FORMAT, GCM_SIV) {
            return Err(EnvelopeError::Newer { format: *format, cipher: *cipher });
        }
        let (kek, rest) = rest.split_first_chunk::<8>().ok_or(no)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(no)?;
        let (salt, rest) = rest.split_first_chunk::<32>().ok_or(no)?;
        let nonce = rest.first_chunk::<12>().ok_or(no)?;
        let tenant_key = u32::from_le_bytes(*version);
        Ok(Self { kek: KeyName(*kek), tenant_key, salt: *salt, nonce: *nonce })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[FORMAT, GCM_SIV]);
        bytes.extend_from_slice(&self.kek.0);
        bytes.extend_from_slice(&self.tenant_key.to_le_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.nonce);
        bytes
    }

    fn record_key(&self, secret: &[u8; 32], purpose: &str) -> Key {
        let info: [&[u8]; 2] = [b"tidegate seal 1 ", purpose.as_bytes()];
        seal::derive(secret, Some(&self.salt), &info)
    }

    /// Seals `plain` for one place.
    pub(crate) fn seal(
        &self,
        secret: &[u8; 32],
        purpose: &str,
        place: &Place<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, EnvelopeError> {
        let mut sealed = self.bytes();
        let key = self.record_key(secret, purpose);
        let body = seal::seal(&key, &self.nonce, &place.aad(&sealed), plain)?;
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Opens what [`Header::seal`] made for the same place; `self` is its own header.
    pub(crate) fn open(
        &self,
        secret: &[u8; 32],
        purpose: &str,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, EnvelopeError> {
        let (header, body) = sealed.split_at_checked(HEADER).ok_or(EnvelopeError::NoEnvelope)?;
        let key = self.record_key(secret, purpose);
        Ok(seal::open(&key, &self.nonce, &place.aad(header), body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [5; 32];

    fn place() -> Place<'static> {
        Place {
            kind: "credential",
            org: "acme",
            connector: "crm",
            origin: "https://crm.example",
            owner: "ae@example.com",
            key: b"crm/ae",
            version: 3,
            expires: 9,
            schema: 1,
        }
    }

    fn sealed() -> Vec<u8> {
        let header = Header::new(KeyName([1; 8]), 2).unwrap();
        header.seal(&SECRET, "store", &place(), b"secret").unwrap()
    }

    fn open(secret: &[u8; 32], purpose: &str, place: &Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        Header::read(sealed).ok()?.open(secret, purpose, place, sealed).ok()
    }

    #[test]
    fn the_header_is_the_documented_one() {
        let bytes = sealed();
        assert_eq!(bytes.len(), 60 + 6 + 16);
        assert_eq!(&bytes[..4], &[b'C', b'R', 1, 1]);
        assert_eq!(&bytes[4..12], &[1; 8]);
        assert_eq!(&bytes[12..16], &[2, 0, 0, 0]);
        assert_ne!(sealed()[16..60], bytes[16..60], "salt and nonce are new each time");
        assert_eq!(open(&SECRET, "store", &place(), &bytes).unwrap(), b"secret");
    }

    #[test]
    fn a_value_opens_only_where_it_was_put() {
        let bytes = sealed();
        let swaps = [
            Place { kind: "session", ..place() },
            Place { org: "other", ..place() },
            Place { connector: "mail", ..place() },
            Place { origin: "https://evil.example", ..place() },
            Place { owner: "shared", ..place() },
            Place { key: b"crm/bf", ..place() },
            Place { version: 4, ..place() },
            Place { version: 2, ..place() },
            Place { expires: 0, ..place() },
            Place { schema: 2, ..place() },
            // The same letters, divided differently.
            Place { org: "acmec", connector: "rm", ..place() },
            Place { connector: "", org: "acmecrm", ..place() },
        ];
        for swap in swaps {
            assert_eq!(open(&SECRET, "store", &swap, &bytes), None, "{swap:?}");
        }
        assert_eq!(open(&[6; 32], "store", &place(), &bytes), None);
        assert_eq!(open(&SECRET, "blob", &place(), &bytes), None);
    }

    #[test]
    fn every_changed_byte_and_length_is_noticed() {
        let bytes = sealed();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(open(&SECRET, "store", &place(), &changed), None, "byte {at}");
            assert_eq!(open(&SECRET, "store", &place(), &bytes[..at]), None, "length {at}");
        }
        let mut newer = bytes;
        newer[2] = 2;
        assert_eq!(Header::read(&newer), Err(EnvelopeError::Newer { format: 2, cipher: 1 }));
    }
}
