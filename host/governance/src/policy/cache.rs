//! A bounded cache that many tasks read at once.
//!
//! Full means empty again: what it holds can always be worked out anew, and a limit that is
//! rarely met is not worth bookkeeping on every read.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
};

/// Keys to shared values, at most `limit` of them.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    entries: RwLock<HashMap<K, Arc<V>>>,
    limit: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// An empty cache.
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: RwLock::new(HashMap::new()), limit }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The value for `key`, if it is there.
    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        // A poisoned lock still guards a whole map: nothing here can stop half way.
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).map(Arc::clone)
    }

    /// Keeps a value; if another task was first, that one's stays and is handed out.
    pub(super) fn put(&self, key: K, value: V) -> Arc<V> {
        let value = Arc::new(value);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.limit && !entries.contains_key(&key) {
            entries.clear();
        }
        Arc::clone(entries.entry(key).or_insert(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_first_value_until_it_is_full() {
        let cache = Cache::new(2);
        let first = cache.put(1, "one");
        assert!(Arc::ptr_eq(&first, &cache.put(1, "other")));
        assert!(Arc::ptr_eq(&first, &cache.get(&1).unwrap()));
        cache.put(2, "two");
        cache.put(3, "three");
        assert_eq!(cache.get(&3).as_deref(), Some(&"three"));
        assert_eq!(cache.get(&1), None);
    }
}
