//! How an administrator puts a component to use.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidegate_model::Json;

use crate::{
    Capability, Component, ConfigError, Exports, Grants, Limits, LoadError, Reach, hook::Prepared,
    recipe::Recipe,
};

/// A component with a name, a configuration, grants and limits.
#[derive(Debug, Clone)]
pub struct Binding<'a> {
    /// Its name in logs, errors and metrics.
    pub name: &'a str,
    /// What runs.
    pub component: &'a Component,
    /// Checked against the component's schema.
    pub config: &'a Json,
    /// What it may reach.
    pub grants: Grants,
    /// What it may use.
    pub limits: Limits,
    /// What its capabilities lead to.
    pub reach: Reach,
}

/// Why a component could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// It is another kind of plugin.
    #[error("the component of `{name}` is no {kind}: it exports no {wanted}")]
    WrongKind {
        /// The binding.
        name: String,
        /// What it was bound as.
        kind: &'static str,
        /// The interfaces of that kind.
        wanted: &'static str,
    },
    /// It needs what it was not given.
    #[error(
        "the component of `{name}` needs the capability `{capability}`; add it to its `grants`"
    )]
    NotGranted {
        /// The binding.
        name: String,
        /// What is missing.
        capability: Capability,
    },
    /// Its configuration does not fit.
    #[error("the configuration of `{name}` does not fit its component")]
    Config {
        /// The binding.
        name: String,
        /// Which field.
        #[source]
        source: ConfigError,
    },
    /// It cannot be linked.
    #[error("the component of `{name}` cannot be linked")]
    Link {
        /// The binding.
        name: String,
        /// Why.
        #[source]
        source: LoadError,
    },
}

impl Binding<'_> {
    /// Checks everything that can be checked before the first call.
    pub(crate) fn prepare(
        &self,
        kind: &'static str,
        wanted: &'static str,
        fits: impl FnOnce(Exports) -> bool,
    ) -> Result<Prepared, BindError> {
        let name = || self.name.to_owned();
        if !fits(self.component.exports()) {
            return Err(BindError::WrongKind { name: name(), kind, wanted });
        }
        if let Some(capability) = self.grants.missing(self.component.capabilities()) {
            return Err(BindError::NotGranted { name: name(), capability });
        }
        self.component
            .check_config(self.config)
            .map_err(|source| BindError::Config { name: name(), source })?;
        let world = self
            .component
            .adapt(self.grants)
            .map_err(|source| BindError::Link { name: name(), source })?;
        let shared = self.component.shared();
        let config = Sha256::digest(self.config.as_str()).into();
        let breaker = shared.breakers.of((Arc::from(self.name), *self.component.sha256(), config));
        let granted = (self.grants, self.reach.clone());
        let recipe =
            Recipe::new(self.name, self.limits, granted, (shared, self.component.places()));
        Ok(Prepared::new(world, self.config.clone(), recipe, breaker))
    }
}
