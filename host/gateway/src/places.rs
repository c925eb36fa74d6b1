//! Bounds on what a person may hold at once, and all persons together.
//!
//! A place is taken before something long-lived begins and given back when its guard goes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidegate_identity::Caller;
use tidegate_model::{OrgId, UserId};

type Person = (OrgId, UserId);

/// So many places.
#[derive(Debug)]
pub(crate) struct Places {
    of_one: usize,
    in_all: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    by: HashMap<Person, usize>,
    all: usize,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    person: Person,
}

impl Places {
    /// `of_one` for each person, `in_all` for all together.
    pub(crate) fn new(of_one: usize, in_all: usize) -> Arc<Self> {
        Arc::new(Self { of_one, in_all, taken: Mutex::default() })
    }

    /// A place for this person, while there is one.
    pub(crate) fn take(self: &Arc<Self>, caller: &Caller) -> Option<Place> {
        let person = (caller.org().clone(), caller.user().clone());
        let mut taken = self.lock();
        let own = taken.by.get(&person).copied().unwrap_or_default();
        if taken.all >= self.in_all || own >= self.of_one {
            return None;
        }
        taken.all += 1;
        taken.by.insert(person.clone(), own + 1);
        Some(Place { places: Arc::clone(self), person })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by.get_mut(&self.person) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_identity::method::anonymous::anonymous;

    use super::*;

    fn caller(org: &str) -> Caller {
        anonymous(OrgId::new(org).unwrap()).unwrap()
    }

    #[test]
    fn nobody_takes_more_than_their_share_and_all_not_more_than_there_are() {
        let places = Places::new(2, 3);
        let (one, two) = (caller("one"), caller("two"));
        let first = places.take(&one).unwrap();
        let _second = places.take(&one).unwrap();
        assert!(places.take(&one).is_none(), "a third place of one person");
        let _third = places.take(&two).unwrap();
        assert!(places.take(&two).is_none(), "a fourth place in all");
        drop(first);
        let _again = places.take(&two).unwrap();
        assert!(places.take(&one).is_none());
        assert_eq!(places.lock().by.len(), 2);
    }

    #[test]
    fn nothing_is_remembered_of_who_holds_nothing() {
        let places = Places::new(2, 3);
        drop(places.take(&caller("one")));
        let taken = places.lock();
        assert_eq!((taken.by.len(), taken.all), (0, 0));
    }
}
