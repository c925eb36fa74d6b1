//! How often one address may knock at the doors that anybody can knock at.
//!
//! A bucket per door and address, in memory, in bounded room. A network of the sixth version
//! counts as one address, since everybody there has many.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Most buckets that are kept; whoever has not knocked for a minute has none.
const MOST: usize = 20_000;
/// The time in which a bucket fills up again.
const FILLS: Duration = Duration::from_secs(60);

/// A door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    /// Asking for authorization, and the pages of a sign-in.
    Page,
    /// Presenting a password, or beginning a sign-in with a provider.
    SignIn,
    /// Registering a client.
    Register,
    /// Redeeming codes, refreshing, revoking, introspecting.
    Token,
}

impl Door {
    /// How often in a minute.
    const fn most(self) -> u32 {
        match self {
            Self::Page => 300,
            Self::SignIn => 60,
            Self::Register => 60,
            Self::Token => 1_200,
        }
    }
}

/// How much is left of a minute's allowance, and since when.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<HashMap<(Door, IpAddr), Bucket>>);

impl Pace {
    /// Takes one from the bucket of an address; `false` where it is empty.
    pub(crate) fn take(&self, door: Door, address: IpAddr) -> bool {
        let (now, most) = (Instant::now(), f64::from(door.most()));
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            buckets.retain(|_, bucket| now.duration_since(bucket.at) < FILLS);
        }
        let key = (door, network(address));
        if buckets.len() >= MOST && !buckets.contains_key(&key) {
            // So many at once mean no good; those that are known go on.
            return false;
        }
        let bucket = buckets.entry(key).or_insert(Bucket { left: most, at: now });
        let gained = now.duration_since(bucket.at).as_secs_f64() / FILLS.as_secs_f64() * most;
        *bucket = Bucket { left: (bucket.left + gained).min(most), at: now };
        let may = bucket.left >= 1.0;
        if may {
            bucket.left -= 1.0;
        }
        may
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_ends_and_comes_back() {
        let pace = Pace::default();
        let one = address("192.0.2.1");
        let taken = (0..100).filter(|_| pace.take(Door::SignIn, one)).count();
        assert_eq!(taken, 60);
        assert!(pace.take(Door::SignIn, address("192.0.2.2")), "others have their own");
        assert!(pace.take(Door::Page, one), "other doors, too");
        tokio::time::advance(Duration::from_secs(2)).await;
        let taken = (0..100).filter(|_| pace.take(Door::SignIn, one)).count();
        assert_eq!(taken, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_counts_as_one_and_room_is_bounded() {
        let pace = Pace::default();
        let of = |last: u16| address(&format!("2001:db8::{last:x}"));
        let taken = (0..100).filter(|last| pace.take(Door::SignIn, of(*last))).count();
        assert_eq!(taken, 60);
        for number in 0..30_000_u32 {
            pace.take(Door::Page, IpAddr::V4((0x0a00_0000 + number).into()));
        }
        assert!(pace.0.lock().unwrap().len() <= MOST);
        tokio::time::advance(FILLS).await;
        assert!(pace.take(Door::Page, address("198.51.100.1")), "room comes back");
    }
}
