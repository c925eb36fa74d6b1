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

/// Since when owners of spaces of one organisation were found gone.
type Gone = BTreeMap<Owner, Timestamp>;

/// Runs until it is dropped.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let mut gone: BTreeMap<OrgId, Gone> = BTreeMap::new();
    loop {
        tokio::time::sleep(EVERY).await;
        gateway.facts.sweep().await;
        let organisations = gateway.organisations();
        gone.retain(|org, _| organisations.iter().any(|known| known.id == *org));
        for organisation in organisations {
            // What is out of service, or removed, keeps what it has.
            let Some(revision) = organisation.revision() else { continue };
            let org = &organisation.id;
            let (state, now) = (&gateway.plugin_state, gateway.clock.now());
            let gone = gone.entry(org.clone()).or_default();
            if let Err(error) = tidy(state, org, &revision.resources, gone, now).await {
                tracing::warn!(%org, %error, "the state of plugins cannot be looked after; trying again");
            }
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
