//! Rows in memory: for tests, and as the measure for other backends. Forgets everything.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use crate::rows::{RawRow, RawWrite, Rows, RowsError};

/// A map.
#[derive(Default)]
pub struct MemoryRows(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Rows for MemoryRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<RawRow>, RowsError> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let from = from.max(prefix).to_vec();
        let found = rows.range(from..).take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(&self, writes: &[RawWrite]) -> Result<(), RowsError> {
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in writes {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(())
    }

    fn reopen(&self) -> Result<(), RowsError> {
        Ok(())
    }

    fn has_room(&self) -> bool {
        true
    }

    fn warning(&self) -> Option<String> {
        None
    }
}

impl std::fmt::Debug for MemoryRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryRows")
    }
}
