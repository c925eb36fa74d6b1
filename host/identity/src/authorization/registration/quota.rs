//! How many clients may register, so that a flood of them fills nothing.
//!
//! By the hour of the clock, in memory of this process; the total is counted in the store.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::Timestamp;
use tidegate_model as model;
use tidegate_store::{Scan, StoreError, Table};

use super::{RegistrationRefused, row};
use crate::Ground;

/// Registrations of one address (of one /64 network where it is IPv6) in an hour.
pub const PER_SOURCE: u32 = 100;
/// Registrations of everybody in an hour.
pub const PER_HOUR: u32 = 2_000;
/// Clients that registered themselves and are not forgotten yet.
pub const TOTAL: usize = 10_000;

const HOUR: u64 = 3_600_000;
/// How long a count of the store is believed.
const BELIEVED: Duration = Duration::from_secs(600);
/// How long a count is believed that leaves no room.
const FULL_BELIEVED: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Quota(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    hour: u64,
    everybody: u32,
    /// No more entries than registrations in an hour.
    sources: HashMap<IpAddr, u32>,
    stored: usize,
    counted: Option<Timestamp>,
}

impl Quota {
    /// Takes one registration of `source` out of what is left of this hour.
    pub(super) fn take(&self, source: IpAddr, now: Timestamp) -> Result<(), RegistrationRefused> {
        let mut state = self.state();
        let hour = now.as_millis() / HOUR;
        if state.hour != hour {
            state.hour = hour;
            state.everybody = 0;
            state.sources.clear();
        }
        let source = network(source);
        let of_source = state.sources.get(&source).copied().unwrap_or_default();
        if state.everybody >= PER_HOUR || of_source >= PER_SOURCE {
            let retry_after = Duration::from_millis(HOUR - now.as_millis() % HOUR);
            return Err(RegistrationRefused::TooMany { retry_after });
        }
        state.everybody += 1;
        state.sources.insert(source, of_source + 1);
        Ok(())
    }

    /// Refuses when no more fit. Counts the store where that was long ago.
    pub(super) async fn count(&self, ground: &Ground) -> Result<(), RegistrationRefused> {
        let now = ground.clock.now();
        let (stored, counted) = {
            let state = self.state();
            (state.stored, state.counted)
        };
        let believed = if stored >= TOTAL { FULL_BELIEVED } else { BELIEVED };
        let stored = match counted {
            Some(at) if now < at.after(believed) => stored,
            _ => {
                let stored = count(ground, now).await?;
                let mut state = self.state();
                state.stored = stored;
                state.counted = Some(now);
                stored
            }
        };
        if stored >= TOTAL { Err(RegistrationRefused::Full) } else { Ok(()) }
    }

    /// One more is stored.
    pub(super) fn add(&self) {
        let mut state = self.state();
        state.stored = state.stored.saturating_add(1);
    }

    /// One less is stored.
    pub(super) fn subtract(&self) {
        let mut state = self.state();
        state.stored = state.stored.saturating_sub(1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One customer of a network provider has a whole /64.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

async fn count(ground: &Ground, now: Timestamp) -> Result<usize, StoreError> {
    let mut stored = 0;
    let mut after = None;
    loop {
        let scan = Scan {
            prefix: row::PREFIX.to_vec(),
            after: after.take(),
            ..Scan::all(Table::Client, ground.issuer.org())
        };
        let limit = scan.limit;
        let rows = ground.store.scan(scan).await?;
        let is_kept = |end: Option<Timestamp>| end.is_none_or(|end| end > now);
        stored += rows.iter().filter(|row| is_kept(row.record.expires)).count();
        if rows.len() < limit || stored >= TOTAL {
            return Ok(stored);
        }
        after = rows.last().map(|row| row.key.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn an_address_and_everybody_have_an_hour() {
        let quota = Quota::default();
        let start = Timestamp::from_millis(5 * HOUR + 1_000);
        for n in 0..PER_SOURCE {
            // All of these are one customer.
            let source = at(&format!("2001:db8:1:2::{n:x}"));
            assert!(quota.take(source, start).is_ok());
        }
        let refused = quota.take(at("2001:db8:1:2:ffff::1"), start).unwrap_err();
        let RegistrationRefused::TooMany { retry_after } = refused else { panic!("{refused}") };
        assert_eq!(retry_after.as_secs(), 3_599);
        for n in PER_SOURCE..PER_HOUR {
            let source = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            assert!(quota.take(source, start).is_ok());
        }
        assert!(quota.take(at("192.0.2.1"), start).is_err(), "everybody's share is used up");
        assert_eq!(quota.state().sources.len(), (PER_HOUR - PER_SOURCE) as usize + 1);
        let next = Timestamp::from_millis(6 * HOUR);
        assert!(quota.take(at("2001:db8:1:2::1"), next).is_ok());
        assert_eq!(quota.state().sources.len(), 1);
    }

    #[test]
    fn an_address_in_other_clothes_is_the_same() {
        assert_eq!(network(at("::ffff:192.0.2.1")), at("192.0.2.1"));
        assert_ne!(network(at("2001:db8:0:1::1")), network(at("2001:db8:0:2::1")));
    }
}
