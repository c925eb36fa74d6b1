//! How often somebody may try a password.
//!
//! Attempts count against the address they come from, the account, and both together; after a
//! few, each further one makes the next wait longer, up to a bound. Nothing is locked: what
//! waits recovers by itself, and an address from which somebody has signed in to the account
//! does not wait for what others do to it. In memory only, and bounded.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{Clock, OrgId, Timestamp};
use sha2::{Digest, Sha256};
use tidegate_model as model;

/// How many accounts, addresses and pairs are remembered.
const MOST: usize = 65_536;
/// Failures are forgotten after so long without any.
const FORGOTTEN: Duration = Duration::from_mins(15);
/// An address from which somebody signed in is known for so long.
const KNOWN: Duration = Duration::from_hours(30 * 24);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Source,
    Account,
    Pair,
}

impl Kind {
    /// Attempts that cost nothing, and the longest wait.
    const fn bounds(self) -> (u32, Duration) {
        match self {
            // Many people may share an address.
            Self::Source => (20, Duration::from_mins(5)),
            // Whoever attacks an account from everywhere must not keep its owner out for long.
            Self::Account => (20, Duration::from_secs(30)),
            Self::Pair => (5, Duration::from_mins(5)),
        }
    }
}

/// A digest of what is counted, since names are as long as clients please.
type Key = [u8; 32];

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    failures: u32,
    last: Timestamp,
    /// When somebody signed in last, for pairs.
    known: Option<Timestamp>,
}

/// An attempt under way. It counts as failed until it is reported to have succeeded.
#[derive(Debug)]
pub(super) struct Attempt([Option<(Kind, Key)>; 3]);

/// All counts.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<Key, Entry>>,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Mutex::default() }
    }

    /// Begins an attempt, or says how long to wait.
    pub(super) fn begin(
        &self,
        org: &OrgId,
        account: &str,
        source: Option<IpAddr>,
    ) -> Result<Attempt, Duration> {
        let now = self.clock.now();
        let source = source.map(network);
        let source = source.as_deref();
        let pair = source.map(|source| key(&["pair", org.as_str(), account, source]));
        let counted = [
            pair.map(|key| (Kind::Pair, key)),
            source.map(|source| (Kind::Source, key(&["source", source]))),
            Some((Kind::Account, key(&["account", org.as_str(), account]))),
        ];
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pair.and_then(|pair| entries.get(&pair)).and_then(|entry| entry.known);
        let is_known = known.is_some_and(|known| known.after(KNOWN) > now);
        for (kind, key) in counted.iter().flatten() {
            let entry = entries.get(key).copied().unwrap_or_default();
            if let Some(wait) = wait(*kind, entry, now)
                && !(is_known && *kind == Kind::Account)
            {
                return Err(wait);
            }
        }
        make_room(&mut entries, now);
        for (_, key) in counted.iter().flatten() {
            let entry = entries.entry(*key).or_default();
            let is_old = entry.last.after(FORGOTTEN) <= now;
            entry.failures = if is_old { 1 } else { entry.failures.saturating_add(1) };
            entry.last = now;
        }
        Ok(Attempt(counted))
    }

    /// Takes back what an attempt counted.
    pub(super) fn succeeded(&self, attempt: Attempt) {
        let now = self.clock.now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, key) in attempt.0.into_iter().flatten() {
            let Some(entry) = entries.get_mut(&key) else { continue };
            match kind {
                // One account that is known to an address says nothing of its other attempts.
                Kind::Source | Kind::Account => entry.failures = entry.failures.saturating_sub(1),
                Kind::Pair => (entry.failures, entry.known) = (0, Some(now)),
            }
        }
    }
}

/// How long the next attempt must wait: twice as long after each further failure.
fn wait(kind: Kind, entry: Entry, now: Timestamp) -> Option<Duration> {
    let (free, longest) = kind.bounds();
    let over = entry.failures.checked_sub(free)?;
    let wait = Duration::from_secs(1_u64 << over.min(16)).min(longest);
    let end = entry.last.after(wait);
    let left = end.as_millis().checked_sub(now.as_millis()).filter(|left| *left > 0)?;
    // A clock that was set back makes nobody wait longer.
    Some(Duration::from_millis(left).min(longest))
}

/// Forgets what does not matter any more; where that is not enough, what is oldest.
fn make_room(entries: &mut HashMap<Key, Entry>, now: Timestamp) {
    if entries.len() + 3 <= MOST {
        return;
    }
    let matters = |entry: &Entry| {
        entry.last.after(FORGOTTEN) > now || entry.known.is_some_and(|it| it.after(KNOWN) > now)
    };
    entries.retain(|_, entry| matters(entry));
    if entries.len() + 3 > MOST {
        let mut times: Vec<Timestamp> = entries.values().map(|entry| entry.last).collect();
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied().unwrap_or_default();
        entries.retain(|_, entry| entry.last > middle);
    }
}

/// The address, or the network that one subscriber has of IPv6.
fn network(source: IpAddr) -> String {
    match source.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

fn key(parts: &[&str]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Hand;

    const ANN: &str = "ann@example.com";

    fn pace() -> (Pace, Arc<Hand>) {
        let clock = Arc::new(Hand::at(1_000_000));
        (Pace::new(clock.clone() as Arc<dyn Clock>), clock)
    }

    fn from(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn after_a_few_failures_each_waits_longer_and_it_recovers() {
        let (pace, clock) = pace();
        let org = OrgId::default_org();
        for _ in 0..5 {
            pace.begin(&org, ANN, from(1)).unwrap();
        }
        let mut before = Duration::ZERO;
        for _ in 0..12 {
            let wait = pace.begin(&org, ANN, from(1)).unwrap_err();
            assert!(wait >= before && wait <= Duration::from_mins(5), "{wait:?}");
            // Asking too early changes nothing.
            assert_eq!(pace.begin(&org, ANN, from(1)).unwrap_err(), wait);
            clock.pass(u64::try_from(wait.as_millis()).unwrap());
            pace.begin(&org, ANN, from(1)).unwrap();
            before = wait;
        }
        assert_eq!(before, Duration::from_mins(5));
        clock.pass(15 * 60_000);
        for _ in 0..5 {
            pace.begin(&org, ANN, from(1)).unwrap();
        }
        // Another organisation has its own Ann.
        pace.begin(&OrgId::new("acme").unwrap(), ANN, from(1)).unwrap();
    }

    #[test]
    fn an_attack_from_everywhere_does_not_keep_out_who_is_known() {
        let (pace, clock) = pace();
        let org = OrgId::default_org();
        let own = pace.begin(&org, ANN, from(200)).unwrap();
        pace.succeeded(own);
        for n in 0..20 {
            pace.begin(&org, ANN, from(n)).unwrap();
        }
        for n in 20..60 {
            let wait = pace.begin(&org, ANN, from(n)).unwrap_err();
            assert!(wait <= Duration::from_secs(30));
            let own = pace.begin(&org, ANN, from(200)).unwrap();
            pace.succeeded(own);
        }
        clock.pass(30_000);
        pace.begin(&org, ANN, from(60)).unwrap();
    }

    #[test]
    fn one_address_cannot_try_every_account() {
        let (pace, _) = pace();
        let org = OrgId::default_org();
        let tried = (0..1_000).filter(|n| pace.begin(&org, &n.to_string(), from(1)).is_ok());
        assert_eq!(tried.count(), 20);
        let (one, other) = ("2001:db8::1", "2001:db8::ffff");
        assert_eq!(network(one.parse().unwrap()), network(other.parse().unwrap()));
        assert_ne!(network(one.parse().unwrap()), network("2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn it_is_bounded() {
        let (pace, clock) = pace();
        for n in 0..100_000_u32 {
            clock.pass(1);
            let _ = pace.begin(&OrgId::default_org(), &n.to_string(), Some(n.to_be_bytes().into()));
        }
        assert!(pace.entries.lock().unwrap().len() <= MOST);
    }
}
