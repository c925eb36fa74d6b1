//! Who there is: people, agents and groups of one organisation.
//!
//! Owns their records and an index of all of them in memory, so that a request never reads
//! the store to know who calls. Every change is committed first and seen in memory then; what
//! another process commits is seen through the store's feed. Does not know how somebody proved
//! who they are. How it is stored stands in `row`.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::UserId;
use tidegate_model as model;
use tidegate_store::{Changes, StoreError};

mod change;
mod follow;
mod groups;
mod index;
mod record;
mod row;
pub mod scim;
mod sign_in;
mod standing;
#[cfg(test)]
mod tests;

pub use record::{Group, Kind, Link, Person, User};
pub use sign_in::{Claimed, SignInRefused};
#[cfg(test)]
pub(crate) use tests::{Bench, Hand, id};

use crate::{Ground, Settings};
use index::Index;

/// The role that may do everything, and that somebody always has.
const OWNER: &str = "owner";
/// The role of every active person.
const MEMBER: &str = "member";

/// Why the directory refused; the texts are for administrators.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirectoryError {
    /// Nobody is called that.
    #[error("there is no user `{0}`")]
    NoUser(UserId),
    /// No group has that id.
    #[error("there is no group `{0}`")]
    NoGroup(String),
    /// Something that only one may have is somebody else's.
    #[error("the {what} `{value}` is taken: choose another, or change who has it first")]
    Taken {
        /// What it is: `user name`, `e-mail address`, `external id`, `link`, `group name`.
        what: &'static str,
        /// Its text.
        value: String,
    },
    /// The change would leave nobody who may do everything.
    #[error("`{0}` is the last active owner: make somebody else an owner first")]
    LastOwner(UserId),
    /// A text that cannot be stored.
    #[error("{0}")]
    Bad(String),
    /// Others changed the same record again and again.
    #[error("`{0}` is being changed by others: try again")]
    Busy(String),
    /// Made by a newer version.
    #[error("the record of `{0}` was written by a newer version: use that version again")]
    Newer(String),
    /// The system has no randomness.
    #[error("the system gives no random numbers")]
    Random,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everybody in one organisation.
#[derive(Debug)]
pub struct Directory {
    ground: Ground,
    index: RwLock<Index>,
    /// Changes since it was opened, until somebody follows them.
    changes: Mutex<Option<Changes>>,
    /// Held by whoever changes groups, removes a user or takes away what makes an owner, since
    /// these look at more than the record that they change.
    order: tokio::sync::Mutex<()>,
}

impl Directory {
    /// Reads everybody. What is changed from then on is seen while somebody drives
    /// [`Directory::follow`]; what goes through this value is seen at once.
    pub async fn open(ground: &Ground, settings: &Settings) -> Result<Arc<Self>, DirectoryError> {
        let changes = ground.store.watch();
        let directory = Self {
            ground: ground.clone(),
            index: RwLock::new(Index::new(settings)),
            changes: Mutex::new(Some(changes)),
            order: tokio::sync::Mutex::default(),
        };
        directory.read_all().await?;
        Ok(Arc::new(directory))
    }

    /// Takes over which groups give a role.
    pub fn settings_changed(&self, settings: &Settings) {
        if !self.write().give_roles(settings) {
            return;
        }
        // In steps, so that no request waits for a large organisation.
        let mut after: Option<UserId> = None;
        loop {
            let some: Vec<UserId> =
                self.users(after.as_ref(), 500).iter().map(|one| one.user.id.clone()).collect();
            let Some(last) = some.last().cloned() else { break };
            self.write().derive(some.iter());
            after = Some(last);
        }
    }

    /// Somebody, active or not.
    pub fn user(&self, id: &UserId) -> Option<Arc<Person>> {
        self.read().users.get(id).cloned()
    }

    /// Who this is at a provider.
    pub fn linked(&self, link: &Link) -> Option<Arc<Person>> {
        let index = self.read();
        index.users.get(index.links.get(link)?).cloned()
    }

    /// Whose e-mail address this is, in any case.
    pub fn by_email(&self, email: &str) -> Option<Arc<Person>> {
        let index = self.read();
        index.users.get(index.emails.get(&email.to_lowercase())?).cloned()
    }

    /// Who has this id in the organisation's own directory.
    pub fn by_external_id(&self, id: &str) -> Option<Arc<Person>> {
        let index = self.read();
        index.users.get(index.external_ids.get(id)?).cloned()
    }

    /// At most `limit` users in the order of their ids, after `after`.
    pub fn users(&self, after: Option<&UserId>, limit: usize) -> Vec<Arc<Person>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |id| Excluded(id.clone()));
        self.read().users.range((from, Unbounded)).take(limit).map(|(_, one)| one.clone()).collect()
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.read().users.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.read().users.is_empty()
    }

    /// The active people with the role `owner`.
    pub fn owners(&self) -> Vec<Arc<Person>> {
        let index = self.read();
        index.owners.iter().filter_map(|id| index.users.get(id).cloned()).collect()
    }

    /// The group of this id.
    pub fn group(&self, id: &str) -> Option<Arc<Group>> {
        self.read().groups.get(id).cloned()
    }

    /// The group that policies name so.
    pub fn group_named(&self, name: &str) -> Option<Arc<Group>> {
        let index = self.read();
        index.groups.get(index.group_names.get(name)?).cloned()
    }

    /// At most `limit` groups in the order of their ids, after `after`.
    pub fn groups(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Group>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |id| Excluded(id.to_owned()));
        let index = self.read();
        index.groups.range((from, Unbounded)).take(limit).map(|(_, one)| one.clone()).collect()
    }

    /// The groups that list this user.
    pub fn groups_of(&self, id: &UserId) -> Vec<Arc<Group>> {
        let index = self.read();
        let ids = index.memberships.get(id).into_iter().flatten();
        ids.filter_map(|id| index.groups.get(id).cloned()).collect()
    }

    /// A record with the groups and roles that follow, as it would be here; a group (by id) as
    /// if it were like this, or were not at all. Changes nothing.
    pub fn as_if(&self, user: User, changed: Option<(&str, Option<&Group>)>) -> Person {
        self.read().person_if(user, 0, changed)
    }

    /// The present moment.
    pub(crate) fn now(&self) -> model::Timestamp {
        self.ground.clock.now()
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}
