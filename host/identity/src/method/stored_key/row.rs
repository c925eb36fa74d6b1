//! A stored key as a row and in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use model::{KeyId, Timestamp, UserId, VmcpId};
use serde::{Deserialize, Serialize};
use tidegate_model as model;
use tidegate_store::Record;

use super::{StoredKey, StoredKeyError};
use crate::{directory::Person, method::api_key::KeyHash};

pub(super) const SCHEMA: u32 = 1;
pub(super) const PREFIX: &[u8] = b"key\0";

/// The value of a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyRow {
    pub(super) id: KeyId,
    pub(super) hash: String,
    pub(super) user: UserId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) vmcps: Vec<VmcpId>,
    pub(super) created: Timestamp,
    pub(super) created_by: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_used: Option<Timestamp>,
}

/// A key in memory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) row: KeyRow,
    pub(super) hash: KeyHash,
    pub(super) version: u64,
    /// Milliseconds since 1970 of the last use; 0 for none.
    pub(super) used: AtomicU64,
}

impl Entry {
    pub(super) fn of(row: KeyRow, version: u64) -> Option<Self> {
        let hash = row.hash.parse().ok()?;
        let used = AtomicU64::new(row.last_used.map_or(0, Timestamp::as_millis));
        Some(Self { row, hash, version, used })
    }

    pub(super) fn shown(&self) -> StoredKey {
        let row = self.row.clone();
        let used = self.used.load(Ordering::Relaxed);
        StoredKey {
            id: row.id,
            user: row.user,
            vmcps: row.vmcps,
            created: row.created,
            created_by: row.created_by,
            expires: row.expires,
            last_used: (used > 0).then(|| Timestamp::from_millis(used)),
        }
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.row.expires.is_some_and(|end| end <= now)
    }

    /// Whether it is this person's: not that of somebody who had the name before.
    pub(super) fn is_of(&self, person: &Person) -> bool {
        person.user.active && person.user.created <= self.row.created
    }
}

#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) by_hash: HashMap<KeyHash, Arc<Entry>>,
    pub(super) by_id: BTreeMap<KeyId, Arc<Entry>>,
}

impl Keys {
    pub(super) fn put(&mut self, entry: Entry) {
        if self.by_id.get(&entry.row.id).is_some_and(|known| known.version >= entry.version) {
            return;
        }
        let id = entry.row.id.clone();
        let used = self.remove(&id).map_or(0, |old| old.used.load(Ordering::Relaxed));
        entry.used.fetch_max(used, Ordering::Relaxed);
        let entry = Arc::new(entry);
        self.by_hash.insert(entry.hash, Arc::clone(&entry));
        self.by_id.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: &KeyId) -> Option<Arc<Entry>> {
        let old = self.by_id.remove(id)?;
        self.by_hash.remove(&old.hash);
        Some(old)
    }
}

pub(super) fn row_key(id: &KeyId) -> Vec<u8> {
    [PREFIX, id.as_str().as_bytes()].concat()
}

pub(super) fn key_of(key: &[u8]) -> Option<KeyId> {
    KeyId::new(std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?).ok()
}

/// The key in a row; none that works where it cannot be read.
pub(super) fn entry(id: &KeyId, record: &Record) -> Result<Option<Entry>, StoredKeyError> {
    if record.schema > SCHEMA {
        return Err(StoredKeyError::Newer);
    }
    let row: Option<KeyRow> = serde_json::from_slice(&record.value).ok();
    let entry = row.filter(|row| row.id == *id).and_then(|row| Entry::of(row, record.version));
    if entry.is_none() {
        tracing::error!(key.id = %id, "an API key cannot be read and does not work");
    }
    Ok(entry)
}
