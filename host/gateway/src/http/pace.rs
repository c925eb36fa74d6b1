//! How often one address may knock at the doors that anybody can knock at.
//!
//! Every door has buckets of its own, in memory, in bounded room, so that nobody who floods
//! one shuts another. A network of IPv6 (/64) counts as one address, since everybody there
//! has many; the site around it (/48) has a wider allowance, since some have many networks.
//! Where room ends, those go who took least: nobody is refused for want of room.
//! [`Slots`] bounds what one source may have under way.

mod slots;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

pub(crate) use slots::{Slot, Slots};

/// Most addresses and sites that a door keeps buckets of; whoever has not knocked for a minute
/// needs none.
const MOST: usize = 20_000;
/// Most networks of a site that have a bucket of their own.
const NETWORKS: usize = 16;
/// What a site may take, in allowances of one address.
const SITE: f64 = 8.0;
/// The time in which a bucket fills up again.
const FILLS: Duration = Duration::from_secs(60);

/// A door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Asking for authorization, and the pages of a sign-in.
    Page,
    /// Presenting a password, or beginning a sign-in with a provider.
    SignIn,
    /// Typing the code that a program without a browser shows.
    Device,
    /// Registering a client.
    Register,
    /// Redeeming codes, refreshing, revoking, introspecting.
    Token,
    /// Presenting a provisioning token that is not the right one.
    Provision,
}

impl Door {
    /// How often in a minute.
    const fn most(self) -> u32 {
        match self {
            Self::Page => 300,
            Self::SignIn | Self::Device | Self::Register | Self::Provision => 60,
            Self::Token => 1_200,
        }
    }
}

/// What is left of an allowance, as parts of a whole one, and since when.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// An IPv4 address, or a site with some of its networks, which the next sixteen bits name.
#[derive(Debug)]
struct Source {
    all: Bucket,
    networks: Vec<(u16, Bucket)>,
}

/// What tells sources apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Address(u32),
    Site([u16; 3]),
}

/// The buckets of one door.
#[derive(Debug, Default)]
struct Buckets(HashMap<Key, Source>);

/// All doors.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    page: Mutex<Buckets>,
    sign_in: Mutex<Buckets>,
    device: Mutex<Buckets>,
    register: Mutex<Buckets>,
    token: Mutex<Buckets>,
    provision: Mutex<Buckets>,
}

impl Pace {
    /// Takes one from the bucket of an address, and of its site; `false` where one is empty.
    pub(crate) fn take(&self, door: Door, address: IpAddr) -> bool {
        let mut buckets = self.of(door).lock().unwrap_or_else(PoisonError::into_inner);
        buckets.take(door, address, Instant::now())
    }

    const fn of(&self, door: Door) -> &Mutex<Buckets> {
        match door {
            Door::Page => &self.page,
            Door::SignIn => &self.sign_in,
            Door::Device => &self.device,
            Door::Register => &self.register,
            Door::Token => &self.token,
            Door::Provision => &self.provision,
        }
    }
}

impl Buckets {
    fn take(&mut self, door: Door, address: IpAddr, now: Instant) -> bool {
        let most = f64::from(door.most());
        let (key, network) = place(address);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.make_room(now);
        }
        let full = Bucket { left: 1.0, at: now };
        let source = self.0.entry(key).or_insert(Source { all: full, networks: Vec::new() });
        source.all.fill(now);
        let Some(network) = network else { return source.all.take(1.0 / most) };
        let of_site = 1.0 / (most * SITE);
        if !source.all.has(of_site) {
            return false;
        }
        // What the site has left is not spent on a network that has nothing left itself.
        source.network(network, now).take(1.0 / most) && source.all.take(of_site)
    }

    /// Forgets whoever has taken nothing for long enough; where that is not enough, the half
    /// that has taken least, which loses the least by it.
    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, source| now.duration_since(source.all.at) < FILLS);
        if self.0.len() < MOST / 2 {
            return;
        }
        let mut left: Vec<f64> = self.0.values().map(|source| source.all.filled(now)).collect();
        let middle = left.len() / 2;
        let (_, middle, _) = left.select_nth_unstable_by(middle, f64::total_cmp);
        let middle = *middle;
        let mut spare = self.0.len() / 2;
        self.0.retain(|_, source| {
            let goes = spare > 0 && source.all.filled(now) >= middle;
            spare -= usize::from(goes);
            !goes
        });
    }
}

impl Source {
    /// The bucket of a network, in place of the fullest where there are many.
    fn network(&mut self, network: u16, now: Instant) -> &mut Bucket {
        let known = self.networks.iter().position(|(known, _)| *known == network);
        let at = known.unwrap_or_else(|| {
            if self.networks.len() >= NETWORKS {
                let filled = |(_, bucket): &(u16, Bucket)| bucket.filled(now);
                let order = |a: &_, b: &_| filled(a).total_cmp(&filled(b));
                let fullest = self.networks.iter().enumerate().max_by(|(_, a), (_, b)| order(a, b));
                let fullest = fullest.map_or(0, |(at, _)| at);
                self.networks.swap_remove(fullest);
            }
            self.networks.push((network, Bucket { left: 1.0, at: now }));
            self.networks.len() - 1
        });
        // The place was found or made above; a bucket of the site's stands in for none.
        let bucket = self.networks.get_mut(at).map_or(&mut self.all, |(_, bucket)| bucket);
        bucket.fill(now);
        bucket
    }
}

impl Bucket {
    /// What is in it by now.
    fn filled(&self, now: Instant) -> f64 {
        let gained = now.duration_since(self.at).as_secs_f64() / FILLS.as_secs_f64();
        (self.left + gained).min(1.0)
    }

    fn fill(&mut self, now: Instant) {
        *self = Self { left: self.filled(now), at: now };
    }

    /// Whether so much can be taken; sums of fractions are a little off.
    fn has(&self, part: f64) -> bool {
        self.left >= part * 0.999_999
    }

    fn take(&mut self, part: f64) -> bool {
        let may = self.has(part);
        if may {
            self.left -= part;
        }
        may
    }
}

/// What an address counts as: itself, or a site and the network there.
fn place(address: IpAddr) -> (Key, Option<u16>) {
    match address.to_canonical() {
        IpAddr::V4(address) => (Key::Address(address.to_bits()), None),
        IpAddr::V6(address) => {
            let [a, b, c, network, ..] = address.segments();
            (Key::Site([a, b, c]), Some(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The network `network` of the site `site`.
    fn within(site: u16, network: u16, host: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, host).into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_ends_and_comes_back() {
        let pace = Pace::default();
        let one = address("192.0.2.1");
        let taken = (0..100).filter(|_| pace.take(Door::SignIn, one)).count();
        assert_eq!(taken, 60);
        assert!(!pace.take(Door::SignIn, address("::ffff:192.0.2.1")), "the same, spelt otherwise");
        assert!(pace.take(Door::SignIn, address("192.0.2.2")), "others have their own");
        for other in [Door::Page, Door::Device, Door::Register, Door::Token, Door::Provision] {
            assert!(pace.take(other, one), "other doors, too");
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        let taken = (0..100).filter(|_| pace.take(Door::SignIn, one)).count();
        assert_eq!(taken, 2);
        tokio::time::advance(FILLS * 10).await;
        let taken = (0..100).filter(|_| pace.take(Door::SignIn, one)).count();
        assert_eq!(taken, 60, "no more is saved up than one allowance");
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_counts_as_one_and_its_site_has_some_more() {
        let pace = Pace::default();
        let taken = (0..100).filter(|host| pace.take(Door::SignIn, within(1, 1, *host))).count();
        assert_eq!(taken, 60, "one network");
        // Another one there has its own, until the site as a whole has had eight.
        let taken = (0..5_000).filter(|n| pace.take(Door::SignIn, within(1, 2 + n, 1))).count();
        assert_eq!(taken, 60 * 7, "the rest of the site");
        assert!(!pace.take(Door::SignIn, within(1, 60_000, 1)));
        assert!(pace.take(Door::SignIn, within(2, 1, 1)), "another site");
        tokio::time::advance(Duration::from_secs(1)).await;
        let taken = (0..100).filter(|n| pace.take(Door::SignIn, within(1, 2 + n, 1))).count();
        assert_eq!(taken, 8);
        let source = pace.sign_in.lock().unwrap();
        assert!(source.0.values().all(|source| source.networks.len() <= NETWORKS));
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_with_nothing_left_does_not_use_up_its_site() {
        let pace = Pace::default();
        let taken = (0..10_000).filter(|_| pace.take(Door::SignIn, within(1, 1, 1))).count();
        assert_eq!(taken, 60);
        let taken = (0..100).filter(|_| pace.take(Door::SignIn, within(1, 2, 1))).count();
        assert_eq!(taken, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_site_takes_one_place_and_a_flood_of_sources_shuts_nobody_out() {
        let pace = Pace::default();
        for n in 0..u16::MAX {
            pace.take(Door::Page, within(1, n, n));
        }
        assert_eq!(pace.page.lock().unwrap().0.len(), 1);
        let (busy, mut refused) = (address("192.0.2.1"), 0);
        while pace.take(Door::Page, busy) {}
        for number in 0..100_000_u32 {
            tokio::time::advance(Duration::from_micros(1)).await;
            let new = IpAddr::V4((0x0a00_0000 + number).into());
            refused += usize::from(!pace.take(Door::Page, new));
            assert!(pace.page.lock().unwrap().0.len() <= MOST);
        }
        assert_eq!(refused, 0, "newcomers were refused for what others do");
        assert!(!pace.take(Door::Page, busy), "whoever took most is not forgotten for it");
        assert!(pace.sign_in.lock().unwrap().0.is_empty(), "other doors know nothing of it");
        tokio::time::advance(FILLS).await;
        assert!(pace.take(Door::Page, busy));
    }
}
