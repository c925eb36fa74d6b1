//! The component that a developer's command is about, and how they want it set up.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use clap::Args;
use tidegate_model::Json;
use tidegate_wasm::{Capability, Component};
use tidegate_wire::client::egress::{Egress, Resolver};

use super::{
    registry::Access,
    source::{self, Found},
};
use crate::{
    assembly::bindings::settings,
    cases::{CaseClock, Chosen, Stand},
    cli::compiled,
    config::plugin::PluginConfig,
};

/// A component, and the stand to try it on.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) found: Found,
    pub(super) component: Component,
    pub(super) stand: Stand,
    /// The clock that the component sees.
    pub(super) clock: Arc<CaseClock>,
}

/// How it is set up, over what its cases say.
#[derive(Debug, Args)]
pub(super) struct Setting {
    /// Its configuration, over that of the cases: a JSON file, or a plugin's TOML file with
    /// grants and limits as well.
    #[arg(long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A capability that it is granted, over the grants of the cases; may be repeated.
    #[arg(long = "grant", value_name = "CAPABILITY")]
    grants: Vec<Capability>,
}

impl Subject {
    /// Reads and compiles a component: a file, a folder in which one was built, or `oci://…`.
    pub(super) async fn load(from: &str) -> anyhow::Result<Self> {
        let egress = Egress::new(Resolver::System, None)?;
        let found = source::find(from, &Access::default(), &egress).await?;
        let clock = Arc::new(CaseClock::default());
        let sandbox = compiled::sandbox_at(Arc::clone(&clock) as _)?;
        let component = sandbox.load_named(&found.name, found.bytes.clone()).await;
        let component = component.with_context(|| format!("`{from}` cannot be used"))?;
        let stand = Stand::new(Arc::clone(&clock))?;
        Ok(Self { found, component, stand, clock })
    }
}

impl Setting {
    /// Reads what was chosen.
    pub(super) fn read(&self) -> anyhow::Result<Chosen> {
        let mut chosen = Chosen::default();
        if let Some(path) = &self.config {
            let shown = path.display();
            let text =
                fs::read_to_string(path).with_context(|| format!("cannot read `{shown}`"))?;
            if path.extension().is_some_and(|extension| extension == "toml") {
                let file: PluginConfig = toml::from_str(&text)
                    .with_context(|| format!("`{shown}` is no plugin's file"))?;
                if let Some((fault, help)) = file.faults().into_iter().next()
                    && file.component.is_some()
                {
                    bail!("`{shown}`: {fault}; {help}");
                }
                chosen.config = Some(settings(&file.config).map_err(anyhow::Error::msg)?);
                let grants: Result<Vec<Capability>, _> =
                    file.grants.iter().map(|name| name.parse()).collect();
                chosen.grants = Some(grants?.into_iter().collect());
                chosen.limits = Some(file.limits);
                chosen.credentials = file.credentials.into_keys().collect();
            } else {
                let json = Json::parse(text).with_context(|| format!("`{shown}` is no JSON"))?;
                if !json.as_str().starts_with('{') {
                    bail!("`{shown}` holds no object");
                }
                chosen.config = Some(json);
            }
        }
        if !self.grants.is_empty() {
            chosen.grants = Some(self.grants.iter().copied().collect());
        }
        Ok(chosen)
    }
}
