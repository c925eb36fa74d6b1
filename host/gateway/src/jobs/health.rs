//! Ends the process when its store is beyond use.
//!
//! A store that has failed stays so until it is opened anew, and nothing in place is retried:
//! whoever supervises the process starts it again.

use std::{sync::Arc, time::Duration};

use tidegate_store::Health;

use crate::gateway::Gateway;

/// How often the store is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until the store has failed; then says why.
pub(crate) async fn store_failure(gateway: Arc<Gateway>) -> String {
    loop {
        if let Health::Failed(why) = gateway.records().health() {
            return why;
        }
        tokio::time::sleep(EVERY).await;
    }
}
