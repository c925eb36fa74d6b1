//! The breaker of one binding: a guest that traps again and again is left alone for a while.
//!
//! Closed, it only counts traps. Five within thirty seconds open it: hooks then fail at once
//! and run nothing. After thirty seconds one hook is let through as a trial, and how that ends
//! decides. Knows no time of its own (every question brings the moment) and not what becomes
//! of a call whose hook failed.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Traps that open it.
const TRAPS: usize = 5;
/// The time within which they count.
const WINDOW: Duration = Duration::from_secs(30);
/// How long it stays open before a trial.
const PAUSE: Duration = Duration::from_secs(30);

/// Leave to run one hook; how that ended is told to [`Breaker::ended`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Like any other.
    Usual,
    /// The one that decides whether the breaker closes.
    Trial,
}

/// How a hook ended, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The guest did its part.
    Well,
    /// The guest is at fault.
    Trapped,
    /// Nothing was learnt of the guest: a deadline of the call, a fault of the host.
    Neither,
}

#[derive(Debug)]
enum Stand {
    Closed(VecDeque<Instant>),
    Open { until: Instant },
    Trial,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Breaker {
    plugin: Arc<str>,
    /// Whether the stand has to be looked at; hooks of a sound guest take no lock.
    tripped: AtomicBool,
    stand: Mutex<Stand>,
}

impl Breaker {
    pub(crate) fn new(plugin: &Arc<str>) -> Self {
        let stand = Mutex::new(Stand::Closed(VecDeque::new()));
        Self { plugin: Arc::clone(plugin), tripped: AtomicBool::new(false), stand }
    }

    /// Whether a hook may run; `None` while it is open.
    pub(crate) fn admit(&self, now: Instant) -> Option<Pass> {
        if !self.tripped.load(Ordering::Relaxed) {
            return Some(Pass::Usual);
        }
        let mut stand = self.stand();
        match *stand {
            Stand::Closed(_) => Some(Pass::Usual),
            Stand::Open { until } if now >= until => {
                *stand = Stand::Trial;
                Some(Pass::Trial)
            }
            Stand::Open { .. } | Stand::Trial => None,
        }
    }

    /// A hook that was admitted has ended.
    pub(crate) fn ended(&self, pass: Pass, ending: Ending, now: Instant) {
        match (pass, ending) {
            (Pass::Usual, Ending::Trapped) => self.trapped(now),
            (Pass::Usual, Ending::Well | Ending::Neither) => {}
            (Pass::Trial, Ending::Well) => {
                let mut stand = self.stand();
                *stand = Stand::Closed(VecDeque::new());
                // Under the lock, or a trap that opens it meanwhile would be forgotten.
                self.tripped.store(false, Ordering::Relaxed);
                drop(stand);
                tracing::info!(
                    plugin = &*self.plugin,
                    "the plugin runs again: its trial went well"
                );
            }
            (Pass::Trial, Ending::Trapped) => *self.stand() = Stand::Open { until: now + PAUSE },
            (Pass::Trial, Ending::Neither) => *self.stand() = Stand::Open { until: now },
        }
    }

    fn trapped(&self, now: Instant) {
        let mut stand = self.stand();
        // Hooks that were under way when it opened change nothing.
        let Stand::Closed(traps) = &mut *stand else { return };
        traps.push_back(now);
        while traps.len() > TRAPS {
            traps.pop_front();
        }
        let first = traps.front().copied().unwrap_or(now);
        if traps.len() < TRAPS || now.saturating_duration_since(first) > WINDOW {
            return;
        }
        *stand = Stand::Open { until: now + PAUSE };
        self.tripped.store(true, Ordering::Relaxed);
        drop(stand);
        tracing::warn!(
            plugin = &*self.plugin,
            "the plugin failed {TRAPS} times within {} s and is left alone for {} s at a time; \
             its calls go as its `fail` says: see `tidegate plugin logs`, correct it, or roll back",
            WINDOW.as_secs(),
            PAUSE.as_secs()
        );
    }

    fn stand(&self) -> MutexGuard<'_, Stand> {
        self.stand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has to be the same for two bindings to share a breaker: the name, the component and
/// the configuration.
pub(crate) type Identity = (Arc<str>, [u8; 32], [u8; 32]);

/// The breakers of everything that is bound, so that a new revision of the configuration
/// finds those of bindings that it does not change.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<HashMap<Identity, Weak<Breaker>>>);

impl Breakers {
    /// The breaker of a binding, made where nobody has one.
    pub(crate) fn of(&self, identity: Identity) -> Arc<Breaker> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = known.get(&identity).and_then(Weak::upgrade) {
            return breaker;
        }
        known.retain(|_, breaker| breaker.strong_count() > 0);
        let breaker = Arc::new(Breaker::new(&identity.0));
        known.insert(identity, Arc::downgrade(&breaker));
        breaker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn trap(breaker: &Breaker, now: Instant) {
        let pass = breaker.admit(now).unwrap();
        breaker.ended(pass, Ending::Trapped, now);
    }

    fn opened() -> (Breaker, Instant) {
        let breaker = Breaker::new(&"p".into());
        let now = Instant::now();
        (0..TRAPS).for_each(|_| trap(&breaker, now));
        (breaker, now)
    }

    #[test]
    fn five_traps_within_the_window_open_it() {
        let breaker = Breaker::new(&"p".into());
        let start = Instant::now();
        // Never five within thirty seconds.
        for step in 0..50 {
            trap(&breaker, start + SECOND * 8 * step);
        }
        let breaker = Breaker::new(&"p".into());
        for step in 0..4 {
            trap(&breaker, start + SECOND * 7 * step);
            breaker.ended(Pass::Usual, Ending::Well, start);
            breaker.ended(Pass::Usual, Ending::Neither, start);
        }
        trap(&breaker, start + SECOND * 28);
        assert_eq!(breaker.admit(start + SECOND * 28), None);
    }

    #[test]
    fn one_trial_at_a_time_decides() {
        let (breaker, start) = opened();
        assert_eq!(breaker.admit(start + PAUSE - SECOND), None);
        let trial = breaker.admit(start + PAUSE);
        assert_eq!(trial, Some(Pass::Trial));
        assert_eq!(breaker.admit(start + PAUSE), None, "one at a time");

        // It learnt nothing: the next one may try at once.
        breaker.ended(Pass::Trial, Ending::Neither, start + PAUSE);
        assert_eq!(breaker.admit(start + PAUSE), Some(Pass::Trial));
        // It went wrong: another pause.
        breaker.ended(Pass::Trial, Ending::Trapped, start + PAUSE);
        assert_eq!(breaker.admit(start + PAUSE * 2 - SECOND), None);
        assert_eq!(breaker.admit(start + PAUSE * 2), Some(Pass::Trial));
        // It went well: as if nothing had been.
        breaker.ended(Pass::Trial, Ending::Well, start + PAUSE * 2);
        (0..TRAPS - 1).for_each(|_| trap(&breaker, start + PAUSE * 2));
        assert_eq!(breaker.admit(start + PAUSE * 2), Some(Pass::Usual));
    }

    #[test]
    fn what_was_under_way_when_it_opened_changes_nothing() {
        let (breaker, start) = opened();
        breaker.ended(Pass::Usual, Ending::Trapped, start + PAUSE - SECOND);
        assert_eq!(breaker.admit(start + PAUSE), Some(Pass::Trial));
    }

    #[test]
    fn a_binding_keeps_its_breaker_while_anybody_has_it() {
        let breakers = Breakers::default();
        let identity = |config| (Arc::from("p"), [1; 32], [config; 32]);
        let first = breakers.of(identity(1));
        assert!(Arc::ptr_eq(&first, &breakers.of(identity(1))));
        assert!(!Arc::ptr_eq(&first, &breakers.of(identity(2))), "another configuration");
        let now = Instant::now();
        (0..TRAPS).for_each(|_| trap(&first, now));
        drop(first);
        assert_eq!(breakers.of(identity(1)).admit(now), Some(Pass::Usual));
        assert_eq!(breakers.0.lock().unwrap().len(), 1, "those that nobody has are forgotten");
    }
}
