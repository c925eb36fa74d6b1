//! How much a key was used, and how much it may be.
//!
//! Counts values sealed. What is kept of a count is always ahead of it by up to [`BATCH`], so
//! that a process that dies never counts too little. Knows not where counts are kept.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tidegate_model::Timestamp;

/// Values sealed after which a key is replaced.
pub const ROTATE_AT: u64 = 1 << 32;
/// Age after which a key is replaced.
pub const ROTATE_AFTER: Duration = Duration::from_secs(90 * 86_400);
/// Values sealed after which a key seals no more.
pub const HARD_STOP: u64 = 1 << 33;
/// Values sealed from which on somebody should look why the key was not replaced.
const ALARM: u64 = HARD_STOP / 5 * 4;
/// Values that may be sealed between two writings of a count.
pub(crate) const BATCH: u64 = 1 << 16;

/// The use of one key, as it goes.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    sealed: AtomicU64,
    /// Up to where the count is kept already.
    kept: AtomicU64,
    /// When the key was made, in milliseconds since 1970; 0 when that is not known yet.
    created: AtomicU64,
}

/// The use of one version of an organisation's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    /// The version.
    pub version: u32,
    /// Values sealed, at least; after a start up to 65,536 more than there were.
    pub sealed: u64,
    /// When it was made, or first seen by a version that counts; `None` before that is kept.
    pub created: Option<Timestamp>,
}

impl KeyUse {
    /// Whether the key should be replaced now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let is_old = self.created.is_some_and(|at| at.after(ROTATE_AFTER) <= now);
        self.sealed >= ROTATE_AT || is_old
    }

    /// Whether the key is near the end of what it may seal: it was due long ago.
    pub fn is_alarming(&self) -> bool {
        self.sealed >= ALARM
    }
}

impl Usage {
    /// As it was kept.
    pub(crate) fn kept(sealed: u64, created: u64) -> Self {
        let [sealed, kept] = [AtomicU64::new(sealed), AtomicU64::new(sealed)];
        Self { sealed, kept, created: AtomicU64::new(created) }
    }

    /// Counts one value; false when the key may seal no more.
    pub(crate) fn count(&self) -> bool {
        // Relaxed: only the number matters, and it never shrinks.
        let more = |sealed| (sealed < HARD_STOP).then_some(sealed + 1);
        self.sealed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Values sealed.
    pub(crate) fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed)
    }

    /// When the key was made, or 0.
    pub(crate) fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Whether the count has come as far as it is kept, or nothing is kept yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.created() == 0 || self.sealed() >= self.kept.load(Ordering::Relaxed)
    }

    /// Notes what is durable now.
    pub(crate) fn set_kept(&self, kept: u64, created: u64) {
        self.kept.store(kept, Ordering::Relaxed);
        self.created.store(created, Ordering::Relaxed);
    }

    pub(super) fn shown(&self, version: u32) -> KeyUse {
        let created = Some(self.created()).filter(|at| *at != 0).map(Timestamp::from_millis);
        KeyUse { version, sealed: self.sealed(), created }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_due_by_count_or_age_and_alarming_before_the_end() {
        let at = Timestamp::from_millis;
        let key = |sealed, created| KeyUse { version: 1, sealed, created: Some(at(created)) };
        let day = 86_400_000;
        for (key, now, is_due, is_alarming) in [
            (key(0, 1), 89 * day, false, false),
            (key(0, 1), 90 * day + 1, true, false),
            (key(ROTATE_AT - 1, 1), day, false, false),
            (key(ROTATE_AT, 1), day, true, false),
            (key(HARD_STOP / 10 * 8, 1), day, true, true),
            (KeyUse { version: 1, sealed: 5, created: None }, 1_000 * day, false, false),
        ] {
            assert_eq!((key.is_due(at(now)), key.is_alarming()), (is_due, is_alarming), "{key:?}");
        }
    }

    #[test]
    fn what_is_kept_is_never_behind_what_was_sealed() {
        let usage = Usage::default();
        assert!(usage.is_behind(), "nothing is known of it");
        usage.set_kept(BATCH, 7);
        for _ in 0..BATCH {
            assert!(!usage.is_behind());
            assert!(usage.count());
        }
        assert!(usage.is_behind());
        assert_eq!(Usage::kept(9, 7).shown(2).sealed, 9);
    }
}
