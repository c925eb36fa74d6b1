//! Looks after what plugins keep: values whose time is up, spaces of plugins that are gone, and
//! facts of quiet sessions.
//!
//! A file that is missing for a moment must not cost a plugin its values, so a space goes only
//! when its plugin has been gone for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tidegate_model::{OrgId, Timestamp};
use tidegate_wasm::capabilities::state::KeyValueError;

use crate::{
    config::Resources,
    gateway::Gateway,
    plugin_state::{Owner, PluginState},
};

/// How often all of it is looked at.
const EVERY: Duration = Duration::from_secs(60);
/// How long a plugin must be gone before its space is removed.
const GRACE: Duration = Duration::from_secs(3_600);

/// Since when owners of spaces were found gone.
type Gone = BTreeMap<Owner, Timestamp>;

/// Runs until it is dropped.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let org = OrgId::default_org();
    let mut gone = Gone::new();
    loop {
        tokio::time::sleep(EVERY).await;
        gateway.facts.sweep().await;
        let Some(revision) = gateway.revision(org.as_str()) else { continue };
        let (state, now) = (&gateway.plugin_state, gateway.clock.now());
        if let Err(error) = tidy(state, &org, &revision.resources, &mut gone, now).await {
            tracing::warn!(%error, "the state of plugins cannot be looked after; trying again");
        }
    }
}

/// One round over the spaces of an organisation.
async fn tidy(
    state: &PluginState,
    org: &OrgId,
    resources: &Resources,
    gone: &mut Gone,
    now: Timestamp,
) -> Result<(), KeyValueError> {
    let owners: BTreeSet<Owner> = state.owners(org).await?;
    let is_there = |owner: &Owner| match owner {
        Owner::Plugin(id) => resources.plugins.contains_key(id),
        Owner::Connector(id) => resources.connectors.contains_key(id),
    };
    gone.retain(|owner, _| owners.contains(owner) && !is_there(owner));
    for owner in owners {
        let done = if is_there(&owner) {
            state.expire(org, owner.clone()).await.map(drop)
        } else if gone.entry(owner.clone()).or_insert(now).after(GRACE) <= now {
            tracing::info!(%owner, "its values are removed, as it is not configured any more");
            state.remove(org, owner.clone()).await
        } else {
            continue;
        };
        // What one keeps may be broken; that is no reason to let everybody's pile up.
        if let Err(error) = done {
            tracing::warn!(%owner, %error, "its values cannot be looked after; trying again");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
