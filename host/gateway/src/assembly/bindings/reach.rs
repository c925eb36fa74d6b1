//! What the granted capabilities of a plugin lead to, made from its file.

use std::path::Path;

use sha2::{Digest, Sha256};
use tidegate_model::{PluginId, Secret};
use tidegate_wasm::Reach;

use crate::config::{Problem, plugin::PluginConfig, problem::sentence};

/// The parts of the gateway that capabilities lead to. Nothing by default, as for a check
/// without a running gateway.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {}

/// The secrets of a plugin by name.
pub(super) type Secrets = Vec<(String, Secret)>;

/// Fetches the secrets that a plugin's file names, and a fingerprint that changes with them.
pub(super) fn secrets(config: &PluginConfig, file: &Path) -> Result<(Secrets, [u8; 32]), Problem> {
    let mut secrets = Secrets::new();
    let mut digest = Sha256::new();
    for (name, credential) in &config.credentials {
        let Some(reference) = credential.secret() else { continue };
        let secret = reference.resolve().map_err(|error| {
            Problem::of(file, format!("`credentials.{name}`: {}", sentence(&error)))
        })?;
        digest.update(Sha256::digest(secret.expose()));
        secrets.push((name.clone(), secret));
    }
    Ok((secrets, digest.finalize().into()))
}

impl Outside {
    /// What the capabilities of this plugin lead to.
    pub(super) fn reach(
        &self,
        _plugin: &PluginId,
        _config: &PluginConfig,
        _secrets: Secrets,
    ) -> Result<Reach, String> {
        Ok(Reach::default())
    }
}
