//! Secrets by handle: a guest says where a secret belongs and never sees it.

/// One credential that a binding may attach.
#[derive(Debug)]
pub struct CredentialHandle {}

/// Why there is no handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialError {
    Unknown,
    Unavailable,
}

pub(crate) fn names(_state: &crate::state::State) -> Vec<String> {
    Vec::new()
}

pub(crate) fn handle(
    _state: &mut crate::state::State,
    _name: &str,
) -> Result<String, CredentialError> {
    Err(CredentialError::Unknown)
}

pub(crate) fn hmac_sha256(
    _state: &crate::state::State,
    _name: &str,
    _message: &[u8],
) -> Result<Vec<u8>, CredentialError> {
    Err(CredentialError::Unavailable)
}
