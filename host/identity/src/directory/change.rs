//! Changes of users: added, changed, removed.
//!
//! A change is committed on the condition that the record is still the one it was made from,
//! and made anew where it is not, so that of two at once none is lost.

use std::sync::Arc;

use model::{Timestamp, UserId};
use tidegate_model as model;
use tidegate_store::{Batch, Expect, Op, StoreError, Table};

use super::{Directory, DirectoryError, Kind, OWNER, Person, User, row};

/// How often a change is made anew before we give up.
const TRIES: usize = 32;
/// The longest id: it is part of keys.
const LONGEST_ID: usize = 240;
/// The longest of every other text.
const LONGEST: usize = 512;
/// Names that mean somebody else in policies and records.
const RESERVED: [&str; 2] = ["owner", "anonymous"];

/// Whether a change may leave nobody who can do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// It is refused.
    Kept,
    /// The organisation's own directory has the last word.
    Free,
}

impl Directory {
    /// Adds somebody. Id and e-mail address are brought to lower case.
    pub async fn add(&self, user: User) -> Result<Arc<Person>, DirectoryError> {
        self.add_along(user, Vec::new()).await
    }

    /// The same, in one commit with `more`. A conflict of these is the store's error.
    pub(crate) async fn add_along(
        &self,
        user: User,
        more: Vec<Op>,
    ) -> Result<Arc<Person>, DirectoryError> {
        let mut user = tidy(user)?;
        // What was issued to somebody who had the id before is not theirs. Tokens count in
        // whole seconds, and the moment itself does not count.
        let second = self.now().as_millis() / 1_000 * 1_000;
        let second = Timestamp::from_millis(second.saturating_sub(1));
        user.not_before = user.not_before.max(second);
        let id = user.id.clone();
        let taken = || DirectoryError::Taken { what: "user name", value: id.to_string() };
        if self.user(&id).is_some() {
            return Err(taken());
        }
        let ops = row::write_user(self.org(), &user, None, Expect::Absent)?;
        match self.commit(ops.into_iter().chain(more)).await {
            Ok(version) => {
                self.write().put_user(user, version);
                self.user(&id).ok_or(DirectoryError::NoUser(id))
            }
            Err(DirectoryError::Store(error @ StoreError::Conflict { .. })) => {
                self.reread(&id).await?;
                if self.user(&id).is_some() {
                    return Err(taken());
                }
                Err(self.who_has(&user, None).await?.unwrap_or(DirectoryError::Store(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Changes somebody: `edit` is given the record as it is now, again if it was changed
    /// meanwhile. The id stays. Refused where it would leave no active owner.
    pub async fn change(
        &self,
        id: &UserId,
        edit: impl FnMut(&mut User) -> Result<(), DirectoryError> + Send,
    ) -> Result<Arc<Person>, DirectoryError> {
        self.change_along(id, (Owners::Kept, &[]), edit).await
    }

    /// The same, in one commit with `more`. A conflict of these is the store's error.
    pub(super) async fn change_along(
        &self,
        id: &UserId,
        (owners, more): (Owners, &[Op]),
        mut edit: impl FnMut(&mut User) -> Result<(), DirectoryError> + Send,
    ) -> Result<Arc<Person>, DirectoryError> {
        for _ in 0..TRIES {
            let old = self.user(id).ok_or_else(|| DirectoryError::NoUser(id.clone()))?;
            let mut user = old.user.clone();
            edit(&mut user)?;
            user.id = id.clone();
            user.kind = old.user.kind;
            let user = tidy(user)?;
            if user == old.user && more.is_empty() {
                return Ok(old);
            }
            let _held = self.keep_owner(&old, &user, owners).await?;
            let expect = Expect::Version(old.version);
            let ops = row::write_user(self.org(), &user, Some(&old.user), expect)?;
            match self.commit(ops.into_iter().chain(more.iter().cloned())).await {
                Ok(version) => {
                    self.write().put_user(user, version);
                    return self.user(id).ok_or_else(|| DirectoryError::NoUser(id.clone()));
                }
                Err(DirectoryError::Store(error @ StoreError::Conflict { .. })) => {
                    self.reread(id).await?;
                    let now = self.user(id).map(|now| now.version);
                    if now != Some(old.version) {
                        continue;
                    }
                    let other = self.who_has(&user, Some(&old.user)).await?;
                    return Err(other.unwrap_or(DirectoryError::Store(error)));
                }
                Err(error) => return Err(error),
            }
        }
        Err(DirectoryError::Busy(id.to_string()))
    }

    /// Changes somebody in one commit with `more`, whose conflict is the store's error.
    pub(crate) async fn change_with(
        &self,
        id: &UserId,
        more: &[Op],
        edit: impl FnMut(&mut User) -> Result<(), DirectoryError> + Send,
    ) -> Result<Arc<Person>, DirectoryError> {
        self.change_along(id, (Owners::Kept, more), edit).await
    }

    /// Takes away all access, at once: tokens, sessions and grants from before do not count
    /// again when the user is made active again. API keys rest meanwhile.
    pub async fn deactivate(&self, id: &UserId) -> Result<Arc<Person>, DirectoryError> {
        let now = self.ground.clock.now();
        let edit = |user: &mut User| {
            user.active = false;
            user.not_before = user.not_before.max(now);
            Ok(())
        };
        self.change(id, edit).await
    }

    /// Ends every token, session and grant of a user, who may sign in again.
    pub async fn sign_out_everywhere(&self, id: &UserId) -> Result<Arc<Person>, DirectoryError> {
        let now = self.ground.clock.now();
        let edit = |user: &mut User| {
            user.not_before = user.not_before.max(now);
            Ok(())
        };
        self.change(id, edit).await
    }

    /// Removes somebody, with their places in groups. Whoever gets the id later is a new user:
    /// what was issued in it before must be ended by whoever issued it.
    pub async fn remove(&self, id: &UserId) -> Result<(), DirectoryError> {
        self.deactivate(id).await?;
        let _held = self.order.lock().await;
        for group in self.groups_of(id) {
            self.regroup(&group.id, |group| {
                group.members.remove(id);
                Ok(())
            })
            .await?;
        }
        for _ in 0..TRIES {
            let Some(old) = self.user(id) else { return Ok(()) };
            // Somebody may have brought them back meanwhile.
            if old.user.active && !self.read().owners.iter().any(|owner| owner != id) {
                return Err(DirectoryError::LastOwner(id.clone()));
            }
            let ops = row::delete_user(self.org(), &old.user, old.version)?;
            match self.commit(ops).await {
                Ok(version) => {
                    self.write().remove_user(id, version);
                    return Ok(());
                }
                Err(DirectoryError::Store(StoreError::Conflict { .. })) => {
                    self.reread(id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(DirectoryError::Busy(id.to_string()))
    }

    /// Refuses what would leave no active owner; what it gives must live until the commit.
    async fn keep_owner(
        &self,
        old: &Person,
        user: &User,
        owners: Owners,
    ) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>, DirectoryError> {
        if owners == Owners::Free || old.user.kind != Kind::Person || !old.has_role(OWNER) {
            return Ok(None);
        }
        if self.read().person(user.clone(), old.version).has_role(OWNER) {
            return Ok(None);
        }
        let held = self.order.lock().await;
        if self.read().owners.iter().any(|owner| *owner != user.id) {
            return Ok(Some(held));
        }
        Err(DirectoryError::LastOwner(user.id.clone()))
    }

    /// What of `user`, beyond what they had as `old`, is somebody else's.
    async fn who_has(
        &self,
        user: &User,
        old: Option<&User>,
    ) -> Result<Option<DirectoryError>, DirectoryError> {
        let had = old.map(row::Unique::of_user).unwrap_or_default();
        for unique in row::Unique::of_user(user).difference(&had) {
            let found = self.ground.store.get(Table::User, self.org(), &unique.key).await?;
            if found.is_some_and(|found| found.value != user.id.as_str().as_bytes()) {
                let (what, value) = (unique.what, unique.value.clone());
                return Ok(Some(DirectoryError::Taken { what, value }));
            }
        }
        Ok(None)
    }

    /// Carries out all of it; the version of what it wrote.
    pub(super) async fn commit(
        &self,
        ops: impl IntoIterator<Item = Op>,
    ) -> Result<u64, DirectoryError> {
        let batch = ops.into_iter().fold(Batch::new(), Batch::with);
        Ok(self.ground.store.commit(batch).await?.version)
    }

    pub(crate) fn org(&self) -> &model::OrgId {
        self.ground.issuer.org()
    }
}

/// The record in its one spelling, or what is wrong with it.
fn tidy(mut user: User) -> Result<User, DirectoryError> {
    let bad = |text: String| Err(DirectoryError::Bad(text));
    let id = user.id.as_str().to_lowercase();
    if id.len() > LONGEST_ID {
        return bad(format!("a user name has at most {LONGEST_ID} bytes"));
    }
    if RESERVED.contains(&id.as_str()) {
        return bad(format!("`{id}` stands for somebody else in policies: use another name"));
    }
    user.id = UserId::new(&id).map_err(|error| DirectoryError::Bad(error.to_string()))?;
    user.email = user.email.map(|email| email.trim().to_lowercase());
    if let Some(email) = user.email.as_deref().filter(|email| !is_email(email)) {
        return bad(format!("`{email}` is no e-mail address"));
    }
    let lists = [
        ("group", &mut user.groups),
        ("role", &mut user.roles),
        ("group", &mut user.claimed_groups),
        ("role", &mut user.claimed_roles),
    ];
    for (kind, list) in lists {
        list.sort_unstable();
        list.dedup();
        if let Some(name) = list.iter().find(|name| !is_name(name)) {
            return bad(format!("`{name}` is no name of a {kind}"));
        }
    }
    user.links.sort_unstable();
    user.links.dedup();
    let texts = user.name.iter().chain(&user.external_id);
    let links = user.links.iter().flat_map(|link| [&link.provider, &link.subject]);
    if texts.chain(links).any(|text| text.is_empty() || text.len() > LONGEST) {
        return bad(format!("names, external ids and links have 1 to {LONGEST} bytes"));
    }
    Ok(user)
}

/// Whether this can be the name of a group or role.
pub(super) fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control)
}

/// Whether it looks like an address: whose it is is for others to say.
pub(super) fn is_email(email: &str) -> bool {
    let odd = |c: char| c.is_control() || c.is_whitespace();
    let parts = email.rsplit_once('@');
    parts.is_some_and(|(local, host)| !local.is_empty() && !host.is_empty())
        && email.len() <= 254
        && !email.chars().any(odd)
}
