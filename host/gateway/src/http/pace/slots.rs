//! What one source may have under way at once, of work that few can have.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Key, place};

/// How many an address may have, or a network of IPv6.
const ONE: usize = 4;
/// How many the site around such a network may have.
const SITE: usize = 8;

/// Who counts: a source as a whole, and one network of it.
type Holder = (Key, Option<u16>);

/// How many are under way, of whom. Nothing is kept of who has none.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<HashMap<Holder, usize>>);

/// One that is under way; over when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    holders: [Option<Holder>; 2],
}

impl Slots {
    /// One more of this address, while it may have one.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let (key, network) = place(address);
        let bounds = match network {
            None => [Some(((key, None), ONE)), None],
            Some(_) => [Some(((key, None), SITE)), Some(((key, network), ONE))],
        };
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |holder: &Holder| taken.get(holder).copied().unwrap_or_default();
        if bounds.iter().flatten().any(|(holder, most)| has(holder) >= *most) {
            return None;
        }
        let holders = bounds.map(|bound| bound.map(|(holder, _)| holder));
        for holder in holders.iter().flatten() {
            *taken.entry(*holder).or_default() += 1;
        }
        Some(Slot { slots: Arc::clone(self), holders })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        for holder in self.holders.iter().flatten() {
            if let Some(count) = taken.get_mut(holder) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    taken.remove(holder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(slots: &Arc<Slots>, address: &str) -> Option<Slot> {
        slots.take(address.parse().unwrap())
    }

    #[test]
    fn an_address_has_some_and_others_have_their_own() {
        let slots = Arc::new(Slots::default());
        let mut held: Vec<Slot> = (0..9).filter_map(|_| take(&slots, "192.0.2.1")).collect();
        assert_eq!(held.len(), ONE);
        let other = take(&slots, "192.0.2.2");
        assert!(other.is_some() && take(&slots, "::ffff:192.0.2.1").is_none());
        held.pop();
        held.extend(take(&slots, "192.0.2.1"));
        assert!(held.len() == ONE && take(&slots, "192.0.2.1").is_none());
        drop((held, other));
        assert!(slots.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_counts_as_one_and_a_site_has_twice_as_many() {
        let slots = Arc::new(Slots::default());
        let of = |network: usize, host: usize| format!("2001:db8:1:{network:x}::{host:x}");
        let one: Vec<Slot> = (0..9).filter_map(|host| take(&slots, &of(1, host))).collect();
        assert_eq!(one.len(), ONE);
        let rest: Vec<Slot> = (2..99).filter_map(|network| take(&slots, &of(network, 1))).collect();
        assert_eq!(rest.len(), SITE - ONE);
        assert!(take(&slots, "2001:db8:2::1").is_some());
        drop((one, rest));
        assert!(slots.0.lock().unwrap().is_empty());
    }
}
