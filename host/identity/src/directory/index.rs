//! Everybody in memory, found by whatever names them.
//!
//! Takes records with their versions in any order: an older one never replaces a newer one,
//! and what is gone does not come back. Does no IO.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use model::UserId;
use tidegate_model as model;

use super::{Group, Kind, Link, MEMBER, OWNER, Person, User};
use crate::Settings;

/// How many of those who are gone are remembered, against news that come late.
const GONE: usize = 65_536;

/// The maps. Those that lead to a user or group hold no more than there are of these.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) users: BTreeMap<UserId, Arc<Person>>,
    pub(super) links: HashMap<Link, UserId>,
    pub(super) emails: HashMap<String, UserId>,
    pub(super) external_ids: HashMap<String, UserId>,
    /// The active people with the role `owner`.
    pub(super) owners: BTreeSet<UserId>,
    /// By id.
    pub(super) groups: BTreeMap<String, Arc<Group>>,
    pub(super) group_names: HashMap<String, String>,
    /// The ids of the groups that list a user.
    pub(super) memberships: HashMap<UserId, BTreeSet<String>>,
    /// The roles that each group gives, by the group's name.
    roles: HashMap<String, Vec<String>>,
    /// With which commit a user or group went.
    gone: HashMap<String, u64>,
}

impl Index {
    /// An empty one.
    pub(super) fn new(settings: &Settings) -> Self {
        let mut index = Self::default();
        index.give_roles(settings);
        index
    }

    /// Takes over which groups give a role; says whether that has changed anything.
    pub(super) fn give_roles(&mut self, settings: &Settings) -> bool {
        let mut roles: HashMap<String, Vec<String>> = HashMap::new();
        for (role, groups) in &settings.roles {
            for group in groups {
                roles.entry(group.clone()).or_default().push(role.clone());
            }
        }
        let is_new = roles != self.roles;
        self.roles = roles;
        is_new
    }

    /// The version in which a user is known.
    pub(super) fn user_version(&self, id: &UserId) -> Option<u64> {
        self.users.get(id).map(|one| one.version)
    }

    /// Takes a user, unless a newer record of theirs is known.
    pub(super) fn put_user(&mut self, user: User, version: u64) {
        let id = user.id.clone();
        let gone = self.gone.get(id.as_str()).copied();
        if self.user_version(&id).max(gone).is_some_and(|known| known >= version) {
            return;
        }
        self.unlist(&id);
        for link in &user.links {
            self.links.insert(link.clone(), id.clone());
        }
        if let Some(email) = &user.email {
            self.emails.insert(email.clone(), id.clone());
        }
        if let Some(external) = &user.external_id {
            self.external_ids.insert(external.clone(), id.clone());
        }
        let person = self.person(user, version);
        self.take(person);
    }

    /// Forgets a user who went with the commit `version`.
    pub(super) fn remove_user(&mut self, id: &UserId, version: u64) {
        if self.user_version(id).is_some_and(|known| known > version) {
            return;
        }
        self.unlist(id);
        self.users.remove(id);
        self.owners.remove(id);
        self.remember_gone(id.as_str().to_owned(), version);
    }

    /// Takes the ways to a user out of the maps.
    fn unlist(&mut self, id: &UserId) {
        let Some(old) = self.users.get(id).cloned() else { return };
        // What somebody else has taken over meanwhile stays theirs.
        for link in &old.user.links {
            if self.links.get(link) == Some(id) {
                self.links.remove(link);
            }
        }
        if let Some(email) = &old.user.email
            && self.emails.get(email) == Some(id)
        {
            self.emails.remove(email);
        }
        if let Some(external) = &old.user.external_id
            && self.external_ids.get(external) == Some(id)
        {
            self.external_ids.remove(external);
        }
    }

    fn remember_gone(&mut self, id: String, version: u64) {
        if self.gone.len() >= GONE {
            self.gone.clear();
        }
        self.gone.insert(id, version);
    }

    /// Works out anew what follows for these users.
    pub(super) fn derive<'a>(&mut self, ids: impl Iterator<Item = &'a UserId>) {
        for id in ids {
            let Some(old) = self.users.get(id).cloned() else { continue };
            let person = self.person(old.user.clone(), old.version);
            self.take(person);
        }
    }

    fn take(&mut self, person: Person) {
        let id = person.user.id.clone();
        if person.user.kind == Kind::Person && person.has_role(OWNER) {
            self.owners.insert(id.clone());
        } else {
            self.owners.remove(&id);
        }
        self.users.insert(id, Arc::new(person));
    }

    /// A user with the groups and roles that follow.
    pub(super) fn person(&self, user: User, version: u64) -> Person {
        self.person_if(user, version, None)
    }

    /// The same, as it would be if one group (by id) were like this, or were not at all.
    pub(super) fn person_if(
        &self,
        user: User,
        version: u64,
        changed: Option<(&str, Option<&Group>)>,
    ) -> Person {
        if !user.active {
            let none: Arc<[String]> = Arc::from([]);
            return Person { user, groups: Arc::clone(&none), roles: none, version };
        }
        let (other, as_if) = changed.map_or((None, None), |(id, group)| (Some(id), group));
        let listed = self.memberships.get(&user.id).into_iter().flatten();
        let listed = listed.filter(|id| other != Some(id.as_str()));
        let listed = listed.filter_map(|id| self.groups.get(id)).map(|group| &group.name);
        let as_if = as_if.filter(|group| group.members.contains(&user.id));
        let listed = listed.chain(as_if.map(|group| &group.name));
        let groups: BTreeSet<&String> =
            user.groups.iter().chain(&user.claimed_groups).chain(listed).collect();
        let given = groups.iter().filter_map(|name| self.roles.get(*name)).flatten();
        let mut roles: BTreeSet<&str> =
            user.roles.iter().chain(&user.claimed_roles).chain(given).map(String::as_str).collect();
        if user.kind == Kind::Person {
            roles.insert(MEMBER);
        }
        let groups = groups.into_iter().cloned().collect();
        let roles = roles.into_iter().map(str::to_owned).collect();
        Person { user, groups, roles, version }
    }

    /// Takes a group, unless a newer record of it is known.
    pub(super) fn put_group(&mut self, group: Group) {
        let known = self.groups.get(&group.id).cloned();
        let gone = self.gone.get(&group.id).copied();
        let newest = known.as_ref().map(|old| old.version).max(gone);
        if newest.is_some_and(|newest| newest >= group.version) {
            return;
        }
        let before = known.as_ref().map(|old| &old.members);
        let is_renamed = known.as_ref().is_none_or(|old| old.name != group.name);
        let mut affected: BTreeSet<UserId> = BTreeSet::new();
        if let Some(old) = &known {
            self.group_names.remove(&old.name);
            for id in old.members.difference(&group.members) {
                self.leave(id, &group.id);
                affected.insert(id.clone());
            }
        }
        for id in &group.members {
            let is_new = before.is_none_or(|before| !before.contains(id));
            if is_new {
                self.memberships.entry(id.clone()).or_default().insert(group.id.clone());
            }
            if is_new || is_renamed {
                affected.insert(id.clone());
            }
        }
        self.group_names.insert(group.name.clone(), group.id.clone());
        self.groups.insert(group.id.clone(), Arc::new(group));
        self.derive(affected.iter());
    }

    /// Forgets a group that went with the commit `version`.
    pub(super) fn remove_group(&mut self, id: &str, version: u64) {
        if self.groups.get(id).is_none_or(|known| known.version > version) {
            return;
        }
        self.remember_gone(id.to_owned(), version);
        let Some(old) = self.groups.remove(id) else { return };
        self.group_names.remove(&old.name);
        for member in &old.members {
            self.leave(member, id);
        }
        self.derive(old.members.iter());
    }

    fn leave(&mut self, user: &UserId, group: &str) {
        if let Some(groups) = self.memberships.get_mut(user) {
            groups.remove(group);
            if groups.is_empty() {
                self.memberships.remove(user);
            }
        }
    }
}
