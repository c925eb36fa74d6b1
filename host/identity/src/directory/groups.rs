//! Changes of groups and of who is in them.
//!
//! One at a time in this process. Each commit that changes members writes the group's own row
//! as well, so that whoever reads both knows whether they belong together.

use std::{collections::BTreeSet, sync::Arc};

use model::UserId;
use tidegate_model as model;
use tidegate_store::{Expect, Op, StoreError};

use super::{Directory, DirectoryError, Group, OWNER, change::is_name, row};

/// Members that one commit adds or removes.
const STEP: usize = 1_000;
/// How often a change is made anew before we give up.
const TRIES: usize = 8;

impl Directory {
    /// Adds a group whose members are listed.
    pub async fn add_group(
        &self,
        name: &str,
        external_id: Option<String>,
        members: BTreeSet<UserId>,
    ) -> Result<Arc<Group>, DirectoryError> {
        let _held = self.order.lock().await;
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|_| DirectoryError::Random)?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let now = self.ground.clock.now();
        let (name, none) = (name.to_owned(), BTreeSet::new());
        let group = Group { id, name, external_id, members: none, created: now, version: 0 };
        self.check_group(&group)?;
        self.check_members(&members)?;
        let mut ops = vec![row::write_group(self.org(), &group, Expect::Absent)?];
        ops.push(row::Unique::of_group(&group.name).take(self.org(), &group.id));
        match self.commit(ops).await {
            Ok(version) => self.write().put_group(Group { version, ..group.clone() }),
            Err(DirectoryError::Store(StoreError::Conflict { .. })) => {
                return Err(DirectoryError::Taken { what: "group name", value: group.name });
            }
            Err(error) => return Err(error),
        }
        self.regroup(&group.id, |group| {
            group.members.clone_from(&members);
            Ok(())
        })
        .await
    }

    /// Changes a group: `edit` is given the group as it is now, again if it was changed
    /// meanwhile. Id and date stay. Refused where it would leave no active owner.
    pub async fn change_group(
        &self,
        id: &str,
        edit: impl FnMut(&mut Group) -> Result<(), DirectoryError> + Send,
    ) -> Result<Arc<Group>, DirectoryError> {
        let _held = self.order.lock().await;
        self.regroup(id, edit).await
    }

    /// Removes a group; its members stay, without what it gave them.
    pub async fn remove_group(&self, id: &str) -> Result<(), DirectoryError> {
        let _held = self.order.lock().await;
        let Some(group) = self.group(id) else {
            return Err(DirectoryError::NoGroup(id.to_owned()));
        };
        self.keep_owners(id, None)?;
        self.regroup(id, |group| {
            group.members.clear();
            Ok(())
        })
        .await?;
        for _ in 0..TRIES {
            let Some(group) = self.group(id) else { return Ok(()) };
            let name = row::Unique::of_group(&group.name).give_up(self.org());
            match self.commit([row::delete_group(self.org(), &group), name]).await {
                Ok(version) => {
                    self.write().remove_group(id, version);
                    return Ok(());
                }
                Err(DirectoryError::Store(StoreError::Conflict { .. })) => {
                    self.reread_group(id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(DirectoryError::Busy(group.name.clone()))
    }

    /// Carries out an edit; whoever calls holds the order of changes.
    pub(super) async fn regroup(
        &self,
        id: &str,
        mut edit: impl FnMut(&mut Group) -> Result<(), DirectoryError> + Send,
    ) -> Result<Arc<Group>, DirectoryError> {
        let missing = || DirectoryError::NoGroup(id.to_owned());
        let mut tries = 0;
        loop {
            let old = self.group(id).ok_or_else(missing)?;
            let mut group = Group::clone(&old);
            edit(&mut group)?;
            (group.id, group.created) = (old.id.clone(), old.created);
            if group == *old {
                return Ok(old);
            }
            self.check_group(&group)?;
            self.check_members(&group.members)?;
            self.keep_owners(id, Some(&group))?;
            let (step, ops, is_all) = self.step(&old, group)?;
            match self.commit(ops).await {
                Ok(version) => {
                    self.write().put_group(Group { version, ..step });
                    if is_all {
                        return self.group(id).ok_or_else(missing);
                    }
                }
                Err(DirectoryError::Store(StoreError::Conflict { .. })) => {
                    self.reread_group(id).await?;
                    let now = self.group(id).map(|now| now.version);
                    if now == Some(old.version) {
                        let value = step.name;
                        return Err(DirectoryError::Taken { what: "group name", value });
                    }
                    tries += 1;
                    if tries >= TRIES {
                        return Err(DirectoryError::Busy(old.name.clone()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// As much of the change from `old` to `new` as one commit takes, and whether that is all.
    fn step(&self, old: &Group, new: Group) -> Result<(Group, Vec<Op>, bool), DirectoryError> {
        let org = self.org();
        let mut step = Group { members: old.members.clone(), ..new };
        let removed = old.members.difference(&new.members).map(|id| (id, false));
        let added = new.members.difference(&old.members).map(|id| (id, true));
        let mut ops = Vec::new();
        for (id, is_member) in removed.chain(added).take(STEP) {
            ops.push(row::write_member(org, &old.id, id, is_member));
            if is_member {
                step.members.insert(id.clone());
            } else {
                step.members.remove(id);
            }
        }
        if step.name != old.name {
            ops.push(row::Unique::of_group(&old.name).give_up(org));
            ops.push(row::Unique::of_group(&step.name).take(org, &old.id));
        }
        ops.push(row::write_group(org, &step, Expect::Version(old.version))?);
        let is_all = step.members == new.members;
        Ok((step, ops, is_all))
    }

    fn check_group(&self, group: &Group) -> Result<(), DirectoryError> {
        if !is_name(&group.name) || group.external_id.as_deref().is_some_and(|id| !is_name(id)) {
            let text = format!("`{}` is no name of a group, or its external id none", group.name);
            return Err(DirectoryError::Bad(text));
        }
        let other = self.group_named(&group.name).filter(|other| other.id != group.id);
        if other.is_some() {
            let value = group.name.clone();
            return Err(DirectoryError::Taken { what: "group name", value });
        }
        Ok(())
    }

    fn check_members(&self, members: &BTreeSet<UserId>) -> Result<(), DirectoryError> {
        let index = self.read();
        match members.iter().find(|id| !index.users.contains_key(*id)) {
            Some(id) => Err(DirectoryError::NoUser(id.clone())),
            None => Ok(()),
        }
    }

    /// Refuses what would leave no active owner.
    fn keep_owners(&self, id: &str, group: Option<&Group>) -> Result<(), DirectoryError> {
        let index = self.read();
        let stays = |owner: &UserId| {
            let Some(one) = index.users.get(owner) else { return false };
            index.person_if(one.user.clone(), one.version, Some((id, group))).has_role(OWNER)
        };
        match index.owners.first() {
            Some(last) if !index.owners.iter().any(stays) => {
                Err(DirectoryError::LastOwner(last.clone()))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn reread_group(&self, id: &str) -> Result<(), DirectoryError> {
        let known = self.group(id).map(|known| known.version);
        let found = row::group(self.ground.store.as_ref(), self.org(), id).await?;
        let mut index = self.write();
        match found {
            Some(group) => index.put_group(group),
            // Unless it was made meanwhile.
            None if index.groups.get(id).map(|now| now.version) == known => {
                index.remove_group(id, known.unwrap_or_default());
            }
            None => {}
        }
        Ok(())
    }
}
