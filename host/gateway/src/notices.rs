//! What connectors and revisions tell of their own accord, on its way to whoever listens.
//!
//! Owns one channel for all of it and the set of resources that each connector is asked to
//! tell about, shared between clients. Knows no client: what one caller may be told is
//! [`follower`]'s, what it follows is [`follows`]'s.

pub(crate) mod follower;
pub(crate) mod follows;
pub(crate) mod view;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tidegate_model::{ConnectorId, Json};
use tidegate_upstream::connector::{Connector, List};
use tokio::sync::broadcast;

/// Notices that a slow listener may be behind before it is told that it missed some.
const WAITING: usize = 1_024;
/// Most resources that one connector is asked to tell about.
const MOST: usize = 10_000;

/// Something that clients may want to hear of.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    /// A revision was put into effect, and in it these lists that connectors had announced.
    Revised(Arc<[(ConnectorId, List)]>),
    /// A connector said that this list has changed, and it reads as before.
    Listed {
        /// The connector.
        connector: ConnectorId,
        /// The list.
        list: List,
    },
    /// One resource has changed: `params` as the connector wrote them.
    Resource {
        /// The connector.
        connector: ConnectorId,
        /// With the connector's own URI.
        params: Json,
    },
    /// A task has changed its state: `params` as the connector wrote them.
    Task {
        /// The connector.
        connector: ConnectorId,
        /// With the connector's own task id.
        params: Json,
    },
}

/// A resource in upstream terms: its connector and its original URI.
pub(crate) type Place = (ConnectorId, Box<str>);

/// Why resources cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "clients follow {MOST} resources of connector `{0}` already, which is the most; try again when some were let go"
)]
pub(crate) struct Crowded(pub(crate) ConnectorId);

/// The hub.
#[derive(Debug)]
pub(crate) struct Notices {
    sender: broadcast::Sender<Notice>,
    followed: Arc<Mutex<Followed>>,
}

/// What is followed, by connector.
type Followed = BTreeMap<ConnectorId, Subject>;

/// One connector and how many clients follow each of its resources.
#[derive(Debug, Default)]
struct Subject {
    /// Never kept alive by this: a connector that was replaced must be able to close.
    connector: Option<Weak<dyn Connector>>,
    uris: BTreeMap<Box<str>, usize>,
}

/// A share in what is followed; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Following {
    followed: Arc<Mutex<Followed>>,
    held: BTreeSet<Place>,
}

impl Default for Notices {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(WAITING), followed: Arc::default() }
    }
}

impl Notices {
    /// Everything from now on. One that lags behind loses the oldest and is told so.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.sender.subscribe()
    }

    /// Passes something on; without listeners it is lost, as it may.
    pub(crate) fn tell(&self, notice: Notice) {
        // Fails only where nobody listens.
        let _ = self.sender.send(notice);
    }

    /// A revision with these connectors is in effect: one that replaced another of its name
    /// is asked for what the other was asked for.
    pub(crate) fn revised(
        &self,
        connectors: &HashMap<ConnectorId, Arc<dyn Connector>>,
        announced: Vec<(ConnectorId, List)>,
    ) {
        let mut followed = lock(&self.followed);
        followed.retain(|id, subject| connectors.contains_key(id) || !subject.uris.is_empty());
        for (id, subject) in followed.iter_mut() {
            if !connectors.contains_key(id) {
                subject.connector = None;
            }
        }
        for (id, connector) in connectors {
            let subject = followed.entry(id.clone()).or_default();
            let weak = Arc::downgrade(connector);
            if !subject.connector.as_ref().is_some_and(|known| known.ptr_eq(&weak)) {
                subject.connector = Some(weak);
                if !subject.uris.is_empty() {
                    subject.hand_over();
                }
            }
        }
        drop(followed);
        self.tell(Notice::Revised(announced.into()));
    }

    /// A share that holds nothing yet.
    pub(crate) fn following(&self) -> Following {
        Following { followed: Arc::clone(&self.followed), held: BTreeSet::new() }
    }
}

impl Subject {
    /// Gives the connector the whole set.
    fn hand_over(&self) {
        if let Some(connector) = self.connector.as_ref().and_then(Weak::upgrade) {
            connector.follow(self.uris.keys().cloned().collect());
        }
    }
}

impl Following {
    /// What it holds.
    pub(crate) fn held(&self) -> &BTreeSet<Place> {
        &self.held
    }

    /// Holds exactly these from now on, or what it held where one connector has no room.
    /// Connectors whose set has changed by it are given the new one.
    pub(crate) fn hold(&mut self, wanted: BTreeSet<Place>) -> Result<(), Crowded> {
        let mut followed = lock(&self.followed);
        let changed = exchange(&mut followed, &self.held, &wanted);
        let full = |id: &&ConnectorId| {
            let grown = wanted.difference(&self.held).any(|(connector, _)| connector == *id);
            grown && followed.get(*id).is_some_and(|subject| subject.uris.len() > MOST)
        };
        if let Some(full) = changed.iter().find(full).cloned() {
            // No connector was told of the new set yet, so none need be told of the old one.
            exchange(&mut followed, &wanted, &self.held);
            return Err(Crowded(full));
        }
        // Under the lock, so that the last set handed over is the last one made.
        changed.iter().filter_map(|id| followed.get(id)).for_each(Subject::hand_over);
        drop(followed);
        self.held = wanted;
        Ok(())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Letting go needs no room.
        let _ = self.hold(BTreeSet::new());
    }
}

/// One holder's `before` becomes its `after`; the connectors whose set is another now.
fn exchange(
    followed: &mut Followed,
    before: &BTreeSet<Place>,
    after: &BTreeSet<Place>,
) -> BTreeSet<ConnectorId> {
    let mut changed = BTreeSet::new();
    for (connector, uri) in before.difference(after) {
        let Some(subject) = followed.get_mut(connector) else { continue };
        let Some(holders) = subject.uris.get_mut(uri) else { continue };
        *holders = holders.saturating_sub(1);
        if *holders == 0 {
            subject.uris.remove(uri);
            changed.insert(connector.clone());
        }
    }
    for (connector, uri) in after.difference(before) {
        let subject = followed.entry(connector.clone()).or_default();
        let holders = subject.uris.entry(uri.clone()).or_default();
        *holders += 1;
        if *holders == 1 {
            changed.insert(connector.clone());
        }
    }
    changed
}

fn lock(followed: &Mutex<Followed>) -> MutexGuard<'_, Followed> {
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod stand;

#[cfg(test)]
mod tests;
