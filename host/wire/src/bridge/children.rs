//! All children of one machine: the one without a user's credential, and one for each key.
//!
//! Those with a key are never shared between keys, are ended when nobody has used them for a
//! while or to make room, and never while a request is under way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{
    Limits,
    instance::Instance,
    secrets::{self, Environment},
    slot::{Condition, NotRunning, Slot},
};
use crate::client::stdio::Command;

/// Why no child is to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoChild {
    #[error(transparent)]
    NotRunning(#[from] NotRunning),
    #[error("as many children as allowed are at work: try again in a moment")]
    Busy,
    #[error("the environment is unusable: {0}")]
    Environment(String),
    #[error("this key came with another environment before: each environment needs its own key")]
    Conflict,
    #[error("the bridge is stopping")]
    Stopping,
}

/// The children.
#[derive(Debug)]
pub(super) struct Children {
    name: String,
    command: Command,
    limits: Limits,
    shared: Arc<Slot>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<Box<str>, Held>,
    swept: bool,
    shut: bool,
}

#[derive(Debug)]
struct Held {
    slot: Arc<Slot>,
    used: Instant,
    /// The digest of the environment that the key stands for.
    env: [u8; 32],
}

/// A child that is in use for as long as this is held.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) instance: Arc<Instance>,
    _slot: Arc<Slot>,
    /// The table and the key, to note when it was used last.
    of: Option<(Weak<Children>, Box<str>)>,
}

impl Children {
    pub(super) fn new(name: String, command: Command, limits: &Limits) -> Arc<Self> {
        let shared = Arc::new(Slot::new(name.clone(), limits));
        let limits = limits.clone();
        Arc::new(Self { name, command, limits, shared, table: Mutex::default() })
    }

    /// The child that serves requests with this key, started if need be. `env` is what came
    /// along with the request, still as JSON.
    pub(super) fn running(
        self: &Arc<Self>,
        key: Option<&str>,
        env: Option<&[u8]>,
    ) -> Result<Use, NoChild> {
        let Some(key) = key else {
            if self.table().shut {
                return Err(NoChild::Stopping);
            }
            let instance = self.shared.running(&self.command, Some(&Environment::new()))?;
            return Ok(Use { instance, _slot: Arc::clone(&self.shared), of: None });
        };
        let read = env.map(secrets::environment).transpose().map_err(NoChild::Environment)?;
        let slot = self.slot(key, env)?;
        let instance = slot.running(&self.command, read.as_ref())?;
        let of = Some((Arc::downgrade(self), key.into()));
        Ok(Use { instance, _slot: slot, of })
    }

    /// The child that serves requests with this key, if it runs.
    pub(super) fn current(self: &Arc<Self>, key: Option<&str>) -> Option<Use> {
        let slot = match key {
            None => Arc::clone(&self.shared),
            Some(key) => Arc::clone(&self.table().held.get(key)?.slot),
        };
        let of = key.map(|key| (Arc::downgrade(self), key.into()));
        Some(Use { instance: slot.current()?, _slot: slot, of })
    }

    /// Ends the child of this key, for good.
    pub(super) fn end(&self, key: &str) -> bool {
        let held = self.table().held.remove(key);
        held.is_some_and(|held| held.slot.end().is_some())
    }

    /// Ends all of them, and waits until they are gone.
    pub(super) async fn close(&self) {
        let held: Vec<_> = {
            let mut table = self.table();
            table.shut = true;
            table.held.drain().map(|(_, held)| held.slot).collect()
        };
        let ending: Vec<_> =
            held.iter().chain([&self.shared]).filter_map(|slot| slot.end()).collect();
        futures_util::future::join_all(ending.iter().map(|instance| instance.gone())).await;
    }

    /// Ends what goes on for ever: streams that nobody waits for an answer on.
    pub(super) fn end_streams(&self) {
        let table = self.table();
        let slots = table.held.values().map(|held| &held.slot).chain([&self.shared]);
        slots.filter_map(|slot| slot.current()).for_each(|instance| instance.end_streams());
    }

    /// The shared child, and how many there are beside it.
    pub(super) fn condition(&self) -> (Condition, usize) {
        let count = self.table().held.len();
        (self.shared.condition(), count)
    }

    /// The place for this key, made where there is none.
    fn slot(self: &Arc<Self>, key: &str, env: Option<&[u8]>) -> Result<Arc<Slot>, NoChild> {
        let digest = env.map(|env| <[u8; 32]>::from(Sha256::digest(env)));
        let mut table = self.table();
        if table.shut {
            return Err(NoChild::Stopping);
        }
        if let Some(held) = table.held.get_mut(key) {
            if digest.is_some_and(|digest| digest != held.env) {
                return Err(NoChild::Conflict);
            }
            held.used = Instant::now();
            return Ok(Arc::clone(&held.slot));
        }
        let env = digest.ok_or(NotRunning::NeedsEnvironment)?;
        if table.held.len() >= self.limits.children {
            let idle = table.held.iter().filter(|(_, held)| !held.is_in_use());
            let oldest = idle.min_by_key(|(_, held)| held.used).map(|(key, _)| key.clone());
            table.held.remove(&oldest.ok_or(NoChild::Busy)?);
        }
        let slot = Arc::new(Slot::new(self.name.clone(), &self.limits));
        let held = Held { slot: Arc::clone(&slot), used: Instant::now(), env };
        table.held.insert(key.into(), held);
        if !std::mem::replace(&mut table.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.limits.idle));
        }
        Ok(slot)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.slot) > 1
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let Some((children, key)) = &self.of else { return };
        let Some(children) = children.upgrade() else { return };
        if let Some(held) = children.table().held.get_mut(key) {
            held.used = Instant::now();
        }
    }
}

/// Ends what nobody has used for `idle`, for as long as there is something to end.
async fn sweep(children: Weak<Children>, idle: Duration) {
    let pause = (idle / 4).clamp(Duration::from_millis(50), Duration::from_secs(30));
    loop {
        tokio::time::sleep(pause).await;
        let Some(children) = children.upgrade() else { return };
        let mut table = children.table();
        let gone = |held: &Held| !held.is_in_use() && held.used.elapsed() >= idle;
        // The last handle of a slot ends its child.
        table.held.retain(|_, held| !gone(held));
        table.swept = !table.held.is_empty();
        if !table.swept {
            return;
        }
    }
}
