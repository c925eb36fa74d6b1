//! The breaker: after some failures in a row, calls fail at once for a while.
//!
//! Closed: all pass. Open: none pass until the pause is over. Half open: one at a time
//! passes as a probe; its success closes the breaker, its failure opens it for twice as
//! long. Whoever asks says what time it is.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::connector::ConnectorError;

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    first: Duration,
    longest: Duration,
    /// Failures in a row; below the threshold the breaker is closed, and that is all that
    /// the usual path looks at.
    failures: AtomicU32,
    pause: Mutex<Pause>,
}

#[derive(Debug)]
struct Pause {
    until: Instant,
    length: Duration,
    probing: bool,
}

/// Leave to try, to be told the outcome. Dropped without one it proves nothing, and a probe
/// gives its place to the next.
#[derive(Debug)]
pub(super) struct Passage<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    pub(super) fn new(threshold: u32, first: Duration, longest: Duration, now: Instant) -> Self {
        let pause = Pause { until: now, length: first, probing: false };
        Self {
            threshold: threshold.max(1),
            first,
            longest: longest.max(first),
            failures: AtomicU32::new(0),
            pause: Mutex::new(pause),
        }
    }

    /// Leave for a call.
    pub(super) fn pass(&self, now: Instant) -> Result<Passage<'_>, ConnectorError> {
        if self.is_closed() {
            return Ok(Passage { breaker: self, probe: false });
        }
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let left = pause.until.saturating_duration_since(now);
        if pause.probing || !left.is_zero() {
            return Err(ConnectorError::Open { retry_after: left });
        }
        pause.probing = true;
        Ok(Passage { breaker: self, probe: true })
    }

    /// Leave for system work, which passes at any time.
    pub(super) fn bypass(&self) -> Passage<'_> {
        Passage { breaker: self, probe: false }
    }

    /// While open: how long until the next probe.
    pub(super) fn retry_after(&self, now: Instant) -> Option<Duration> {
        if self.is_closed() {
            return None;
        }
        let pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        Some(pause.until.saturating_duration_since(now))
    }

    fn is_closed(&self) -> bool {
        self.failures.load(Ordering::Acquire) < self.threshold
    }

    fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
            pause.length = self.first;
            self.failures.store(0, Ordering::Release);
        }
    }

    fn failed(&self, probe: bool, now: Instant) {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.failures.load(Ordering::Relaxed);
        let opens = before < self.threshold && before + 1 >= self.threshold;
        if opens {
            pause.length = self.first;
        } else if probe {
            pause.length = (pause.length * 2).min(self.longest);
        }
        if opens || probe {
            pause.until = now + pause.length;
        }
        // Saturates at the threshold: calls that were under way when the breaker opened
        // fail late and must not count on.
        self.failures.store((before + 1).min(self.threshold), Ordering::Release);
    }
}

impl Passage<'_> {
    pub(super) fn succeeded(self) {
        self.breaker.succeeded();
    }

    pub(super) fn failed(self, now: Instant) {
        self.breaker.failed(self.probe, now);
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.pause.lock().unwrap_or_else(PoisonError::into_inner).probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker(now: Instant) -> Breaker {
        Breaker::new(2, SECOND, 3 * SECOND, now)
    }

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.pass(now).unwrap().failed(now);
    }

    fn open(breaker: &Breaker, now: Instant) -> Duration {
        match breaker.pass(now) {
            Err(ConnectorError::Open { retry_after }) => retry_after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn opens_probes_and_closes() {
        let mut now = Instant::now();
        let breaker = breaker(now);
        fail(&breaker, now);
        breaker.pass(now).unwrap().succeeded();
        fail(&breaker, now);
        fail(&breaker, now);
        assert_eq!(open(&breaker, now), SECOND);

        for expected in [2, 3, 3] {
            now += breaker.retry_after(now).unwrap();
            let probe = breaker.pass(now).unwrap();
            open(&breaker, now);
            probe.failed(now);
            assert_eq!(open(&breaker, now), expected * SECOND);
        }

        now += 3 * SECOND;
        breaker.pass(now).unwrap().succeeded();
        assert_eq!(breaker.retry_after(now), None);
        fail(&breaker, now);
        fail(&breaker, now);
        assert_eq!(open(&breaker, now), SECOND, "back-off starts anew");
    }

    #[test]
    fn a_probe_that_is_dropped_gives_its_place_away() {
        let now = Instant::now();
        let breaker = breaker(now);
        fail(&breaker, now);
        fail(&breaker, now);
        drop(breaker.pass(now + SECOND).unwrap());
        assert!(breaker.pass(now + SECOND).is_ok());
    }

    #[test]
    fn late_failures_do_not_prolong_the_pause() {
        let now = Instant::now();
        let breaker = breaker(now);
        let late = breaker.pass(now).unwrap();
        fail(&breaker, now);
        fail(&breaker, now);
        let later = now + Duration::from_millis(400);
        late.failed(later);
        assert_eq!(open(&breaker, later), Duration::from_millis(600));
    }

    #[test]
    fn system_work_that_succeeds_closes_it() {
        let now = Instant::now();
        let breaker = breaker(now);
        fail(&breaker, now);
        fail(&breaker, now);
        breaker.bypass().succeeded();
        assert!(breaker.pass(now).is_ok());
    }
}
