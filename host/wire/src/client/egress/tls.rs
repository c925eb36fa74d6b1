//! Whom to trust: the public certificate authorities, and what an administrator adds.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::EgressError;

/// TLS 1.2 and 1.3, HTTP/1.1, the roots of webpki and those in `extra` (PEM).
pub(super) fn config(extra: Option<&[u8]>) -> Result<Arc<ClientConfig>, EgressError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let bad = |error: &dyn std::fmt::Display| EgressError::Roots(error.to_string());
    for certificate in extra.into_iter().flat_map(CertificateDer::pem_slice_iter) {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if extra.is_some() && roots.len() == webpki_roots::TLS_SERVER_ROOTS.len() {
        return Err(EgressError::Roots("the file holds no certificate".to_owned()));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
