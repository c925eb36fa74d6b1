//! What one client follows: resources by published URI, and tasks.
//!
//! Lives with the client's stream, or with its session where there are no lasting streams;
//! a [`super::follower::Follower`] reads it while the session adds and removes. Keeps the
//! connectors asked for exactly what somebody still wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tidegate_governance::catalog::PublishedVmcp;
use tidegate_identity::Caller;
use tidegate_model::{ConnectorId, ResourceRef};
use tidegate_wire::{client::Round, mcp::method::TASKS_EXTENSION};

use super::{Crowded, Following, Held, Notices, Place};
use crate::revision::Revision;

/// Most resources, and most tasks, that one client follows.
pub(crate) const MOST: usize = 1_000;

/// Most rounds that one client waits for.
const ROUNDS: usize = 64;
/// How long a client waits for its wish to be in force.
const IN_FORCE: Duration = Duration::from_secs(2);

/// Why a resource is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFollowed {
    /// There is no such resource, or none that this caller may know of.
    #[error("there is no resource `{0}` here")]
    Unknown(String),
    /// Its server says nothing about single resources.
    #[error("the server of `{0}` does not tell of changes to single resources")]
    Silent(String),
    /// This client follows as many as it may.
    #[error("{MOST} are followed already, which is the most; let some go first")]
    Full,
    /// All clients together do.
    #[error(transparent)]
    Crowded(#[from] Crowded),
}

/// What one client follows.
#[derive(Debug)]
pub(crate) struct Follows(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// By published URI; without a place while the virtual MCP has none for it.
    uris: BTreeMap<Box<str>, Option<Place>>,
    following: Following,
    /// Those that their connectors are asked about.
    asked: BTreeSet<Place>,
    /// Those that their connectors tell of unasked.
    unasked: BTreeSet<Place>,
    /// What was asked last, as long as nobody has waited for it.
    rounds: Vec<Round>,
}

impl Inner {
    /// Asks the connectors for what is followed now.
    fn hold(&mut self) -> Result<(), Crowded> {
        let resources = self.uris.values().flatten().cloned().collect();
        let rounds = self.following.hold(Held { resources, tasks: self.asked.clone() })?;
        // Where nothing is new, what was asked before may still be on its way. A later round of
        // a connector stands for its earlier ones, so a bound loses nothing that counts.
        self.rounds.extend(rounds);
        let surplus = self.rounds.len().saturating_sub(ROUNDS);
        self.rounds.drain(..surplus);
        Ok(())
    }

    fn tasks(&self) -> usize {
        self.asked.len() + self.unasked.len()
    }
}

impl Follows {
    /// Nothing yet.
    pub(crate) fn new(notices: &Notices) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            uris: BTreeMap::new(),
            following: notices.following(),
            asked: BTreeSet::new(),
            unasked: BTreeSet::new(),
            rounds: Vec::new(),
        })))
    }

    /// Waits until servers go by what was followed last, so that nothing that happens after an
    /// acknowledgement is missed; not for long, since a server may be away.
    pub(crate) async fn in_force(&self) {
        let rounds = std::mem::take(&mut self.lock().rounds);
        let all = futures_util::future::join_all(rounds.iter().map(Round::in_force));
        if tokio::time::timeout(IN_FORCE, all).await.is_err() {
            tracing::debug!("a server has not taken yet what is to be told");
        }
    }

    /// Follows one more resource; following one twice is following it once.
    pub(crate) fn follow(
        &self,
        revision: &Revision,
        caller: &Caller,
        vmcp: &PublishedVmcp,
        uri: &str,
    ) -> Result<(), NotFollowed> {
        let place = place(revision, caller, vmcp, uri)?;
        let mut inner = self.lock();
        if inner.uris.contains_key(uri) {
            return Ok(());
        }
        if inner.uris.len() >= MOST {
            return Err(NotFollowed::Full);
        }
        inner.uris.insert(uri.into(), Some(place));
        inner.hold().map_err(|crowded| {
            inner.uris.remove(uri);
            crowded.into()
        })
    }

    /// Follows those of `uris` that can be; which.
    pub(crate) fn follow_those(
        &self,
        revision: &Revision,
        caller: &Caller,
        vmcp: &PublishedVmcp,
        uris: BTreeSet<String>,
    ) -> BTreeSet<String> {
        let mut inner = self.lock();
        let before = inner.uris.clone();
        let mut taken = BTreeSet::new();
        for uri in uris {
            let Ok(place) = place(revision, caller, vmcp, &uri) else { continue };
            if inner.uris.len() < MOST || inner.uris.contains_key(uri.as_str()) {
                inner.uris.insert(uri.as_str().into(), Some(place));
                taken.insert(uri);
            }
        }
        if let Err(crowded) = inner.hold() {
            tracing::warn!(%crowded, "a client's resources are not followed");
            inner.uris = before;
            taken.clear();
        }
        taken
    }

    /// Lets a resource go; whether it was followed.
    pub(crate) fn unfollow(&self, uri: &str) -> bool {
        let mut inner = self.lock();
        let was = inner.uris.remove(uri).is_some();
        if was {
            release(&mut inner);
        }
        was
    }

    /// Follows those of `tasks` of which their connectors will tell; which. A task that has
    /// ended is followed for as long as this is.
    pub(crate) fn follow_tasks(
        &self,
        revision: &Revision,
        vmcp: &PublishedVmcp,
        tasks: BTreeSet<Place>,
    ) -> BTreeSet<Place> {
        let mut inner = self.lock();
        let before = inner.asked.clone();
        let room = MOST.saturating_sub(inner.tasks());
        let tells = |(connector, _): &Place| tells_of_tasks(revision, vmcp, connector);
        let taken: BTreeSet<Place> = tasks.into_iter().filter(tells).take(room).collect();
        inner.asked.extend(taken.iter().cloned());
        if let Err(crowded) = inner.hold() {
            tracing::warn!(%crowded, "a client's tasks are not followed");
            inner.asked = before;
            return BTreeSet::new();
        }
        taken
    }

    /// Follows a task of which its connector tells unasked (2025-11-25); whether there was
    /// room.
    pub(crate) fn follow_task(&self, connector: &ConnectorId, id: &str) -> bool {
        let mut inner = self.lock();
        let fits = inner.tasks() < MOST;
        if fits {
            inner.unasked.insert((connector.clone(), id.into()));
        }
        fits
    }

    /// Lets such a task go.
    pub(crate) fn unfollow_task(&self, connector: &ConnectorId, id: &str) {
        self.lock().unasked.remove(&(connector.clone(), id.into()));
    }

    /// The virtual MCP is published anew: each URI may mean another place, or none for now.
    pub(super) fn relocate(&self, vmcp: &PublishedVmcp) {
        let mut inner = self.lock();
        let mut moved = false;
        for (uri, place) in &mut inner.uris {
            let now = vmcp.uris.locate(uri).map(|at| (at.connector, at.uri));
            if *place != now {
                *place = now;
                moved = true;
            }
        }
        if moved {
            release(&mut inner);
        }
    }

    /// Whether a change to this resource of this connector is to be told: it is followed
    /// itself, or is a part of one that is.
    pub(super) fn covers(&self, connector: &ConnectorId, uri: &str) -> bool {
        let inner = self.lock();
        let mut held = inner.following.held().resources.iter();
        held.any(|(of, followed)| of == connector && is_within(uri, followed))
    }

    /// Whether this task is followed.
    pub(super) fn has_task(&self, connector: &ConnectorId, id: &str) -> bool {
        let (inner, place) = (self.lock(), (connector.clone(), id.into()));
        inner.asked.contains(&place) || inner.unasked.contains(&place)
    }

    /// All resources that are followed and can be located.
    pub(super) fn held(&self) -> BTreeSet<Place> {
        self.lock().following.held().resources.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for less, or for the same number of others.
fn release(inner: &mut Inner) {
    if let Err(crowded) = inner.hold() {
        tracing::warn!(%crowded, "a client's resources have moved and cannot be followed");
    }
}

/// Where a published URI leads, if this caller may follow it.
fn place(
    revision: &Revision,
    caller: &Caller,
    vmcp: &PublishedVmcp,
    uri: &str,
) -> Result<Place, NotFollowed> {
    let unknown = || NotFollowed::Unknown(uri.chars().take(200).collect());
    let at: ResourceRef = vmcp.uris.locate(uri).ok_or_else(unknown)?;
    if !revision.policies.visible_resource(caller, &vmcp.vmcp.id, &at) {
        return Err(unknown());
    }
    let tells = vmcp.features.get(&at.connector).is_some_and(|features| features.subscribe);
    if !tells {
        return Err(NotFollowed::Silent(uri.chars().take(200).collect()));
    }
    Ok((at.connector, at.uri))
}

/// Whether a connector tells of the tasks that it is asked about. One with a process for each
/// client does not: the process that is listened to knows of no client's task.
fn tells_of_tasks(revision: &Revision, vmcp: &PublishedVmcp, connector: &ConnectorId) -> bool {
    let configured = revision.resources.connectors.get(connector);
    let is_listened_to = configured.is_none_or(|config| !config.per_caller);
    let knows = vmcp.features.get(connector).is_some_and(|features| {
        features.modern && features.extensions.iter().any(|(name, _)| **name == *TASKS_EXTENSION)
    });
    is_listened_to && knows
}

/// Whether `uri` is `followed` or a part of it: the protocol lets a server name a
/// sub-resource of what was subscribed to.
fn is_within(uri: &str, followed: &str) -> bool {
    uri.strip_prefix(followed).is_some_and(|rest| {
        rest.is_empty() || followed.ends_with('/') || rest.starts_with(['/', '?', '#'])
    })
}
