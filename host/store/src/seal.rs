//! Authenticated encryption behind one function each way: AES-256-GCM-SIV (RFC 8452).
//!
//! The only place that names the cipher. Random bytes come from the system.

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit as _,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// A 256-bit key that is wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// Length of the tag behind the ciphertext.
pub(crate) const TAG: usize = 16;

/// Encryption or decryption that did not succeed; says nothing of why, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open: they were changed, moved, or sealed for another place")]
pub struct SealError;

/// Encrypts; gives ciphertext ‖ tag.
pub(crate) fn seal(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, SealError> {
    let cipher = Aes256GcmSiv::new(&(*key).into());
    cipher.encrypt(&(*nonce).into(), Payload { msg: plain, aad }).map_err(|_| SealError)
}

/// Decrypts ciphertext ‖ tag.
pub(crate) fn open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, SealError> {
    let cipher = Aes256GcmSiv::new(&(*key).into());
    cipher.decrypt(&(*nonce).into(), Payload { msg: sealed, aad }).map_err(|_| SealError)
}

/// HKDF-SHA256 to one key.
#[expect(clippy::expect_used, reason = "expand fails above 255 blocks only; a key is one")]
pub(crate) fn derive(secret: &[u8; 32], salt: Option<&[u8]>, info: &[&[u8]]) -> Key {
    let mut out = Zeroizing::new([0; 32]);
    let hkdf = Hkdf::<Sha256>::new(salt, secret);
    hkdf.expand_multi_info(info, out.as_mut_slice()).expect("one block");
    out
}

/// Bytes from the system's random generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct RandomError;

#[cfg(test)]
mod tests;
