//! Seeing what other processes do: revocations and signing keys.
//!
//! Owns what is done with the store's changes, and what is due from time to time. Where the
//! store cannot be read, it is tried again until it can.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tidegate_store::{Change, Event, Table};

use super::{AuthorizationError, AuthorizationServer, revocations, signing};

/// How often it is asked whether a new signing key is due.
const DUE: Duration = Duration::from_secs(3_600);
/// How long a failed reading is put off.
const PAUSE: Duration = Duration::from_secs(1);

/// What has to be read anew.
#[derive(Debug, Clone, Copy, Default)]
struct Stale {
    keys: bool,
    revocations: bool,
}

impl AuthorizationServer {
    /// Follows the store's changes until it is closed.
    pub async fn follow(self: Arc<Self>) {
        let waiting = self.changes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut stale = Stale::default();
        let mut changes = waiting.unwrap_or_else(|| {
            stale = Stale { keys: true, revocations: true };
            self.ground.store.watch()
        });
        let mut due = tokio::time::interval(DUE);
        loop {
            if let Err(error) = self.read_anew(&mut stale).await {
                tracing::error!(%error, "revocations or signing keys could not be read: trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            tokio::select! {
                event = changes.next() => match event {
                    Some(Event::Changed(change)) => self.see(&change, &mut stale).await,
                    Some(Event::Missed) => stale = Stale { keys: true, revocations: true },
                    None => return,
                },
                _ = due.tick() => self.look_after().await,
            }
        }
    }

    async fn see(&self, change: &Change, stale: &mut Stale) {
        if change.table != Table::Grant || change.org != *self.ground.issuer.org() {
            return;
        }
        if let Some(grant) = revocations::of_key(&change.key) {
            if change.version.is_some()
                && let Err(error) = self.revocations().heed(&self.rows, grant).await
            {
                // It counts already; how long, the next reading tells.
                tracing::warn!(%error, "a revocation could not be read");
                stale.revocations = true;
            }
        } else if change.key.starts_with(signing::PREFIX) {
            stale.keys = true;
        }
    }

    async fn read_anew(&self, stale: &mut Stale) -> Result<(), AuthorizationError> {
        if stale.keys {
            self.keys.reload().await?;
            stale.keys = false;
        }
        if stale.revocations {
            self.revocations().load(&self.rows).await?;
            stale.revocations = false;
        }
        Ok(())
    }

    async fn look_after(&self) {
        self.revocations().purge(self.ground.clock.now());
        if let Err(error) = self.keys.rotate_if_due().await {
            tracing::error!(%error, "a new signing key is due and could not be made");
        }
    }
}
