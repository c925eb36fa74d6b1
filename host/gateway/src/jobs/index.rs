//! Keeps the index over the audit log up to date, and makes it anew where it is missing.

use std::{sync::Arc, time::Duration};

use tidegate_governance::audit::{Index, IndexError};
use tidegate_model::OrgId;
use tidegate_store::{Store, log::Log};

use crate::gateway::Gateway;

/// How often the log is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Runs until it is dropped.
pub(crate) async fn run(gateway: Arc<Gateway>, store: Arc<dyn Store>) {
    let Some(log) = gateway.audit.log() else { return };
    let org = OrgId::default_org();
    loop {
        if let Err(error) = follow(&gateway, &*store, &org, log).await {
            tracing::error!(%error, "the audit index falls behind; the log itself is not touched by this");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn follow(
    gateway: &Gateway,
    store: &dyn Store,
    org: &OrgId,
    log: &Log,
) -> Result<(), IndexError> {
    let mut index = gateway.index.lock().await;
    let index = match index.as_mut() {
        Some(index) => index,
        None => index.insert(Index::open(store, org, log).await?),
    };
    let written = index.advance(store, org, log).await?;
    tracing::debug!(written, "audit index entries were written");
    Ok(())
}
