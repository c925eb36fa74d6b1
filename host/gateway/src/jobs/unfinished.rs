//! Closes the rows of calls that an earlier process left open, once after each start.

use std::{sync::Arc, time::Duration};

use tidegate_governance::audit;

use crate::gateway::Gateway;

/// Looks among the first `size` rows of the log: those that were there before this process.
pub(crate) async fn run(gateway: Arc<Gateway>, size: u64) {
    let Some(log) = gateway.audit.log().cloned() else { return };
    let longest = Duration::from_millis(gateway.config.limits.call_ms);
    let found = tokio::task::spawn_blocking(move || audit::unfinished(&log, size, longest)).await;
    let rows = match found {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => {
            tracing::error!(%error, "calls that an earlier process left open cannot be looked for");
            return;
        }
        // The runtime is shutting down.
        Err(_) => return,
    };
    for row in rows {
        let id = row.id;
        match gateway.audit.abandon(row) {
            Ok(()) => {
                tracing::warn!(call.id = %id, "a call was under way when the process ended last time")
            }
            Err(error) => tracing::error!(call.id = %id, %error, "an open call cannot be closed"),
        }
    }
}
