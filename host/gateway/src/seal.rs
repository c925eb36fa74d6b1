//! Handles that clients hold for the gateway: sealed, so that nobody reads or forges them.
//!
//! A handle opens only for the person, virtual MCP and purpose it was made for, a request
//! state also only for the very request, and only in time. Whatever else is presented looks
//! the same: it does not open. Knows nothing of what is inside.

use aes_gcm_siv::{
    Aes256GcmSiv,
    aead::{Aead as _, KeyInit as _, Payload},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tidegate_identity::Caller;
use tidegate_model::{OrgId, Timestamp, VmcpId};

/// The version of the form, so that a later one is told apart.
const FORM: u8 = 1;
const NONCE: usize = 12;
const EXPIRY: usize = 8;
/// The expiry of what does not expire.
const NEVER: u64 = u64::MAX;

/// What a handle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `requestState` of an `input_required` result. Sealed anew each time.
    RequestState,
    /// The published id of a task. The same task always has the same one.
    TaskId,
    /// What a browser is asked to consent to. Sealed anew each time.
    Consent,
    /// Since when a browser is asked to sign in anew. Sealed anew each time.
    SignIn,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::RequestState => "request-state",
            Self::TaskId => "task-id",
            Self::Consent => "consent",
            Self::SignIn => "sign-in",
        }
    }
}

/// Whom and what a handle belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding<'a> {
    /// The person, whatever credential they come with.
    pub(crate) caller: &'a Caller,
    /// The virtual MCP.
    pub(crate) vmcp: &'a VmcpId,
    /// The digest of the request that the handle belongs to, where it belongs to one.
    pub(crate) request: Option<&'a [u8; 32]>,
}

/// Which browser a handle belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Browser<'a> {
    /// The organisation whose page it is.
    pub(crate) org: &'a OrgId,
    /// What only this browser holds, or what was kept of its session.
    pub(crate) holds: &'a str,
}

/// The system gave no random bytes, so nothing can be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system has no randomness for a handle")]
pub(crate) struct NoRandomness;

/// Seals and opens handles.
pub(crate) struct Seals {
    cipher: Aes256GcmSiv,
    nonces: Hmac<Sha256>,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seals")
    }
}

impl Seals {
    /// With a key that no one else has.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let root = Hmac::<Sha256>::new(&block.into());
        let derived = |label: &[u8]| root.clone().chain_update(label).finalize().into_bytes();
        let mut block = [0; 64];
        block.iter_mut().zip(derived(b"nonces")).for_each(|(to, from)| *to = from);
        Self { cipher: Aes256GcmSiv::new(&derived(b"cipher")), nonces: Hmac::new(&block.into()) }
    }

    /// Seals `payload`; without `expiry` it opens as long as the key lives.
    pub(crate) fn seal(
        &self,
        purpose: Purpose,
        binding: &Binding<'_>,
        payload: &[u8],
        expiry: Option<Timestamp>,
    ) -> Result<String, NoRandomness> {
        self.seal_bound(purpose, &bound(purpose, binding), payload, expiry)
    }

    /// Seals `payload` for one browser until `expiry`.
    pub(crate) fn seal_page(
        &self,
        purpose: Purpose,
        browser: &Browser<'_>,
        payload: &[u8],
        expiry: Timestamp,
    ) -> Result<String, NoRandomness> {
        self.seal_bound(purpose, &bound_page(purpose, browser), payload, Some(expiry))
    }

    fn seal_bound(
        &self,
        purpose: Purpose,
        bound: &[u8],
        payload: &[u8],
        expiry: Option<Timestamp>,
    ) -> Result<String, NoRandomness> {
        let expiry = expiry.map_or(NEVER, Timestamp::as_millis);
        let plain = [&expiry.to_be_bytes(), payload].concat();
        let nonce = match purpose {
            Purpose::RequestState | Purpose::Consent | Purpose::SignIn => {
                let mut nonce = [0; NONCE];
                getrandom::fill(&mut nonce).map_err(|_| NoRandomness)?;
                nonce
            }
            Purpose::TaskId => self.nonce_of(bound, &plain),
        };
        let message = Payload { msg: &plain, aad: bound };
        // Fails only above lengths that no message here can have.
        let sealed = self.cipher.encrypt(&nonce.into(), message).map_err(|_| NoRandomness)?;
        Ok(URL_SAFE_NO_PAD.encode([&[FORM], nonce.as_slice(), &sealed].concat()))
    }

    /// The payload of a handle; `None` for anything that [`Seals::seal`] did not make for this
    /// purpose and binding, and for what has expired.
    pub(crate) fn open(
        &self,
        purpose: Purpose,
        binding: &Binding<'_>,
        handle: &str,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        self.open_bound(&bound(purpose, binding), handle, now)
    }

    /// The payload of a handle of one browser, likewise.
    pub(crate) fn open_page(
        &self,
        purpose: Purpose,
        browser: &Browser<'_>,
        handle: &str,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        self.open_bound(&bound_page(purpose, browser), handle, now)
    }

    fn open_bound(&self, bound: &[u8], handle: &str, now: Timestamp) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(handle).ok()?;
        let (&form, rest) = bytes.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let message = Payload { msg: sealed, aad: bound };
        let mut plain = self.cipher.decrypt(&(*nonce).into(), message).ok()?;
        let expiry = u64::from_be_bytes(*plain.first_chunk::<EXPIRY>()?);
        (form == FORM && now.as_millis() < expiry).then(|| plain.split_off(EXPIRY))
    }

    /// A nonce that depends on all that is sealed, for handles that must always be the same.
    fn nonce_of(&self, bound: &[u8], plain: &[u8]) -> [u8; NONCE] {
        let mut mac = self.nonces.clone();
        mac.update(&(bound.len() as u64).to_be_bytes());
        mac.update(bound);
        mac.update(plain);
        let full = mac.finalize().into_bytes();
        full.first_chunk::<NONCE>().copied().unwrap_or_default()
    }
}

/// What a handle is bound to, unambiguously.
fn bound(purpose: Purpose, binding: &Binding<'_>) -> Vec<u8> {
    let Binding { caller, vmcp, request } = binding;
    let request: &[u8] = request.map_or(&[], |digest| digest.as_slice());
    joined(&[
        purpose.name().as_bytes(),
        caller.org().as_str().as_bytes(),
        caller.user().as_str().as_bytes(),
        vmcp.as_str().as_bytes(),
        request,
    ])
}

/// The same of what belongs to a browser.
fn bound_page(purpose: Purpose, browser: &Browser<'_>) -> Vec<u8> {
    let Browser { org, holds } = browser;
    joined(&[purpose.name().as_bytes(), org.as_str().as_bytes(), holds.as_bytes()])
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part);
    }
    bound
}

#[cfg(test)]
mod tests;
