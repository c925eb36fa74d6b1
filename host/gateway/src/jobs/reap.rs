//! Ends sessions of legacy clients that nobody uses any more.

use std::{sync::Arc, time::Duration};

use crate::gateway::Gateway;

/// How often sessions are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// Runs until it is dropped.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let idle = Duration::from_secs(gateway.config.limits.session_idle_minutes * 60);
    loop {
        tokio::time::sleep(EVERY).await;
        gateway.sessions.reap(gateway.clock.now(), idle);
    }
}
