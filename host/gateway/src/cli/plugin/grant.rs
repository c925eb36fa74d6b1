//! `tidegate plugin grant` and `revoke`: what a plugin may do, one capability at a time.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::bail;
use clap::Args;
use tidegate_wasm::Capability;

use super::{Where, about, bind::Told, edit::Edit, folder::Folder};
use crate::{
    cli::{block_on, say},
    config::plugin::{HeldConfig, VersionConfig},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Grant {
    /// The plugin.
    name: String,
    /// The capabilities.
    #[arg(required = true, value_name = "CAPABILITY")]
    capabilities: Vec<Capability>,
    #[command(flatten)]
    told: Told,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Revoke {
    /// The plugin.
    name: String,
    /// The capabilities.
    #[arg(required = true, value_name = "CAPABILITY")]
    capabilities: Vec<Capability>,
    #[command(flatten)]
    place: Where,
}

type Capabilities = BTreeSet<Capability>;

/// What the versions of a plugin ask for, by their components and not by what the file says.
struct Needs {
    in_force: Capabilities,
    held: Option<Capabilities>,
}

pub(super) fn grant(grant: &Grant) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(&grant.place)?;
    let mut edit = folder.existing(&grant.name)?;
    block_on(async {
        let needs = needs(&folder, &edit).await?;
        let asked = |capability: &&Capability| {
            needs.in_force.contains(*capability)
                || needs.held.as_ref().is_some_and(|held| held.contains(*capability))
        };
        if let Some(other) = grant.capabilities.iter().find(|capability| !asked(capability)) {
            bail!("`{}` does not ask for `{other}`; nothing was changed", edit.id());
        }
        let mut granted = granted(&edit);
        granted.extend(grant.capabilities.iter().copied());
        edit.set_grants(granted.iter().map(|capability| capability.name()));
        let released = release(&mut edit, needs.held.as_ref(), &granted);
        grant.told.change(&mut edit)?;
        folder.save(&edit).await?;
        for capability in &grant.capabilities {
            say(&format!("granted `{capability}`: it {}", about::meaning(*capability)));
        }
        match released {
            Some(missing) if missing.is_empty() => {
                say(&format!("`{}`: the version on hold is in force now", edit.id()));
            }
            Some(missing) => say(&format!(
                "`{}`: the version on hold still needs {}",
                edit.id(),
                missing.join(", ")
            )),
            None => {}
        }
        super::written(&edit);
        Ok(ExitCode::SUCCESS)
    })
}

/// Puts the held version in force if nothing is missing any more; what still is.
fn release(
    edit: &mut Edit,
    held: Option<&Capabilities>,
    granted: &Capabilities,
) -> Option<Vec<String>> {
    let version = edit.held()?;
    let missing = missing(held?, granted);
    if missing.is_empty() {
        edit.put_in_force(&version);
    } else {
        hold(edit, version, missing.clone());
    }
    Some(missing)
}

fn missing(held: &Capabilities, granted: &Capabilities) -> Vec<String> {
    held.difference(granted).map(|capability| capability.name().to_owned()).collect()
}

fn hold(edit: &mut Edit, version: VersionConfig, needs: Vec<String>) {
    edit.hold(&HeldConfig {
        component: version.component,
        digest: version.digest.unwrap_or_default(),
        source: version.source,
        signed_by: version.signed_by,
        needs,
    });
}

pub(super) fn revoke(revoke: &Revoke) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(&revoke.place)?;
    let mut edit = folder.existing(&revoke.name)?;
    block_on(async {
        let id = edit.id().clone();
        let mut granted = granted(&edit);
        for capability in &revoke.capabilities {
            if !granted.remove(capability) {
                bail!("`{id}` is not granted `{capability}`; nothing was changed");
            }
        }
        let needs = needs(&folder, &edit).await?;
        let is_disabled = edit.config().is_some_and(|config| config.disabled);
        let needed = revoke.capabilities.iter().find(|it| needs.in_force.contains(*it));
        if let Some(needed) = needed.filter(|_| !is_disabled) {
            // Taking it away would take the plugin out of every chain, and say something else.
            bail!(
                "`{id}` cannot run without `{needed}`; `tidegate plugin disable {id}` stops it, \
                 `rollback {id}` goes back to the version before"
            );
        }
        edit.set_grants(granted.iter().map(|capability| capability.name()));
        // More may be missing for the held version now. Taking something away puts nothing in
        // force, even where a file was edited so that nothing is missing.
        if let (Some(version), Some(held)) = (edit.held(), &needs.held) {
            hold(&mut edit, version, missing(held, &granted));
        }
        folder.save(&edit).await?;
        say(&format!("`{id}`: revoked"));
        super::written(&edit);
        Ok(ExitCode::SUCCESS)
    })
}

async fn needs(folder: &Folder, edit: &Edit) -> anyhow::Result<Needs> {
    let mut needs = Needs { in_force: Capabilities::new(), held: None };
    if let Some(version) = edit.in_force() {
        needs.in_force.clone_from(folder.component(edit, &version).await?.capabilities());
    }
    if let Some(version) = edit.held() {
        needs.held = Some(folder.component(edit, &version).await?.capabilities().clone());
    }
    Ok(needs)
}

fn granted(edit: &Edit) -> Capabilities {
    let names = edit.config().map(|config| config.grants.as_slice()).unwrap_or_default();
    names.iter().filter_map(|name| name.parse().ok()).collect()
}
