//! What connectors and revisions tell of their own accord, on its way to whoever listens.
//!
//! Owns one channel for all of it and the sets of resources and tasks that each connector is
//! asked to tell about, shared between clients. Knows no client: what one caller may be told is
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
use tidegate_wire::client::{Round, Wanted};
use tokio::sync::broadcast;

/// Notices that a slow listener may be behind before it is told that it missed some.
const WAITING: usize = 1_024;
/// Most resources, and most tasks, that one connector is asked to tell about.
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

/// A resource or task in upstream terms: its connector and its original URI or own id.
pub(crate) type Place = (ConnectorId, Box<str>);

/// What somebody wants connectors to tell about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Resources.
    pub(crate) resources: BTreeSet<Place>,
    /// Tasks of which a connector tells only those who ask.
    pub(crate) tasks: BTreeSet<Place>,
}

/// Why resources or tasks cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "clients follow {MOST} resources or tasks of connector `{0}` already, which is the most; try again when some were let go"
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

/// How many clients follow each of a connector's resources or tasks.
type Holders = BTreeMap<Box<str>, usize>;

/// One connector and what clients follow of it.
#[derive(Debug, Default)]
struct Subject {
    /// Never kept alive by this: a connector that was replaced must be able to close.
    connector: Option<Weak<dyn Connector>>,
    resources: Holders,
    tasks: Holders,
}

/// A share in what is followed; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Following {
    followed: Arc<Mutex<Followed>>,
    held: Held,
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
        followed.retain(|id, subject| connectors.contains_key(id) || subject.is_followed());
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
                if subject.is_followed() {
                    // Whoever followed before does not wait again.
                    let _ = subject.hand_over();
                }
            }
        }
        drop(followed);
        self.tell(Notice::Revised(announced.into()));
    }

    /// A share that holds nothing yet.
    pub(crate) fn following(&self) -> Following {
        Following { followed: Arc::clone(&self.followed), held: Held::default() }
    }
}

impl Subject {
    fn is_followed(&self) -> bool {
        !self.resources.is_empty() || !self.tasks.is_empty()
    }

    /// Gives the connector both sets whole.
    fn hand_over(&self) -> Option<Round> {
        let connector = self.connector.as_ref().and_then(Weak::upgrade)?;
        let all = |holders: &Holders| holders.keys().cloned().collect();
        let (resources, tasks) = (all(&self.resources), all(&self.tasks));
        Some(connector.follow(Wanted { resources, tasks, ..Wanted::default() }))
    }
}

impl Following {
    /// What it holds.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Holds exactly these from now on, or what it held where one connector has no room.
    /// Connectors whose sets have changed by it are given the new ones; what is returned says
    /// when those are in force.
    pub(crate) fn hold(&mut self, wanted: Held) -> Result<Vec<Round>, Crowded> {
        let mut followed = lock(&self.followed);
        let changed = exchange(&mut followed, &self.held, &wanted);
        let full = |id: &&ConnectorId| {
            let grown = |after: &BTreeSet<Place>, before: &BTreeSet<Place>| {
                after.difference(before).any(|(connector, _)| connector == *id)
            };
            let Some(subject) = followed.get(*id) else { return false };
            (subject.resources.len() > MOST && grown(&wanted.resources, &self.held.resources))
                || (subject.tasks.len() > MOST && grown(&wanted.tasks, &self.held.tasks))
        };
        if let Some(full) = changed.iter().find(full).cloned() {
            // No connector was told of the new set yet, so none need be told of the old one.
            exchange(&mut followed, &wanted, &self.held);
            return Err(Crowded(full));
        }
        // Under the lock, so that the last sets handed over are the last ones made.
        let subjects = changed.iter().filter_map(|id| followed.get(id));
        let rounds = subjects.filter_map(Subject::hand_over).collect();
        drop(followed);
        self.held = wanted;
        Ok(rounds)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Letting go needs no room.
        let _ = self.hold(Held::default());
    }
}

/// One holder's `before` becomes its `after`; the connectors whose sets are others now.
fn exchange(followed: &mut Followed, before: &Held, after: &Held) -> BTreeSet<ConnectorId> {
    let mut changed = BTreeSet::new();
    let (resources, tasks) = ((&before.resources, &after.resources), (&before.tasks, &after.tasks));
    recount(followed, resources, |subject| &mut subject.resources, &mut changed);
    recount(followed, tasks, |subject| &mut subject.tasks, &mut changed);
    changed
}

/// The same for resources or tasks alone.
fn recount(
    followed: &mut Followed,
    (before, after): (&BTreeSet<Place>, &BTreeSet<Place>),
    of: fn(&mut Subject) -> &mut Holders,
    changed: &mut BTreeSet<ConnectorId>,
) {
    for (connector, name) in before.difference(after) {
        let Some(holders) = followed.get_mut(connector).map(of) else { continue };
        let Some(count) = holders.get_mut(name) else { continue };
        *count = count.saturating_sub(1);
        if *count == 0 {
            holders.remove(name);
            changed.insert(connector.clone());
        }
    }
    for (connector, name) in after.difference(before) {
        let holders = of(followed.entry(connector.clone()).or_default());
        let count = holders.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 {
            changed.insert(connector.clone());
        }
    }
}

fn lock(followed: &Mutex<Followed>) -> MutexGuard<'_, Followed> {
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod stand;

#[cfg(test)]
mod tests;
