//! What is known of tokens that were presented before.
//!
//! A bounded map by a digest that is keyed for this process, so that no stranger chooses where
//! in it something goes. Two generations: what is used stays, what is not falls out. Knows
//! nothing of what it keeps, nor whether it still holds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};

use crate::authorization::{error::AuthorizationError, spelling};

const SHARDS: usize = 16;
/// Of one generation in one shard: 16,384 at most in all.
const ROOM: usize = 512;

/// Where a token's entry is.
pub(super) type Key = [u8; 32];

struct Generations<T> {
    young: HashMap<Key, Arc<T>>,
    old: HashMap<Key, Arc<T>>,
}

/// Entries by token.
pub(super) struct Cache<T> {
    secret: Sha256,
    shards: [Mutex<Generations<T>>; SHARDS],
}

impl<T> Cache<T> {
    pub(super) fn new() -> Result<Self, AuthorizationError> {
        let secret = Sha256::new_with_prefix(spelling::random::<32>()?.as_slice());
        let empty = || Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() });
        Ok(Self { secret, shards: std::array::from_fn(|_| empty()) })
    }

    /// Where the entry of a token is, or would be.
    pub(super) fn key(&self, token: &str) -> Key {
        self.secret.clone().chain_update(token.as_bytes()).finalize().into()
    }

    fn shard(&self, key: &Key) -> Option<&Mutex<Generations<T>>> {
        let [first, ..] = key;
        self.shards.get(usize::from(*first) % SHARDS)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<T>> {
        let mut shard = self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shard.young.get(key) {
            return Some(Arc::clone(found));
        }
        let found = shard.old.remove(key)?;
        shard.put(*key, Arc::clone(&found));
        Some(found)
    }

    pub(super) fn put(&self, key: Key, entry: Arc<T>) {
        if let Some(shard) = self.shard(&key) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).put(key, entry);
        }
    }
}

impl<T> Generations<T> {
    fn put(&mut self, key: Key, entry: Arc<T>) {
        if self.young.len() >= ROOM && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let cache: Cache<usize> = Cache::new().unwrap();
        let used = cache.key("used");
        cache.put(used, Arc::new(7));
        for at in 0..100_000 {
            cache.put(cache.key(&at.to_string()), Arc::new(at));
            assert_eq!(cache.get(&used).as_deref(), Some(&7), "after {at}");
        }
        let count = |shard: &Mutex<Generations<usize>>| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        };
        let all: usize = cache.shards.iter().map(count).sum();
        assert!(all <= 2 * ROOM * SHARDS, "{all}");
        assert!(cache.get(&cache.key("0")).is_none());
        let other: Cache<usize> = Cache::new().unwrap();
        assert_ne!(other.key("used"), used);
    }
}
