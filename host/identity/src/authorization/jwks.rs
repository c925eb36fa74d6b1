//! Public keys of others, and the tokens they have signed.
//!
//! Owns how a JWK set is read ([`PublicKeys`]), fetched and kept ([`KeySet`]), and how a
//! signed token is judged ([`verify`](PublicKeys::verify), RFC 8725): nothing that the token
//! says chooses how it is checked. Knows no client and no provider: whoever asks says what the
//! token has to look like.

mod keys;
mod set;
mod verify;

pub use keys::{BadKeys, PublicKeys};
pub use set::{KeySet, KeySets};
pub use verify::{ASYMMETRIC, Expected, TokenRefused, Type, Verified, claimed, labour};

#[cfg(test)]
mod tests;
