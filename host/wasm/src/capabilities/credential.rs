//! Secrets by handle: a guest says where a secret belongs and never sees it.
//!
//! A handle is a text that means something to one instance only. `exchange` puts the secret
//! in its place when a request leaves, `mask` takes it out of what comes back. Where
//! secrets are kept is the business of whoever makes a [`CredentialHandle`].

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tidegate_model::Secret;

use crate::{
    capabilities::{
        http::{Hosts, Http},
        log,
    },
    lines::LogLevel,
    state::State,
};

mod encoded;
pub(crate) mod exchange;
pub(crate) mod mask;

use mask::Mask;

/// What every handle begins with.
const MARK: &str = "tgh_";
/// Random bytes of an instance's handles.
const RANDOM: usize = 12;
/// Bytes of a handle: the mark, the instance's digits, the credential's number.
const HANDLE: usize = MARK.len() + 2 * RANDOM + 8;
/// Most bytes that are signed at once.
const MESSAGE: usize = 8 << 20;

type Source = dyn Fn() -> Option<Secret> + Send + Sync;

/// One credential that a binding may attach to its requests.
#[derive(Clone)]
pub struct CredentialHandle {
    name: Arc<str>,
    hosts: Hosts,
    source: Arc<Source>,
}

impl CredentialHandle {
    /// A credential called `name`, for requests to `hosts` only. `source` is asked for the
    /// secret whenever it is needed, and must not wait for anything; `none` means that it
    /// cannot be had now.
    pub fn new(
        name: &str,
        hosts: Hosts,
        source: impl Fn() -> Option<Secret> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), hosts, source: Arc::new(source) }
    }

    /// The name that guests ask for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it may be sent to.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The secret without the line break that a file usually ends in; never an empty one.
    fn secret(&self) -> Option<Secret> {
        let secret = (self.source)()?;
        let text = secret.expose().trim_end_matches(['\r', '\n']);
        match text.len() {
            0 => None,
            length if length == secret.expose().len() => Some(secret),
            _ => Some(Secret::new(text.to_owned())),
        }
    }
}

impl fmt::Debug for CredentialHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialHandle({}, {:?}, ***)", self.name, self.hosts)
    }
}

/// Why there is no handle or signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("the binding has no credential of that name")]
    Unknown,
    #[error("the credential cannot be had now")]
    Unavailable,
}

/// The credentials of one instance and what its handles begin with.
#[derive(Debug)]
pub(crate) struct Keyring {
    credentials: Arc<[CredentialHandle]>,
    /// Absent without credentials, or without random bytes: then there are no handles.
    beginning: Option<Box<str>>,
}

impl Keyring {
    pub(crate) fn new(credentials: &Arc<[CredentialHandle]>) -> Self {
        let mut random = [0; RANDOM];
        let has_random = !credentials.is_empty() && getrandom::fill(&mut random).is_ok();
        let beginning = has_random.then(|| {
            let digits = random.iter().map(|byte| format!("{byte:02x}"));
            std::iter::once(MARK.to_owned()).chain(digits).collect::<String>().into()
        });
        Self { credentials: Arc::clone(credentials), beginning }
    }

    /// What stands at the beginning of this instance's handles, where there can be any.
    pub(crate) fn beginning(&self) -> Option<&str> {
        self.beginning.as_deref()
    }

    /// What answers must not show; `none` when there is nothing to hide.
    pub(crate) fn mask(&self) -> Option<Mask> {
        if self.credentials.is_empty() {
            return None;
        }
        let secrets: Vec<_> =
            self.credentials.iter().filter_map(CredentialHandle::secret).collect();
        Some(Mask::new(&secrets))
    }

    fn handle(&self, name: &str) -> Result<String, CredentialError> {
        let at = self.credentials.iter().position(|one| one.name() == name);
        let at = at.ok_or(CredentialError::Unknown)?;
        self.credentials
            .get(at)
            .and_then(CredentialHandle::secret)
            .and(self.beginning.as_deref())
            .map(|beginning| format!("{beginning}{at:08x}"))
            .ok_or(CredentialError::Unavailable)
    }

    fn by_handle(&self, handle: &str) -> Option<&CredentialHandle> {
        let number = handle.strip_prefix(self.beginning.as_deref()?)?;
        self.credentials.get(usize::from_str_radix(number, 16).ok()?)
    }
}

/// The names of the binding's credentials.
pub(crate) fn names(state: &State) -> Vec<String> {
    state.reach.credentials.iter().map(|one| one.name().to_owned()).collect()
}

/// The handle of one credential in this instance.
pub(crate) fn handle(state: &mut State, name: &str) -> Result<String, CredentialError> {
    Http::of(state).keyring().handle(name)
}

/// A message signed with a credential's secret.
pub(crate) fn hmac_sha256(
    state: &State,
    name: &str,
    message: &[u8],
) -> Result<Vec<u8>, CredentialError> {
    let credential = state.reach.credentials.iter().find(|one| one.name() == name);
    let secret =
        credential.ok_or(CredentialError::Unknown)?.secret().ok_or(CredentialError::Unavailable)?;
    if message.len() > MESSAGE {
        let text = format!("asked to sign {} bytes, at most {MESSAGE} are signed", message.len());
        log::write(state, LogLevel::Warn, &text);
        return Err(CredentialError::Unavailable);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .map_err(|_| CredentialError::Unavailable)?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests;
