//! The capability `state`: values that plugins keep between calls.
//!
//! Owns one space for each plugin of an organisation in the store's table `plugin-state`, its
//! quota and what ends in it. A space stays over restarts and over new versions of its plugin.
//! Knows no guest: it is behind `wasm`'s [`KeyValue`].

mod draft;
mod layout;
mod space;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tidegate_model::{Clock, OrgId};
use tidegate_store::{Scan, Store, Table};
use tidegate_wasm::capabilities::state::{KeyValue, KeyValueError};

pub(crate) use layout::Owner;
use space::{Shared, Space, failed};

/// All spaces.
#[derive(Debug)]
pub(crate) struct PluginState {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    open: Mutex<HashMap<(OrgId, Owner), Weak<Shared>>>,
}

impl PluginState {
    /// Over a store; what ends does so by `clock`.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, open: Mutex::default() }
    }

    /// A space of at most `quota` bytes, keys and values together. Every hand that holds it has
    /// the same values; what is there already is not lost when the quota is less.
    pub(crate) fn space(&self, org: &OrgId, owner: Owner, quota: u64) -> Arc<dyn KeyValue> {
        Arc::new(Space { shared: self.shared(org, owner), quota })
    }

    /// Removes a space with all that is in it.
    pub(crate) async fn remove(&self, org: &OrgId, owner: Owner) -> Result<(), KeyValueError> {
        self.shared(org, owner).clear().await
    }

    /// Removes the values of a space whose time is up; how many there were. Reads do not need
    /// it: what is over is not there.
    pub(crate) async fn expire(&self, org: &OrgId, owner: Owner) -> Result<usize, KeyValueError> {
        self.shared(org, owner).expire().await
    }

    /// Whose spaces hold anything.
    pub(crate) async fn owners(&self, org: &OrgId) -> Result<BTreeSet<Owner>, KeyValueError> {
        let mut owners = BTreeSet::new();
        let mut scan = Scan { limit: 1, ..Scan::all(Table::PluginState, org) };
        loop {
            let rows = self.store.scan(scan.clone()).await.map_err(|error| failed(&error))?;
            let Some(row) = rows.into_iter().next() else { return Ok(owners) };
            scan.after = Some(match layout::owner_of(&row.key) {
                Some((owner, past)) => {
                    owners.insert(owner);
                    past
                }
                // A later version may keep something else here.
                None => row.key,
            });
        }
    }

    fn shared(&self, org: &OrgId, owner: Owner) -> Arc<Shared> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (org.clone(), owner);
        if let Some(shared) = open.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        if open.len() == open.capacity() {
            open.retain(|_, shared| shared.strong_count() > 0);
        }
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let shared = Arc::new(Shared::new(store, clock, org.clone(), &key.1));
        open.insert(key, Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests;
