//! The hosted-call token: how a machine knows that a request is the gateway's, and for it.
//!
//! A JWT (HS256) in the header [`HEADER`], good for 120 seconds, once, for one machine and for
//! exactly one request: method, target, headers and body. There is one spelling of its head
//! per key, which is compared as text, so that no algorithm is ever chosen by a token. The
//! key is the machine's own, made anew for each life of it, and can be exchanged with overlap.
//! `upstream` mints with [`Minter`]; the bridge checks with [`Verifier`]. Machines that
//! are no bridge can check the same token with any JWT library.

mod key;
mod mint;
mod replay;
mod verify;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, header};
use sha2::{Digest as _, Sha256};

pub use key::{BadKey, HostedKey};
pub use mint::Minter;
pub use verify::{Admitted, Refused, Verifier};

/// The header that carries the token, unless another name was agreed on.
pub const HEADER: HeaderName = HeaderName::from_static("x-mintmcp-hosted-auth");
/// How long a token is good, in seconds.
pub const LIFETIME: u64 = 120;
/// How far the clocks of gateway and machine may be apart, in seconds.
pub const SKEW: u64 = 5;

/// The machine that a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// The organisation.
    pub org: String,
    /// The connector within it.
    pub connector: String,
    /// The machine of that connector.
    pub machine: String,
}

/// The part of a request that a token is bound to, the body apart.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query, as sent.
    pub target: &'a str,
}

/// Headers that belong to the connection; all others are bound. Between gateway and machine
/// nothing may add one.
const OF_THE_CONNECTION: [HeaderName; 4] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::HOST, header::TRANSFER_ENCODING];

impl Head<'_> {
    /// The digest of method, target and all `headers` but those of the connection and
    /// `token` itself, in the spelling of the claim. The order of different headers does not
    /// count, that of one header's values does.
    fn digest<'h>(
        &self,
        headers: impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)>,
        token: &HeaderName,
    ) -> String {
        let mut bound: Vec<_> = headers
            .filter(|(name, _)| *name != token && !OF_THE_CONNECTION.contains(name))
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        bound.sort_by_key(|(name, _)| *name);
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(self.method.as_bytes());
        add(self.target.as_bytes());
        for (name, value) in bound {
            add(name.as_bytes());
            add(value);
        }
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }
}

/// The digest of a body, in the spelling of the claim.
fn body_digest(body: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(body))
}

#[cfg(test)]
mod tests;
