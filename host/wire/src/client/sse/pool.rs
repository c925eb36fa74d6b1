//! The connections of one server, one for each client: bounded, and closed when nobody has
//! used them for a while.

use std::{
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Connection;
use crate::client::{Affinity, PeerError, Profile, sweep};

/// What tells connections apart.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) affinity: Option<Affinity>,
    pub(super) profile: Profile,
    /// With the credential: a connection is opened with it and never used with another.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// The place of one connection, which may not be open.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: Key,
    /// Ends the connection, and its set-up.
    pub(super) stop: CancellationToken,
    pub(super) connection: AsyncMutex<Option<Arc<Connection>>>,
    used: Mutex<Instant>,
}

/// A slot in use; it is kept as long.
#[derive(Debug)]
pub(super) struct Lease(Arc<Slot>);

#[derive(Debug)]
pub(super) struct Pool {
    limit: usize,
    keep: Duration,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    /// Whether somebody looks for idle ones; read and written with `slots` locked.
    is_swept: AtomicBool,
}

impl Pool {
    pub(super) fn new(limit: usize, keep: Duration) -> Self {
        Self { limit, keep, slots: Mutex::default(), is_swept: AtomicBool::new(false) }
    }

    /// The slot of this key. Where there is no room, the one that has not been used for the
    /// longest time gives way; one in use never does.
    pub(super) fn lease(self: &Arc<Self>, key: Key) -> Result<Lease, PeerError> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(&key) {
            return Ok(Lease(Arc::clone(slot)));
        }
        if slots.len() >= self.limit {
            let idle = slots.values().filter(|slot| is_idle(slot));
            let Some(oldest) = idle.min_by_key(|slot| slot.used()).map(|slot| slot.key.clone())
            else {
                let what = format!("all {} connections to the server are in use", self.limit);
                return Err(PeerError::Unsendable(what));
            };
            slots.remove(&oldest);
        }
        let slot = Arc::new(Slot {
            key: key.clone(),
            stop: CancellationToken::new(),
            connection: AsyncMutex::new(None),
            used: Mutex::new(Instant::now()),
        });
        slots.insert(key, Arc::clone(&slot));
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            sweep::later(self, self.keep, Self::sweep);
        }
        Ok(Lease(slot))
    }

    /// The open connections of a client.
    pub(super) fn of(&self, affinity: Affinity) -> Vec<Arc<Connection>> {
        let slots = self.slots();
        let own = slots.values().filter(|slot| slot.key.affinity == Some(affinity));
        own.filter_map(|slot| slot.connection.try_lock().ok()?.clone()).collect()
    }

    /// Ends the connections of a client.
    pub(super) fn release(&self, affinity: Affinity) {
        self.end(|slot| slot.key.affinity == Some(affinity));
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        self.end(|_| true);
    }

    fn end(&self, which: impl Fn(&Slot) -> bool) {
        self.slots().retain(|_, slot| {
            let ends = which(slot);
            if ends {
                slot.stop.cancel();
            }
            !ends
        });
    }

    /// Closes connections that nobody uses any more; tells whether any are left.
    fn sweep(&self) -> bool {
        let mut slots = self.slots();
        slots.retain(|_, slot| !is_idle(slot) || slot.used().elapsed() < self.keep);
        let is_left = !slots.is_empty();
        self.is_swept.store(is_left, Ordering::Relaxed);
        is_left
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody but the pool holds it.
fn is_idle(slot: &Arc<Slot>) -> bool {
    Arc::strong_count(slot) == 1
}

impl Slot {
    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Lease {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl fmt::Debug for Key {
    /// Leaves the headers out: they may hold a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("affinity", &self.affinity)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    fn key(affinity: u128) -> Key {
        let affinity = Some(Affinity(affinity));
        Key {
            affinity,
            profile: Profile::ALL,
            headers: vec![(AUTHORIZATION, HeaderValue::from_static("canary"))],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_pool_is_bounded_and_forgets_who_is_idle() {
        let keep = Duration::from_secs(10);
        let pool = Arc::new(Pool::new(2, keep));
        let first = pool.lease(key(1)).unwrap();
        let stop = first.stop.clone();
        drop(pool.lease(key(2)).unwrap());
        // The idle one gives way, one in use never does.
        let third = pool.lease(key(3)).unwrap();
        let full = pool.lease(key(4)).unwrap_err();
        assert!(full.nothing_sent() && full.to_string().contains("all 2 connections"), "{full}");
        tokio::time::sleep(keep * 3).await;
        assert!(pool.lease(key(4)).is_err(), "what is in use is kept");
        drop(first);
        let again = pool.lease(key(1)).unwrap();
        assert!(!again.stop.is_cancelled());
        drop((again, third));
        // Both are idle: the one that was used longer ago gives way.
        tokio::time::sleep(keep / 2).await;
        drop(pool.lease(key(3)).unwrap());
        drop(pool.lease(key(5)).unwrap());
        assert_eq!(pool.affinities(), [Some(Affinity(3)), Some(Affinity(5))]);
        tokio::time::sleep(keep * 3).await;
        assert_eq!(pool.affinities(), []);
        assert!(!stop.is_cancelled() && !format!("{pool:?}").contains("canary"));
        let lease = pool.lease(key(6)).unwrap();
        pool.release(Affinity(6));
        assert!(lease.stop.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_alone_looks_for_idle_connections() {
        let pool = Arc::new(Pool::new(2, Duration::from_secs(10)));
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        for round in 0..5 {
            drop(pool.lease(key(round)).unwrap());
            pool.release(Affinity(round));
        }
        assert_eq!(tasks(), 1);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(tasks(), 0);
        drop(pool.lease(key(1)).unwrap());
        assert_eq!(tasks(), 1, "and begins again");
    }

    impl Pool {
        fn affinities(&self) -> Vec<Option<Affinity>> {
            let mut found: Vec<_> = self.slots().keys().map(|key| key.affinity).collect();
            found.sort_by_key(|affinity| affinity.map(|a| a.0));
            found
        }
    }
}
