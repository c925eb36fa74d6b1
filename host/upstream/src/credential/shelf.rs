//! What one connector has at hand: material by owner, ready to be attached.
//!
//! Bounded, and forgotten after a while without use, so that secrets of people who are gone
//! do not stay in memory.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_model::Timestamp;

use super::{Material, owner::OwnerKey};

/// Most owners at once.
const MOST: usize = 10_000;
/// How long something lies unused.
const IDLE: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Laid {
    material: Arc<Material>,
    used: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    laid: HashMap<OwnerKey, Laid>,
    /// Grows whenever something is taken away.
    epoch: u64,
}

/// Material by owner.
#[derive(Debug, Default)]
pub(crate) struct Shelf(RwLock<Inner>);

/// A look at the shelf before material is made; what is laid down with it is dropped if the
/// credential has changed meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glance(u64);

impl Shelf {
    /// What is at hand and fresh.
    pub(crate) fn at_hand(&self, owner: OwnerKey, now: Timestamp) -> Option<Arc<Material>> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let laid = inner.laid.get(&owner).filter(|laid| laid.material.is_fresh(now))?;
        laid.used.store(now.as_millis(), Ordering::Relaxed);
        Some(Arc::clone(&laid.material))
    }

    /// To be taken before the stored credential is read.
    pub(crate) fn glance(&self) -> Glance {
        Glance(self.0.read().unwrap_or_else(PoisonError::into_inner).epoch)
    }

    /// Lays material down, unless something was taken away since `glance`.
    pub(crate) fn lay(
        &self,
        owner: OwnerKey,
        material: &Arc<Material>,
        now: Timestamp,
        glance: Glance,
    ) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if inner.epoch != glance.0 {
            return;
        }
        if inner.laid.len() >= MOST {
            inner.laid.retain(|_, laid| !laid.is_idle(now));
        }
        if inner.laid.len() < MOST {
            let used = AtomicU64::new(now.as_millis());
            inner.laid.insert(owner, Laid { material: Arc::clone(material), used });
        }
    }

    /// Takes one away.
    pub(crate) fn drop_one(&self, owner: OwnerKey) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.epoch += 1;
        inner.laid.remove(&owner);
    }

    /// Takes everything away.
    pub(crate) fn clear(&self) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.epoch += 1;
        inner.laid.clear();
    }

    /// Takes away what nobody has used for a while.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.laid.retain(|_, laid| !laid.is_idle(now));
    }
}

impl Laid {
    fn is_idle(&self, now: Timestamp) -> bool {
        Timestamp::from_millis(self.used.load(Ordering::Relaxed)).after(IDLE) <= now
    }
}
