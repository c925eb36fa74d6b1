//! What a credential comes down to: headers and variables, ready to be used.

use std::{collections::BTreeMap, fmt};

use http::{HeaderName, HeaderValue};
use tidegate_model::{Secret, Timestamp};

use super::{CredentialError, header, spec::Placing};

/// What proves somebody to an upstream, ready to be attached. Holds secrets: it does not
/// print, and its bytes are wiped with the last use.
#[derive(Default)]
pub struct Material {
    /// Headers of each request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The environment of the program that serves the call.
    pub(crate) env: BTreeMap<String, Secret>,
    /// Changes whenever the credential does: children that were started with another version
    /// do not serve it.
    pub(crate) version: u64,
    /// From when on a better one should be got, while this one still works.
    pub(crate) renew_at: Option<Timestamp>,
    /// From when on it does not work any more.
    pub(crate) expires: Option<Timestamp>,
}

impl Material {
    /// One secret in its place. `named` says which secret it is where it does not fit.
    pub(crate) fn placed(
        placing: &Placing,
        secret: &Secret,
        named: &str,
    ) -> Result<Self, CredentialError> {
        match placing {
            Placing::Header { name, format } => {
                let header = header::compile(name, format, named, secret)?;
                Ok(Self { headers: vec![header], ..Self::default() })
            }
            Placing::Env { name } => {
                let text = secret.expose().trim_end_matches(['\r', '\n']);
                if text.is_empty() {
                    return Err(CredentialError::Missing(named.to_owned()));
                }
                if text.contains('\0') {
                    return Err(CredentialError::Unprintable(named.to_owned()));
                }
                let env = BTreeMap::from([(name.clone(), Secret::new(text.to_owned()))]);
                Ok(Self { env, ..Self::default() })
            }
        }
    }

    /// Changes whenever the credential does.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The same, as a version of its own.
    #[must_use]
    pub(crate) fn at_version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// The same, with an end, before which a better one is got.
    #[must_use]
    pub(crate) fn until(mut self, renew_at: Option<Timestamp>, expires: Option<Timestamp>) -> Self {
        (self.renew_at, self.expires) = (renew_at, expires);
        self
    }

    /// Whether it can be used without looking for a better one.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.renew_at.is_none_or(|at| now < at) && !self.is_over(now)
    }

    /// Whether it does not work any more.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Material(version {}, ***)", self.version)
    }
}
