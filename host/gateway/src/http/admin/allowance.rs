//! How often one caller may ask over the public listener.
//!
//! A bucket per person or agent, in memory, in bounded room; keys and tokens of one holder
//! share it. Who may ask at all is decided before.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tidegate_identity::Caller;
use tidegate_model::{OrgId, UserId};
use tokio::time::Instant;

/// Requests in a minute.
const MOST: f64 = 1_200.0;
/// The time in which a bucket fills up again.
const FILLS: Duration = Duration::from_secs(60);
/// Most buckets; whoever has not asked for a minute needs none.
const ROOM: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// All buckets.
#[derive(Debug, Default)]
pub(super) struct Allowance(Mutex<HashMap<(OrgId, UserId), Bucket>>);

impl Allowance {
    /// Takes one from the caller's bucket; `false` where it is empty.
    pub(super) fn take(&self, caller: &Caller) -> bool {
        self.take_of((caller.org().clone(), caller.user().clone()))
    }

    fn take_of(&self, whose: (OrgId, UserId)) -> bool {
        let now = Instant::now();
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ROOM {
            buckets.retain(|_, bucket| now.duration_since(bucket.at) < FILLS);
        }
        if buckets.len() >= ROOM && !buckets.contains_key(&whose) {
            return false;
        }
        let bucket = buckets.entry(whose).or_insert(Bucket { left: MOST, at: now });
        let gained = now.duration_since(bucket.at).as_secs_f64() / FILLS.as_secs_f64() * MOST;
        *bucket = Bucket { left: (bucket.left + gained).min(MOST), at: now };
        let may = bucket.left >= 1.0;
        if may {
            bucket.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(name: &str) -> (OrgId, UserId) {
        (OrgId::default_org(), UserId::new(name).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_ends_and_comes_back_and_others_have_their_own() {
        let allowance = Allowance::default();
        let taken = (0..2_000).filter(|_| allowance.take_of(whose("a"))).count();
        assert_eq!(taken, 1_200);
        assert!(allowance.take_of(whose("b")));
        tokio::time::advance(Duration::from_secs(1)).await;
        let taken = (0..2_000).filter(|_| allowance.take_of(whose("a"))).count();
        assert_eq!(taken, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_bounded() {
        let allowance = Allowance::default();
        for number in 0..ROOM + 100 {
            allowance.take_of(whose(&format!("u{number}")));
        }
        assert_eq!(allowance.0.lock().unwrap().len(), ROOM);
        tokio::time::advance(FILLS).await;
        assert!(allowance.take_of(whose("late")));
    }
}
