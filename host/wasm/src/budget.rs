//! The memory of all instances together.
//!
//! Every instance takes from it as it grows and gives all of it back when it ends. Before
//! anybody is refused, instances that were made ahead give way. Knows nothing of what one
//! instance may have.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::spares::Spares;

/// See the module.
pub(crate) struct Budget {
    most: usize,
    taken: AtomicUsize,
    ahead: Mutex<Vec<Weak<Spares>>>,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("most", &self.most)
            .field("taken", &self.taken())
            .finish_non_exhaustive()
    }
}

impl Budget {
    /// So many bytes, of which none are taken.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0), ahead: Mutex::default() })
    }

    /// Takes so many bytes; `false` when they are not there, even after every instance that
    /// was made ahead has gone.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        while !self.try_take(bytes) {
            if !self.reclaim() {
                return false;
            }
        }
        true
    }

    /// Gives back what was taken.
    pub(crate) fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of all instances that there are.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether there is plenty left for what nobody needs yet.
    pub(crate) fn is_half_free(&self) -> bool {
        self.taken() <= self.most / 2
    }

    /// Whoever makes instances ahead may be asked to give way.
    pub(crate) fn register(&self, spares: &Arc<Spares>) {
        let mut all = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(spares));
    }

    /// Lets an instance that was made ahead go, from where there are most.
    pub(crate) fn reclaim(&self) -> bool {
        let all = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let richest = all.iter().filter_map(Weak::upgrade).max_by_key(|spares| spares.count());
        drop(all);
        richest.is_some_and(|spares| spares.give_way())
    }

    fn try_take(&self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_comes_back() {
        let budget = Budget::new(100);
        assert!(budget.take(60) && budget.is_half_free() == (budget.taken() <= 50));
        assert!(!budget.take(41) && !budget.take(usize::MAX));
        assert!(budget.take(40) && !budget.take(1) && budget.take(0));
        assert!(!budget.is_half_free());
        budget.give(60);
        assert_eq!((budget.taken(), budget.is_half_free()), (40, true));
        budget.give(40);
        assert_eq!(budget.taken(), 0);
    }
}
