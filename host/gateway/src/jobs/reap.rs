//! Ends sessions of legacy clients that nobody uses any more.

use std::{sync::Arc, time::Duration};

use crate::{gateway::Gateway, session::Session};

/// How often sessions are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// Runs until it is dropped.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let idle = Duration::from_secs(gateway.config.limits.session_idle_minutes * 60);
    loop {
        tokio::time::sleep(EVERY).await;
        for session in gateway.sessions.reap(gateway.clock.now(), idle) {
            release(&gateway, &session);
        }
    }
}

/// A session has ended: the connectors give up what they keep for it.
pub(crate) fn release(gateway: &Gateway, session: &Session) {
    let Some(revision) = gateway.revision(session.org().as_str()) else { return };
    for connector in revision.connectors.values() {
        connector.release(session.affinity());
    }
}
