//! What a call carries to prove itself to the upstream.
//!
//! A [`Credential`] belongs to one connector and, where it goes over the network, to one
//! origin; an [`Injection`] is what it yields for exactly one permitted call. Resolving
//! `env:` and `file:` references is the gateway's part: here they arrive as [`Secret`]s.
//! New kinds are a file in `credential/` and a variant of [`CredentialSpec`].

mod header;

pub(crate) use header::is_reserved;

use std::fmt;

use http::{HeaderName, HeaderValue};
use tidegate_governance::policy::Permitted;
use tidegate_model::{Call, CallId, ConnectorId, Secret};
use tidegate_wire::client::egress::Origin;

use crate::armed::Maintenance;

/// A credential as an administrator describes it; holds references, never secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CredentialSpec {
    /// None is needed.
    #[default]
    None,
    /// The same header on every request.
    Header {
        /// Its name, for instance `authorization`.
        name: String,
        /// Its value around the secret, which stands at `{}`: `Bearer {}`.
        format: String,
        /// Where the secret is kept: `env:NAME` or `file:PATH`; the key into
        /// [`crate::connector::Parts::secrets`].
        secret: String,
    },
}

/// Why a credential cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The reference was not resolved.
    #[error("the secret `{0}` is not set: set it, or change the connector's credential")]
    Missing(String),
    /// The header name is none, or one that the protocol sets itself.
    #[error("`{0}` cannot carry a credential: use a header such as `authorization` or `x-api-key`")]
    Name(String),
    /// The format has no place for the secret, or more than one.
    #[error("the credential format must hold `{{}}` exactly once, as in `Bearer {{}}`")]
    Format,
    /// The secret holds line breaks, control characters or non-ASCII text.
    #[error("the secret `{0}` holds characters that no header can carry")]
    Unprintable(String),
    /// The call goes to another connector.
    #[error("the credential belongs to connector `{0}`")]
    OtherConnector(ConnectorId),
}

/// A connector's credential, ready to be used.
pub struct Credential {
    connector: ConnectorId,
    origin: Option<Origin>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// What exactly one permitted call, or one piece of system work, carries upstream.
///
/// Not `Clone`; `Debug` prints stars; the secret bytes are wiped when the last use is over.
pub struct Injection {
    connector: ConnectorId,
    call: Option<CallId>,
    origin: Option<Origin>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Credential {
    /// No credential at all.
    pub fn none(connector: ConnectorId) -> Self {
        Self { connector, origin: None, header: None }
    }

    /// Builds the credential of `connector` from its description, bound to `origin`.
    pub(crate) fn new(
        connector: ConnectorId,
        origin: Origin,
        spec: &CredentialSpec,
        secret: impl Fn(&str) -> Option<Secret>,
    ) -> Result<Self, CredentialError> {
        let header = match spec {
            CredentialSpec::None => None,
            CredentialSpec::Header { name, format, secret: reference } => {
                let value =
                    secret(reference).ok_or_else(|| CredentialError::Missing(reference.clone()))?;
                Some(header::compile(name, format, reference, &value)?)
            }
        };
        Ok(Self { connector, origin: Some(origin), header })
    }

    /// What `permitted` carries.
    pub fn obtain(&self, permitted: &Permitted<Call>) -> Result<Injection, CredentialError> {
        self.inject(permitted.get())
    }

    pub(crate) fn inject(&self, call: &Call) -> Result<Injection, CredentialError> {
        if call.operation.connector() != &self.connector {
            return Err(CredentialError::OtherConnector(self.connector.clone()));
        }
        Ok(self.injection(Some(call.id)))
    }

    /// What system work carries.
    pub(crate) fn maintain(&self, _proof: &Maintenance) -> Injection {
        self.injection(None)
    }

    /// What the end of a session carries.
    pub(crate) fn farewell(&self) -> Injection {
        self.injection(None)
    }

    fn injection(&self, call: Option<CallId>) -> Injection {
        Injection {
            connector: self.connector.clone(),
            call,
            origin: self.origin.clone(),
            header: self.header.clone(),
        }
    }
}

impl Injection {
    /// The connector it is for.
    pub fn connector(&self) -> &ConnectorId {
        &self.connector
    }

    pub(crate) fn is_for(&self, call: &Call) -> bool {
        self.call == Some(call.id) && call.operation.connector() == &self.connector
    }

    /// The header, given out only for the origin that the credential is bound to.
    pub(crate) fn header_for(&self, dialled: &Origin) -> Result<Option<Header<'_>>, WrongOrigin> {
        match (&self.header, &self.origin) {
            (None, _) => Ok(None),
            (Some((name, value)), Some(bound)) if bound == dialled => Ok(Some((name, value))),
            _ => Err(WrongOrigin),
        }
    }
}

/// A header by reference.
pub(crate) type Header<'a> = (&'a HeaderName, &'a HeaderValue);

/// The dialled origin is not the one the credential is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongOrigin;

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, {:?}, ***)", self.connector, self.origin)
    }
}

impl fmt::Debug for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Injection({}, ***)", self.connector)
    }
}
