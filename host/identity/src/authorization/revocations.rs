//! What was revoked: asked on every request, so it is kept in memory.
//!
//! Rows of table `grant`, `"revoked" ‖ 0 ‖ grant id in hexadecimal`, last as long as an access
//! token may: whatever needs a grant reads its row, and that is gone. Where a grant was never
//! written down there is one token of it, and the row lasts no longer than that, so that a
//! client which takes tokens and gives them up fills nothing. They are loaded at the start and
//! followed through the store, so that every process knows within a moment.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use model::Timestamp;
use serde::Serialize;
use tidegate_model as model;
use tidegate_store::{Expect, Op, Table};
use tokio::sync::watch;

use super::{error::AuthorizationError, grant::GrantId, rows::Rows, token::LONGEST};

pub(crate) const PREFIX: &[u8] = b"revoked\0";

/// How far the clocks of two processes may be apart.
const SKEW: Duration = Duration::from_secs(120);

/// How long a revocation is known at most: the longest life of an access token, and a little.
const KEPT: Duration = LONGEST.saturating_add(SKEW);

#[derive(Debug, Serialize)]
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

    /// Until when a revocation is known here.
    #[cfg(test)]
    pub(crate) fn until(&self, grant: &GrantId) -> Option<Timestamp> {
        self.grants.read().unwrap_or_else(PoisonError::into_inner).get(grant).copied()
    }

    /// Changes whenever something was revoked: whoever serves a stream asks then whether its
    /// caller still may.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// Takes a revocation over that is known until then.
    pub(crate) fn insert(&self, grant: GrantId, until: Timestamp) {
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = grants.insert(grant, until).is_none();
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
            let until = row.record.expires.unwrap_or_else(|| end(rows.clock.now(), None));
            found.extend(of_key(&row.key).map(|grant| (grant, until)));
        })
        .await?;
        found.into_iter().for_each(|(grant, until)| self.insert(grant, until));
        Ok(())
    }

    /// Takes over one that another process has written: at once, and then for as long as its
    /// row says.
    pub(crate) async fn heed(&self, rows: &Rows, grant: GrantId) -> Result<(), AuthorizationError> {
        if self.has(&grant) {
            return Ok(());
        }
        self.insert(grant, end(rows.clock.now(), None));
        if let Some(until) = rows.expiry(Table::Grant, &key(grant)).await? {
            self.insert(grant, until);
        }
        Ok(())
    }
}

/// Until when a revocation of this moment is known; `last` is the end of the only token there
/// is, where there is but one.
pub(crate) fn end(now: Timestamp, last: Option<Timestamp>) -> Timestamp {
    let most = now.after(KEPT);
    last.map_or(most, |last| last.after(SKEW).min(most))
}

fn key(grant: GrantId) -> Vec<u8> {
    [PREFIX, grant.to_string().as_bytes()].concat()
}

/// The grant whose revocation has this key.
pub(crate) fn of_key(key: &[u8]) -> Option<GrantId> {
    std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?.parse().ok()
}

/// The step that records a revocation, known until then.
pub(crate) fn step(
    rows: &Rows,
    grant: GrantId,
    until: Timestamp,
) -> Result<Op, AuthorizationError> {
    let revoked = Revoked { at: rows.clock.now() };
    rows.put((Table::Grant, key(grant)), &revoked, Some(until), Expect::Any)
}
