//! Secrets by handle: a guest says where a secret belongs and never sees it.

/// One credential that a binding may attach.
#[derive(Debug)]
pub struct CredentialHandle {}
