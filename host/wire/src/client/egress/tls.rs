//! Whom to trust: the public certificate authorities, and what an administrator adds.
//!
//! Owns how certificates are read. Knows no file and no destination.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::EgressError;

/// Certificate authorities that are trusted beside the public ones.
#[derive(Debug, Clone)]
pub struct Roots(RootCertStore);

impl Default for Roots {
    /// None beside the public ones.
    fn default() -> Self {
        Self(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }
}

impl Roots {
    /// Adds every certificate in `pem`. All of them must be readable, and there must be one:
    /// a file that somebody relies on is used whole or refused.
    pub fn add(&mut self, pem: &[u8]) -> Result<(), EgressError> {
        let before = self.0.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| bad(&error))?;
            self.0.add(certificate).map_err(|error| bad(&error))?;
        }
        if self.0.len() == before {
            return Err(EgressError::Roots("there is no certificate in it".to_owned()));
        }
        Ok(())
    }
}

fn bad(error: &dyn std::fmt::Display) -> EgressError {
    EgressError::Roots(error.to_string())
}

/// TLS 1.2 and 1.3, HTTP/1.1, and these roots.
pub(super) fn config(Roots(roots): Roots) -> Result<Arc<ClientConfig>, EgressError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
