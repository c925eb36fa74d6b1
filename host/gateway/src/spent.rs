//! Handles that are good for one use.
//!
//! Remembers those that were used until they would have expired anyway, per person and
//! within a bound; where there is no room to remember another one, it is not good for any.
//! Of this process alone: behind several gateways the same handle could be used once at each.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tidegate_identity::Caller;
use tidegate_model::{OrgId, Timestamp, UserId};

/// Most used handles of one person that are remembered in one lifetime.
const OF_ONE: usize = 4_096;
/// Most of all persons together.
const IN_ALL: usize = 262_144;

type Person = (OrgId, UserId);
type Mark = [u8; 16];

/// What was used, in two generations: a handle outlives the one in which it was used by less
/// than a lifetime, so what is older than both has expired.
#[derive(Debug)]
pub(crate) struct Spent {
    lifetime: Duration,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    since: Timestamp,
    now: HashMap<Person, HashSet<Mark>>,
    before: HashMap<Person, HashSet<Mark>>,
    count: usize,
}

impl Spent {
    /// For handles that live no longer than `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, used: Mutex::default() }
    }

    /// Uses a handle up; whether this was its first use.
    pub(crate) fn take(&self, caller: &Caller, handle: &str, now: Timestamp) -> bool {
        let digest = Sha256::digest(handle.as_bytes());
        let mark: Mark = digest.first_chunk().copied().unwrap_or_default();
        let person = (caller.org().clone(), caller.user().clone());
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.since.after(self.lifetime) <= now {
            let skipped = used.since.after(self.lifetime * 2) <= now;
            used.before = std::mem::take(&mut used.now);
            if skipped {
                used.before.clear();
            }
            (used.since, used.count) = (now, 0);
        }
        let was_used = |marks: Option<&HashSet<Mark>>| marks.is_some_and(|it| it.contains(&mark));
        if was_used(used.before.get(&person)) || used.count >= IN_ALL {
            return false;
        }
        let marks = used.now.entry(person).or_default();
        let is_first = marks.len() < OF_ONE && marks.insert(mark);
        used.count += usize::from(is_first);
        is_first
    }
}

#[cfg(test)]
mod tests {
    use tidegate_identity::method::anonymous;

    use super::*;

    #[test]
    fn a_handle_is_good_once_as_long_as_it_could_be_good_at_all() {
        let caller = anonymous::anonymous(OrgId::default_org()).unwrap();
        let spent = Spent::new(Duration::from_secs(10));
        let take = |handle: &str, second: u64| {
            spent.take(&caller, handle, Timestamp::from_millis(second * 1_000))
        };
        assert!(take("a", 100) && take("b", 101));
        assert!(!take("a", 102) && !take("b", 109));
        assert!(take("c", 109));
        // Nine seconds later it has not expired, though its generation is over.
        assert!(!take("c", 118) && !take("a", 112));
        // Two lifetimes later nobody asks any more; what is remembered is gone.
        assert!(take("c", 140));
    }

    #[test]
    fn without_room_nothing_is_good() {
        let caller = anonymous::anonymous(OrgId::default_org()).unwrap();
        let spent = Spent::new(Duration::from_secs(10));
        let now = Timestamp::from_millis(50_000);
        assert!((0..OF_ONE).all(|number| spent.take(&caller, &number.to_string(), now)));
        assert!(!spent.take(&caller, "one more", now));
    }
}
