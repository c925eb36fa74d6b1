//! How often somebody may try a password.
//!
//! Attempts count against the address they come from, the site around it where that is IPv6,
//! the account, and address and account together; after a few, each further one makes the
//! next wait longer, up to a bound. Nothing is locked: what waits recovers by itself, and an
//! address from which somebody has signed in to the account does not wait for what others do
//! to it. In memory only; each kind has room of its own, and where that ends, those go who
//! failed least, so that nobody gets rid of their own count by filling it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{Clock, OrgId, Timestamp};
use sha2::{Digest, Sha256};
use tidegate_model as model;

/// How many are remembered of each kind.
const MOST: usize = 32_768;
/// Failures are forgotten after so long without any.
const FORGOTTEN: Duration = Duration::from_mins(15);
/// An address from which somebody signed in is known for so long.
const KNOWN: Duration = Duration::from_hours(30 * 24);
/// The most addresses that are known of one account.
const KNOWN_EACH: usize = 8;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pair,
    Source,
    Site,
    Account,
}

impl Kind {
    /// Attempts that cost nothing, and the longest wait.
    const fn bounds(self) -> (u32, Duration) {
        match self {
            Self::Pair => (5, Duration::from_mins(5)),
            // Many people may share an address.
            Self::Source => (20, Duration::from_mins(5)),
            // And many networks one site.
            Self::Site => (100, Duration::from_mins(5)),
            // Whoever attacks an account from everywhere must not keep its owner out for long.
            Self::Account => (20, Duration::from_secs(30)),
        }
    }
}

/// A digest of what is counted, since names are as long as clients please.
type Key = [u8; 32];

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    failures: u32,
    last: Timestamp,
}

/// What is counted of one kind.
#[derive(Debug, Default)]
struct Table(HashMap<Key, Entry>);

/// Where people signed in from: account, then address.
#[derive(Debug, Default)]
struct Places(HashMap<Key, Vec<(Key, Timestamp)>>);

/// An attempt under way. It counts as failed until it is reported to have succeeded.
#[derive(Debug)]
pub(super) struct Attempt {
    counted: [Option<(Kind, Key)>; 4],
    account: Key,
}

/// All counts.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    pairs: Table,
    sources: Table,
    sites: Table,
    accounts: Table,
    places: Places,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, counts: Mutex::default() }
    }

    /// Begins an attempt, or says how long to wait.
    pub(super) fn begin(
        &self,
        org: &OrgId,
        name: &str,
        source: Option<IpAddr>,
    ) -> Result<Attempt, Duration> {
        let now = self.clock.now();
        let account = key(&["account", org.as_str(), name]);
        let (source, site) = source.map(places).unwrap_or_default();
        let pair = source.as_deref().map(|it| key(&["pair", org.as_str(), name, it]));
        let counted = [
            pair.map(|key| (Kind::Pair, key)),
            source.map(|it| (Kind::Source, key(&["source", &it]))),
            site.map(|it| (Kind::Site, key(&["site", &it]))),
            Some((Kind::Account, account)),
        ];
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = pair.is_some_and(|pair| counts.places.has(&account, &pair, now));
        for (kind, key) in counted.iter().flatten() {
            if let Some(wait) = counts.of(*kind).wait(*kind, key, now)
                && !(is_known && *kind == Kind::Account)
            {
                return Err(wait);
            }
        }
        for (kind, key) in counted.iter().flatten() {
            counts.of(*kind).failed(*key, now);
        }
        Ok(Attempt { counted, account })
    }

    /// Takes back what an attempt counted.
    pub(super) fn succeeded(&self, attempt: Attempt) {
        let now = self.clock.now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, key) in attempt.counted.into_iter().flatten() {
            if kind == Kind::Pair {
                counts.pairs.0.remove(&key);
                counts.places.note(attempt.account, key, now);
            } else if let Some(entry) = counts.of(kind).0.get_mut(&key) {
                // One account that is known to an address says nothing of its other attempts.
                entry.failures = entry.failures.saturating_sub(1);
            }
        }
    }
}

impl Counts {
    const fn of(&mut self, kind: Kind) -> &mut Table {
        match kind {
            Kind::Pair => &mut self.pairs,
            Kind::Source => &mut self.sources,
            Kind::Site => &mut self.sites,
            Kind::Account => &mut self.accounts,
        }
    }
}

impl Table {
    /// How long the next attempt must wait: twice as long after each further failure.
    fn wait(&self, kind: Kind, key: &Key, now: Timestamp) -> Option<Duration> {
        let entry = self.0.get(key)?;
        let (free, longest) = kind.bounds();
        let over = entry.failures.checked_sub(free)?;
        let wait = Duration::from_secs(1_u64 << over.min(16)).min(longest);
        let end = entry.last.after(wait);
        let left = end.as_millis().checked_sub(now.as_millis()).filter(|left| *left > 0)?;
        // A clock that was set back makes nobody wait longer.
        Some(Duration::from_millis(left).min(longest))
    }

    fn failed(&mut self, key: Key, now: Timestamp) {
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.make_room(now);
        }
        let entry = self.0.entry(key).or_default();
        let is_old = entry.last.after(FORGOTTEN) <= now;
        entry.failures = if is_old { 1 } else { entry.failures.saturating_add(1) };
        entry.last = now;
    }

    /// Forgets what is over; where that is not enough, the half that failed least.
    fn make_room(&mut self, now: Timestamp) {
        self.0.retain(|_, entry| entry.last.after(FORGOTTEN) > now);
        let mut spare = self.0.len() / 2;
        if self.0.len() < MOST / 2 {
            return;
        }
        let mut worth: Vec<_> = self.0.values().map(Entry::worth).collect();
        let (_, middle, _) = worth.select_nth_unstable(spare);
        let middle = *middle;
        self.0.retain(|_, entry| {
            let goes = spare > 0 && entry.worth() <= middle;
            spare -= usize::from(goes);
            !goes
        });
    }
}

impl Entry {
    /// How much would be lost with it.
    const fn worth(&self) -> (u32, u64) {
        (self.failures, self.last.as_millis())
    }
}

impl Places {
    fn has(&self, account: &Key, place: &Key, now: Timestamp) -> bool {
        let places = self.0.get(account).into_iter().flatten();
        places.into_iter().any(|(known, at)| known == place && at.after(KNOWN) > now)
    }

    /// Notes a sign-in. Only those get here who have a password, so who is known is never
    /// pushed out by who guesses.
    fn note(&mut self, account: Key, place: Key, now: Timestamp) {
        if self.0.len() >= MOST && !self.0.contains_key(&account) {
            let last = |places: &Vec<(Key, Timestamp)>| places.iter().map(|(_, at)| *at).max();
            let oldest = self.0.iter().min_by_key(|(_, places)| last(places)).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        let places = self.0.entry(account).or_default();
        places.retain(|(known, at)| *known != place && at.after(KNOWN) > now);
        if places.len() >= KNOWN_EACH {
            places.remove(0);
        }
        places.push((place, now));
    }
}

/// What an address counts as: itself, or the network that a subscriber has of IPv6 (/64), and
/// the site that may be theirs as well (/48).
fn places(source: IpAddr) -> (Option<String>, Option<String>) {
    match source.to_canonical() {
        IpAddr::V4(address) => (Some(address.to_string()), None),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            (Some(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")), Some(format!("{a:x}:{b:x}:{c:x}::/48")))
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
    }

    fn of_site(network: u16, host: u16) -> Option<IpAddr> {
        Some(IpAddr::from([0x2001, 0xdb8, 1, network, 0, 0, 0, host]))
    }

    #[test]
    fn a_network_counts_as_one_address_and_its_site_has_some_more() {
        let (pace, _) = pace();
        let org = OrgId::default_org();
        let attempt = |n: u16, from| pace.begin(&org, &n.to_string(), from).is_ok();
        assert_eq!((0..1_000).filter(|n| attempt(*n, of_site(1, *n))).count(), 20);
        assert_eq!((0..1_000).filter(|n| attempt(2_000 + n, of_site(2 + n, 1))).count(), 80);
        assert!(
            pace.begin(&org, ANN, Some(IpAddr::from([0x2001, 0xdb8, 2, 0, 0, 0, 0, 1]))).is_ok()
        );
        // A mapped address is the one it maps.
        assert_eq!(
            places("::ffff:192.0.2.1".parse().unwrap()),
            places("192.0.2.1".parse().unwrap())
        );
    }

    #[test]
    fn a_flood_rids_nobody_of_their_count_and_forgets_nobody_who_signed_in() {
        let (pace, clock) = pace();
        let org = OrgId::default_org();
        let own = pace.begin(&org, ANN, from(200)).unwrap();
        pace.succeeded(own);
        while pace.begin(&org, ANN, from(1)).is_ok() {}
        for n in 0..20_u8 {
            let _ = pace.begin(&org, ANN, from(n));
        }
        for n in 0..100_000_u32 {
            let _ = pace.begin(&org, &n.to_string(), Some((0x0a00_0000 + n).to_be_bytes().into()));
        }
        assert!(pace.begin(&org, ANN, from(1)).is_err(), "the pair");
        assert!(pace.begin(&org, ANN, from(100)).is_err(), "the account");
        assert!(pace.begin(&org, ANN, from(200)).is_ok(), "the owner");
        // One person's many networks are their own affair.
        for n in 0..100 {
            clock.pass(60_000);
            let attempt = pace.begin(&org, ANN, of_site(n, 1)).unwrap_or_else(|wait| {
                clock.pass(u64::try_from(wait.as_millis()).unwrap());
                pace.begin(&org, ANN, of_site(n, 1)).unwrap()
            });
            pace.succeeded(attempt);
        }
        let counts = pace.counts.lock().unwrap();
        assert_eq!(counts.places.0.values().map(Vec::len).collect::<Vec<_>>(), [KNOWN_EACH]);
    }

    #[test]
    fn it_is_bounded() {
        let (pace, clock) = pace();
        for n in 0..100_000_u32 {
            clock.pass(1);
            let _ = pace.begin(&OrgId::default_org(), &n.to_string(), Some(n.to_be_bytes().into()));
        }
        let counts = pace.counts.lock().unwrap();
        for table in [&counts.pairs, &counts.sources, &counts.sites, &counts.accounts] {
            assert!(table.0.len() <= MOST);
        }
    }
}
