//! All machines of one connector: which one takes a call.
//!
//! What belongs to no client goes to the machine with the least to do. What a client keeps in
//! a machine (a session of the legacy era, a process of its own) is pinned to that machine by
//! its id: when it is lost, the client is told so once and begins anew elsewhere; nothing
//! jumps silently. All machines are started with the first call, and stopped when nobody has
//! called for a while, if that is wanted.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tidegate_wire::{
    client::{Affinity, Wanted},
    mcp::revision::Era,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::slot::{Plan, Running, Slot};
use crate::connector::ConnectorError;

/// The most clients that are remembered; beyond it the least recently seen are forgotten.
const PINS: usize = 10_000;
/// How long a client is remembered that does not call: as long as its session is kept.
const FORGET: Duration = Duration::from_secs(600);
/// How often is looked whether somebody has called.
const LOOK: Duration = Duration::from_secs(1);

/// The machines of one connector.
#[derive(Debug)]
pub(super) struct Fleet {
    slots: Vec<Arc<Slot>>,
    per_caller: bool,
    idle: Option<Duration>,
    changes: watch::Sender<u64>,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    pins: HashMap<Affinity, Pin>,
    made: u64,
    used: Instant,
    is_watched: bool,
}

/// Where what a client keeps is.
#[derive(Debug, Clone)]
struct Pin {
    slot: usize,
    machine: String,
    /// Tells apart what a client kept before it was released and after.
    number: u64,
    used: Instant,
}

/// A machine for one call.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) running: Arc<Running>,
    /// The number of what the client keeps there, where it keeps anything.
    pub(super) number: Option<u64>,
}

impl Fleet {
    /// `count` machines, none of them started. `idle` is how long they run unused.
    pub(super) fn new(
        plan: Plan,
        count: usize,
        per_caller: bool,
        idle: Option<Duration>,
    ) -> Arc<Self> {
        let plan = Arc::new(plan);
        let changes = watch::Sender::new(0);
        let slot = || Arc::new(Slot::new(Arc::clone(&plan), changes.clone()));
        let slots = std::iter::repeat_with(slot).take(count.max(1)).collect();
        let table =
            Table { pins: HashMap::new(), made: 0, used: Instant::now(), is_watched: false };
        Arc::new(Self { slots, per_caller, idle, changes, table: Mutex::new(table) })
    }

    /// A machine for a call of this client.
    pub(super) async fn choose(
        self: &Arc<Self>,
        affinity: Option<Affinity>,
    ) -> Result<Choice, ConnectorError> {
        self.note_use();
        let Some(affinity) = affinity else {
            return Ok(Choice { running: self.any().await?, number: None });
        };
        if let Some(pin) = self.pinned(affinity) {
            let kept = self.slots.get(pin.slot).and_then(|slot| slot.current());
            return match kept.filter(|running| running.machine.id == pin.machine) {
                Some(running) => Ok(Choice { running, number: Some(pin.number) }),
                None => {
                    self.release(affinity);
                    Err(ConnectorError::MachineLost)
                }
            };
        }
        let running = self.any().await?;
        if !self.keeps(&running) {
            return Ok(Choice { running, number: None });
        }
        let number = self.pin(affinity, &running);
        Ok(Choice { running, number: Some(number) })
    }

    /// Any machine, the one with the least to do; the first to run where none does.
    pub(super) async fn any(self: &Arc<Self>) -> Result<Arc<Running>, ConnectorError> {
        let running: Vec<_> = self.current();
        if running.len() < self.slots.len() {
            // The others come up meanwhile.
            self.slots.iter().for_each(Slot::start);
        }
        if let Some(least) = running.into_iter().min_by_key(|running| running.under_way()) {
            return Ok(least);
        }
        let mut failed = None;
        let mut waiting: Vec<_> = self.slots.iter().map(|slot| Box::pin(slot.running())).collect();
        while !waiting.is_empty() {
            let (first, _, others) = futures_util::future::select_all(waiting).await;
            match first {
                Ok(running) => return Ok(running),
                Err(error) => failed = Some(error),
            }
            waiting = others;
        }
        Err(failed.unwrap_or(ConnectorError::Closed))
    }

    /// Whether clients keep something at a server like this one, so that it matters which
    /// machine they come to. With a single machine only processes of their own do: the
    /// session of a single shared process is made anew, as it always was.
    fn keeps(&self, running: &Running) -> bool {
        let is_modern = || running.info().is_some_and(|info| info.revision.era() == Era::Modern);
        self.per_caller || (self.slots.len() > 1 && !is_modern())
    }

    fn pinned(&self, affinity: Affinity) -> Option<Pin> {
        let mut table = self.table();
        let pin = table.pins.get_mut(&affinity)?;
        pin.used = Instant::now();
        Some(pin.clone())
    }

    fn pin(&self, affinity: Affinity, running: &Running) -> u64 {
        let is_its = |slot: &Arc<Slot>| {
            slot.current().is_some_and(|current| current.machine.id == running.machine.id)
        };
        let slot = self.slots.iter().position(is_its).unwrap_or_default();
        let mut table = self.table();
        if table.pins.len() >= PINS {
            table.pins.retain(|_, pin| pin.used.elapsed() < FORGET);
        }
        if table.pins.len() >= PINS {
            let oldest = table.pins.iter().min_by_key(|(_, pin)| pin.used).map(|(of, _)| *of);
            oldest.into_iter().for_each(|oldest| drop(table.pins.remove(&oldest)));
        }
        // Two first calls of one client at once: the first to get here decides for both.
        let made = table.made + 1;
        table.made = made;
        let machine = running.machine.id.clone();
        let pin = Pin { slot, machine, number: made, used: Instant::now() };
        table.pins.entry(affinity).or_insert(pin).number
    }

    /// Forgets where a client was; tells at which machine, and what it kept there.
    pub(super) fn release(&self, affinity: Affinity) -> Option<(Arc<Running>, u64)> {
        let pin = self.table().pins.remove(&affinity)?;
        let running = self.slots.get(pin.slot)?.current()?;
        (running.machine.id == pin.machine).then_some((running, pin.number))
    }

    /// The machine that a client is pinned to, and what it keeps there.
    pub(super) fn of(&self, affinity: Affinity) -> Option<(Arc<Running>, u64)> {
        let pin = self.table().pins.get(&affinity).cloned()?;
        let running = self.slots.get(pin.slot)?.current()?;
        (running.machine.id == pin.machine).then_some((running, pin.number))
    }

    /// The machines that take requests.
    pub(super) fn current(&self) -> Vec<Arc<Running>> {
        self.slots.iter().filter_map(|slot| slot.current()).collect()
    }

    /// The places, running or not.
    pub(super) fn slots(&self) -> &[Arc<Slot>] {
        &self.slots
    }

    /// Counts starts, and the times that a server said that a list has changed.
    pub(super) const fn changes(&self) -> &watch::Sender<u64> {
        &self.changes
    }

    /// A machine to listen to, as soon as one runs. Nobody starts one only to listen to it,
    /// unless single resources or tasks are to be followed.
    pub(super) async fn to_listen_to(
        self: &Arc<Self>,
        mut wanted: watch::Receiver<Wanted>,
    ) -> Result<Arc<Running>, ConnectorError> {
        loop {
            if !wanted.borrow_and_update().is_empty() {
                self.note_use();
                return self.any().await;
            }
            if self.slots.iter().all(|slot| slot.is_shut()) {
                return Err(ConnectorError::Closed);
            }
            let news: Vec<_> = self.slots.iter().map(|slot| Box::pin(slot.states())).collect();
            if let Some(running) = self.current().into_iter().next() {
                return Ok(running);
            }
            tokio::select! {
                _ = futures_util::future::select_all(news) => {}
                changed = wanted.changed() => changed.map_err(|_| ConnectorError::Closed)?,
            }
        }
    }

    /// Ends all machines, and waits until they are gone. None is started any more.
    pub(super) async fn close(&self) {
        futures_util::future::join_all(self.slots.iter().map(|slot| slot.close())).await;
    }

    /// [`Fleet::close`] without waiting.
    pub(super) fn shut(&self) {
        self.slots.iter().for_each(|slot| drop(slot.shut()));
    }

    /// Notes that somebody calls, and begins to look for the time when nobody does.
    fn note_use(self: &Arc<Self>) {
        let mut table = self.table();
        table.used = Instant::now();
        if let Some(idle) = self.idle
            && !std::mem::replace(&mut table.is_watched, true)
        {
            tokio::spawn(rest(Arc::downgrade(self), idle));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops machines that nobody has called for `idle`, for as long as there is anything to stop.
async fn rest(fleet: Weak<Fleet>, idle: Duration) {
    loop {
        sleep(idle.min(LOOK)).await;
        let Some(fleet) = fleet.upgrade() else { return };
        let mut table = fleet.table();
        let is_busy = fleet.current().iter().any(|running| running.under_way() > 0);
        if is_busy || table.used.elapsed() < idle {
            continue;
        }
        // What somebody keeps in them would be lost: whoever wants them to rest says so.
        table.pins.clear();
        table.is_watched = false;
        drop(table);
        fleet.slots.iter().for_each(|slot| slot.rest());
        return;
    }
}
