//! The time a guest runs, and its turn once it runs long.
//!
//! A guest's time is what passes while its future is polled: what it waits for (a host call,
//! its turn) is not counted. One that is not done within a tick gives way after every tick
//! and goes on when it holds a place in the slow lane, which leaves one core to everybody
//! else. Knows nothing of deadlines: whoever asks compares.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Limits;

/// Most that one stretch between two ticks can count. Ticks may be late on a busy machine, and
/// the thread may be held by others while the guest stands still.
const STRETCH: Duration = Limits::TICK.saturating_mul(2);
/// Longest wait for the slow lane; somebody may keep a place without using it.
const PATIENCE: Duration = Duration::from_millis(100);

/// What one hook's guest has used so far.
#[derive(Debug)]
pub(crate) struct Pace {
    origin: Instant,
    /// When the present stretch began, in nanoseconds after the origin.
    since: AtomicU64,
    spent: AtomicU64,
    lane: Arc<Semaphore>,
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Pace {
    pub(crate) fn new(lane: &Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            since: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            lane: Arc::clone(lane),
            place: Mutex::new(None),
        })
    }

    /// Places in the slow lane of this machine.
    pub(crate) fn lane() -> Arc<Semaphore> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Semaphore::new(cores.saturating_sub(1).max(1)))
    }

    /// The time up to now, called while the guest runs.
    pub(crate) fn mark(&self) -> Duration {
        let now = self.now();
        let stretch = now.saturating_sub(self.since.swap(now, Ordering::Relaxed));
        let stretch = stretch.min(nanos(STRETCH));
        Duration::from_nanos(self.spent.fetch_add(stretch, Ordering::Relaxed) + stretch)
    }

    /// The time up to when the guest last stood still.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// Nothing was used yet.
    pub(crate) fn restart(&self) {
        self.spent.store(0, Ordering::Relaxed);
    }

    /// Gives way, and ends when it is this guest's turn again.
    pub(crate) async fn turn(self: Arc<Self>) {
        self.leave();
        tokio::task::yield_now().await;
        let place = Arc::clone(&self.lane).acquire_owned();
        if let Ok(Ok(place)) = tokio::time::timeout(PATIENCE, place).await {
            *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        }
    }

    fn resume(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    fn leave(&self) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A guest's future, timed.
pub(crate) struct Paced<F> {
    future: F,
    pace: Arc<Pace>,
}

impl<F> Paced<F> {
    pub(crate) fn new(future: F, pace: Arc<Pace>) -> Self {
        Self { future, pace }
    }
}

impl<F: Future + Unpin> Future for Paced<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.pace.resume();
        let polled = Pin::new(&mut self.future).poll(context);
        self.pace.mark();
        // Whoever waits runs nothing.
        self.pace.leave();
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn burn(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn only_what_runs_is_counted_and_no_stretch_beyond_its_bound() {
        let pace = Pace::new(&Pace::lane());
        let (told, wait) = tokio::sync::oneshot::channel::<()>();
        let guest = Box::pin(async move {
            burn(Duration::from_millis(2));
            wait.await.ok();
            burn(STRETCH * 3);
        });
        let mut guest = Paced::new(guest, Arc::clone(&pace));
        let first = poll_fn(|task| Poll::Ready(Pin::new(&mut guest).poll(task))).await;
        assert!(first.is_pending());
        let before = pace.spent();
        assert!(before >= Duration::from_millis(2), "{before:?}");
        burn(STRETCH);
        assert_eq!(pace.spent(), before, "it waits");
        told.send(()).unwrap();
        guest.await;
        assert_eq!(pace.spent(), before + STRETCH);
    }

    #[tokio::test]
    async fn the_slow_lane_is_shared_and_given_back_at_every_wait() {
        let lane = Arc::new(Semaphore::new(1));
        let (one, other) = (Pace::new(&lane), Pace::new(&lane));
        Arc::clone(&one).turn().await;
        assert_eq!(lane.available_permits(), 0);
        let mut waiting = Box::pin(Arc::clone(&other).turn());
        for _ in 0..3 {
            let polled = poll_fn(|task| Poll::Ready(waiting.as_mut().poll(task))).await;
            assert!(polled.is_pending(), "the place is taken");
            tokio::task::yield_now().await;
        }
        Paced::new(Box::pin(tokio::task::yield_now()), one).await;
        waiting.await;
        assert_eq!(lane.available_permits(), 0);
        drop(other);
        assert_eq!(lane.available_permits(), 1);
    }
}
