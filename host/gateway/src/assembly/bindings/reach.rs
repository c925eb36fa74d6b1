//! What the granted capabilities of a component lead to, made from its file.

use std::{path::Path, sync::Arc};

use sha2::{Digest, Sha256};
use tidegate_model::{OrgId, Secret};
use tidegate_wasm::{
    Reach,
    capabilities::{
        credential::CredentialHandle,
        http::{Hosts, HttpReach},
    },
};
use tidegate_wire::client::egress::{AddressPolicy, Egress};

use crate::{
    config::{
        Problem,
        plugin::{Credentials, HttpConfig, StateConfig},
        problem::sentence,
    },
    plugin_state::{Owner, PluginState},
};

/// The parts of the gateway that capabilities lead to. Nothing by default, as for a check
/// without a running gateway.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {
    /// What components keep, and whose it is.
    pub(crate) state: Option<(OrgId, Arc<PluginState>)>,
    /// The way out.
    pub(crate) egress: Option<Arc<Egress>>,
}

/// What a file says of where capabilities lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) http: &'a HttpConfig,
    pub(crate) credentials: &'a Credentials,
    pub(crate) state: StateConfig,
}

/// The secrets of a component by name.
pub(crate) type Secrets = Vec<(String, Secret)>;

impl Outside {
    /// Fetches the secrets that a file names, and a fingerprint that changes with them. None
    /// where nothing leads outside: a check has another environment than the gateway.
    pub(crate) fn secrets(
        &self,
        credentials: &Credentials,
        file: &Path,
    ) -> Result<(Secrets, [u8; 32]), Problem> {
        let mut secrets = Secrets::new();
        let mut digest = Sha256::new();
        let wanted = credentials.iter().filter(|_| self.egress.is_some());
        for (name, credential) in wanted {
            let Some(reference) = credential.secret() else { continue };
            let secret = reference.resolve().map_err(|error| {
                Problem::of(file, format!("`credentials.{name}`: {}", sentence(&error)))
            })?;
            digest.update(Sha256::digest(secret.expose()));
            secrets.push((name.clone(), secret));
        }
        Ok((secrets, digest.finalize().into()))
    }

    /// What the capabilities of this component lead to.
    pub(crate) fn reach(
        &self,
        owner: Owner,
        wanted: Wanted<'_>,
        secrets: Secrets,
    ) -> Result<Reach, String> {
        let state = self
            .state
            .as_ref()
            .map(|(org, state)| state.space(org, owner, wanted.state.quota_kib << 10));
        let http = match &self.egress {
            Some(egress) if !wanted.http.hosts.is_empty() => {
                Some(Arc::new(http(Arc::clone(egress), wanted.http)?))
            }
            _ => None,
        };
        let credentials: Result<Vec<_>, String> =
            secrets.into_iter().map(|(name, secret)| handle(&name, secret, wanted)).collect();
        Ok(Reach { state, http, credentials: credentials?.into() })
    }
}

fn http(egress: Arc<Egress>, config: &HttpConfig) -> Result<HttpReach, String> {
    let hosts = Hosts::parse(&config.hosts).map_err(|bad| bad.to_string())?;
    let allow = AddressPolicy {
        loopback: config.allow_private,
        private: config.allow_private,
        ..AddressPolicy::default()
    };
    Ok(HttpReach::new(egress, allow, hosts))
}

/// A secret as it was when the component was bound; a change of it binds anew.
fn handle(name: &str, secret: Secret, wanted: Wanted<'_>) -> Result<CredentialHandle, String> {
    let hosts = wanted.credentials.get(name).map(|it| it.hosts.as_slice()).unwrap_or_default();
    let hosts = Hosts::parse(hosts).map_err(|bad| bad.to_string())?;
    Ok(CredentialHandle::new(name, hosts, move || Some(secret.clone())))
}
