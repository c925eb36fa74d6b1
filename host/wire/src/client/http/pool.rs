//! Sessions at a legacy server, one for each client and what it can do.
//!
//! Owns who has which, and when one is given up: the least recently used beyond a number,
//! and any that was not used for a while. Sets none up and knows no bytes; a session that is
//! given up ends itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::Instant;

use super::session::Session;
use crate::client::{Affinity, Exchange, Profile, sweep};

/// Whose session it is, and what it declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) affinity: Option<Affinity>,
    pub(super) profile: Profile,
}

/// The gateway's own session: never given up.
pub(super) const OWN: Key = Key { affinity: None, profile: Profile::ALL };

impl Key {
    /// Whose session a request belongs to.
    pub(super) fn of(exchange: Option<&Exchange>) -> Self {
        let affinity = exchange.and_then(|exchange| exchange.affinity);
        match (affinity, exchange) {
            (Some(_), Some(exchange)) => Self { affinity, profile: exchange.can.profile },
            _ => OWN,
        }
    }
}

/// The place of one session; empty until it is set up.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// Held by whoever sets the session up.
    pub(super) setting_up: tokio::sync::Mutex<()>,
    session: RwLock<Option<Arc<Session>>>,
}

impl Seat {
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn take_place(&self, session: &Arc<Session>) {
        let mut place = self.session.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::clone(session));
    }

    /// Empties the seat, unless another session has taken it already.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        let mut place = self.session.write().unwrap_or_else(PoisonError::into_inner);
        if place.as_ref().is_some_and(|held| Arc::ptr_eq(held, session)) {
            *place = None;
        }
    }

    fn is_in_use(&self) -> bool {
        let held = self.session();
        self.setting_up.try_lock().is_err() || held.is_some_and(|session| session.is_busy())
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    most: usize,
    idle: Duration,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Option<Affinity>, Vec<Entry>>,
    /// Every entry but the gateway's own by its turn: the least recently used first.
    order: BTreeMap<u64, Key>,
    turns: u64,
    is_swept: bool,
}

#[derive(Debug)]
struct Entry {
    profile: Profile,
    seat: Arc<Seat>,
    turn: u64,
    used: Instant,
}

impl Pool {
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        Self { most, idle, table: Mutex::default() }
    }

    /// The seat for `key`, which is the most recently used one now. Seats in use are never
    /// taken away, so that there may be more than the limit while that many are in use.
    pub(super) fn seat(self: &Arc<Self>, key: Key) -> Arc<Seat> {
        let mut table = self.table();
        let (seat, is_new) = table.seat(key);
        let given_up = if is_new { table.make_room(self.most) } else { Vec::new() };
        if !table.is_swept && key != OWN {
            table.is_swept = true;
            sweep::later(self, (self.idle / 4).max(Duration::from_secs(1)), Self::sweep);
        }
        drop(table);
        give_up(given_up);
        seat
    }

    /// The session for `key`, where there is one.
    pub(super) fn session(&self, key: Key) -> Option<Arc<Session>> {
        self.table().entry(key)?.seat.session()
    }

    /// Whether there is any session.
    pub(super) fn has_sessions(&self) -> bool {
        let table = self.table();
        table.entries.values().flatten().any(|entry| entry.seat.session().is_some())
    }

    /// The sessions of one client, each with what it declares.
    pub(super) fn of(&self, affinity: Affinity) -> Vec<(Profile, Arc<Session>)> {
        let table = self.table();
        let entries = table.entries.get(&Some(affinity)).into_iter().flatten();
        entries.filter_map(|entry| Some((entry.profile, entry.seat.session()?))).collect()
    }

    /// Takes the seats of one client away.
    pub(super) fn release(&self, affinity: Affinity) {
        let mut table = self.table();
        let entries = table.entries.remove(&Some(affinity)).unwrap_or_default();
        for entry in &entries {
            table.order.remove(&entry.turn);
        }
        drop(table);
        give_up(entries.into_iter().map(|entry| entry.seat).collect());
    }

    /// Takes all sessions away.
    pub(super) fn take_all(&self) -> Vec<Arc<Session>> {
        let mut table = self.table();
        table.order.clear();
        let entries = std::mem::take(&mut table.entries);
        drop(table);
        entries.into_values().flatten().filter_map(|entry| entry.seat.session()).collect()
    }

    /// Gives up what was not used for a while; tells whether anything is left.
    fn sweep(&self) -> bool {
        let mut table = self.table();
        let given_up = table.take_idle(self.idle);
        table.is_swept = !table.order.is_empty();
        let is_left = table.is_swept;
        drop(table);
        give_up(given_up);
        is_left
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn seat(&mut self, key: Key) -> (Arc<Seat>, bool) {
        self.turns += 1;
        let turn = self.turns;
        if key != OWN {
            self.order.insert(turn, key);
        }
        let entries = self.entries.entry(key.affinity).or_default();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.profile == key.profile) {
            self.order.remove(&std::mem::replace(&mut entry.turn, turn));
            entry.used = Instant::now();
            return (Arc::clone(&entry.seat), false);
        }
        let seat = Arc::<Seat>::default();
        // Nearly every client has one session alone.
        entries.reserve_exact(1);
        let (profile, used) = (key.profile, Instant::now());
        entries.push(Entry { profile, seat: Arc::clone(&seat), turn, used });
        (seat, true)
    }

    fn make_room(&mut self, most: usize) -> Vec<Arc<Seat>> {
        let excess = self.order.len().saturating_sub(most);
        let oldest = |table: &Self, turn: &u64, key: &Key| {
            *turn != table.turns && !table.entry(*key).is_some_and(|entry| entry.seat.is_in_use())
        };
        let turns = self.order.iter().filter(|(turn, key)| oldest(self, turn, key));
        let turns: Vec<_> = turns.take(excess).map(|(turn, _)| *turn).collect();
        turns.into_iter().filter_map(|turn| self.remove(turn)).collect()
    }

    fn take_idle(&mut self, idle: Duration) -> Vec<Arc<Seat>> {
        let is_idle = |entry: &Entry| {
            let left = entry.seat.session().map(|session| session.left());
            !entry.seat.is_in_use() && left.is_none_or(|left| left.elapsed() >= idle)
        };
        let turns: Vec<_> = self
            .order
            .iter()
            .map_while(|(turn, key)| Some((turn, self.entry(*key)?)))
            .take_while(|(_, entry)| entry.used.elapsed() >= idle)
            .filter(|(_, entry)| is_idle(entry))
            .map(|(turn, _)| *turn)
            .collect();
        turns.into_iter().filter_map(|turn| self.remove(turn)).collect()
    }

    fn entry(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&key.affinity)?.iter().find(|entry| entry.profile == key.profile)
    }

    fn remove(&mut self, turn: u64) -> Option<Arc<Seat>> {
        let key = self.order.remove(&turn)?;
        let entries = self.entries.get_mut(&key.affinity)?;
        let at = entries.iter().position(|entry| entry.turn == turn)?;
        let seat = entries.swap_remove(at).seat;
        if entries.is_empty() {
            self.entries.remove(&key.affinity);
        }
        Some(seat)
    }
}

/// Lets go of sessions: each ends when nothing is under way in it any more.
fn give_up(seats: Vec<Arc<Seat>>) {
    for session in seats.into_iter().filter_map(|seat| seat.session()) {
        session.hush();
    }
}
