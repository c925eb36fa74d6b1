//! Clearing pools of what nobody uses any more, for as long as there is something in them.

use std::{sync::Arc, time::Duration};

/// Calls `sweep` every so often, from one pause on from now; ends when that says that nothing
/// is left, or with the pool. Does nothing outside of a runtime.
pub(super) fn later<P: Send + Sync + 'static>(
    pool: &Arc<P>,
    pause: Duration,
    sweep: fn(&P) -> bool,
) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let pool = Arc::downgrade(pool);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(pause).await;
            let Some(pool) = pool.upgrade() else { return };
            if !sweep(&pool) {
                return;
            }
        }
    });
}
