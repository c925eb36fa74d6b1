//! What was revoked: asked on every request, so it is kept in memory.
//!
//! Rows of table `grant`, `"revoked" ‖ 0 ‖ grant id in hexadecimal`, last as long as an access
//! token may: whatever needs a grant reads its row, and that is gone. They are loaded at the
//! start and followed through the store, so that every process knows within a moment.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use model::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_model as model;
use tidegate_store::{Expect, Op, Table};
use tokio::sync::watch;

use super::{
    error::AuthorizationError,
    grant::GrantId,
    rows::{Rows, value},
    token::LONGEST,
};

pub(crate) const PREFIX: &[u8] = b"revoked\0";

/// How long a revocation is known: the longest life of an access token, and a little.
const KEPT: Duration = LONGEST.saturating_add(Duration::from_secs(120));

#[derive(Debug, Serialize, Deserialize)]
struct Revoked {
    at: Timestamp,
}

/// The grants that have been revoked and that tokens may still name.
#[derive(Debug)]
pub struct Revocations {
    /// With the moment from which no token can name them.
    grants: RwLock<HashMap<GrantId, Timestamp>>,
    count: watch::Sender<u64>,
}

impl Revocations {
    pub(crate) fn new() -> Self {
        Self { grants: RwLock::default(), count: watch::Sender::new(0) }
    }

    /// Whether this grant was revoked.
    pub fn has(&self, grant: &GrantId) -> bool {
        self.grants.read().unwrap_or_else(PoisonError::into_inner).contains_key(grant)
    }

    /// Changes whenever something was revoked: whoever serves a stream asks then whether its
    /// caller still may.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    pub(crate) fn insert(&self, grant: GrantId, now: Timestamp) {
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = grants.insert(grant, now.after(KEPT)).is_none();
        drop(grants);
        if is_new {
            self.count.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Lets go of what no token can name any more.
    pub(crate) fn purge(&self, now: Timestamp) {
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        grants.retain(|_, until| *until > now);
    }

    /// Reads all rows.
    pub(crate) async fn load(&self, rows: &Rows) -> Result<(), AuthorizationError> {
        let mut found = Vec::new();
        rows.each(Table::Grant, PREFIX, |row| {
            if let Some(grant) = of_key(&row.key) {
                let at = value::<Revoked>(&row.record, "revocation").map(|revoked| revoked.at);
                found.push((grant, at.unwrap_or_else(|_| rows.clock.now())));
            }
        })
        .await?;
        found.into_iter().for_each(|(grant, at)| self.insert(grant, at));
        Ok(())
    }
}

/// The grant whose revocation has this key.
pub(crate) fn of_key(key: &[u8]) -> Option<GrantId> {
    std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?.parse().ok()
}

/// The step that records a revocation.
pub(crate) fn step(rows: &Rows, grant: GrantId) -> Result<Op, AuthorizationError> {
    let at = rows.clock.now();
    let key = [PREFIX, grant.to_string().as_bytes()].concat();
    rows.put((Table::Grant, key), &Revoked { at }, Some(at.after(KEPT)), Expect::Any)
}
