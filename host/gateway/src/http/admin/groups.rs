//! `/api/v1/groups`: groups whose members are listed.
//!
//! Groups that only a provider or an administrator names in somebody's record need no entry
//! here. Who puts somebody into a group hands out what the group gives.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use tidegate_identity::directory::{DirectoryError, Group};
use tidegate_model::UserId;
use utoipa::ToSchema;

use super::{
    asked::{Asked, Paging, listed, quoted},
    failed::Failed,
    moment::Moment,
    reach::Regrouped,
    route::{Body, Done, Query},
    users,
};

/// Groups that are looked at in one step.
const STEP: usize = 500;

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct GroupInfo {
    /// 32 hexadecimal digits that never change.
    pub(crate) id: String,
    /// How policies name it.
    pub(crate) name: String,
    /// The id that the organisation's own directory gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
    /// How many are in it.
    pub(crate) size: usize,
    /// Who is in it; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<String>,
    /// The roles that being in it gives.
    pub(crate) roles: Vec<String>,
    pub(crate) created: Moment,
}

/// Some groups.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct GroupPage {
    /// In the order of their ids.
    pub(crate) groups: Vec<GroupInfo>,
    /// What to ask for as `after` to go on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A group that is to be added.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGroup {
    /// How policies are to name it.
    pub(crate) name: String,
    /// The ids of users that are in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<String>,
}

/// What is to be different; the rest stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupChange {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Users to put in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) add: Vec<String>,
    /// Users to take out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remove: Vec<String>,
}

/// What was removed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Removed {
    /// Its id.
    pub(crate) removed: String,
}

impl GroupInfo {
    fn of(asked: &Asked, group: &Group) -> Self {
        Self {
            id: group.id.clone(),
            name: group.name.clone(),
            external_id: group.external_id.clone(),
            size: group.members.len(),
            members: Vec::new(),
            roles: asked.roles_of([&group.name]).into_iter().collect(),
            created: group.created.into(),
        }
    }

    fn whole(asked: &Asked, group: &Group) -> Self {
        let members = group.members.iter().map(UserId::to_string).collect();
        Self { members, ..Self::of(asked, group) }
    }
}

pub(super) async fn list(
    asked: &Asked,
    Query(paging): Query<Paging>,
) -> Result<Done<GroupPage>, Failed> {
    let (wanted, limit) = (paging.wanted(), paging.limit());
    let (mut after, mut groups, mut next) = (paging.after, Vec::new(), None);
    'all: loop {
        let some = asked.directory().groups(after.as_deref(), STEP);
        let Some(last) = some.last() else { break };
        after = Some(last.id.clone());
        for group in some.iter().filter(|group| group.name.to_lowercase().starts_with(&wanted)) {
            if groups.len() == limit {
                next = groups.last().map(|group: &GroupInfo| group.id.clone());
                break 'all;
            }
            groups.push(GroupInfo::of(asked, group));
        }
    }
    Ok(Done::of(GroupPage { groups, next }))
}

/// The group at `{group}` of the path: an id, or a name.
fn group(asked: &Asked) -> Result<Arc<Group>, Failed> {
    let text = asked.parameter("group")?;
    let directory = asked.directory();
    let found = directory.group(text).or_else(|| directory.group_named(text));
    found.ok_or_else(|| Failed::missing(format!("there is no group `{text}`")))
}

pub(super) async fn show(asked: &Asked, (): ()) -> Result<Done<GroupInfo>, Failed> {
    Ok(Done::of(GroupInfo::whole(asked, &*group(asked)?)))
}

pub(super) async fn add(
    asked: &Asked,
    Body(new): Body<NewGroup>,
) -> Result<Done<GroupInfo>, Failed> {
    let members = users::ids(&new.members)?;
    let group = Group {
        id: String::new(),
        name: new.name,
        external_id: None,
        members: members.clone(),
        created: asked.at,
        version: 0,
    };
    let people = members.iter().collect();
    asked.may_regroup(&Regrouped { id: &group.id, group: Some(&group), people }).await?;
    let group = asked.directory().add_group(&group.name, None, members).await?;
    let note =
        format!("group {} added, with {}", quoted(Some(&group.name)), listed(&group.members));
    Ok(Done::noted(GroupInfo::whole(asked, &group), note))
}

pub(super) async fn change(
    asked: &Asked,
    Body(change): Body<GroupChange>,
) -> Result<Done<GroupInfo>, Failed> {
    let old = group(asked)?;
    let (add, remove) = (users::ids(&change.add)?, users::ids(&change.remove)?);
    judge(asked, &old, &change, (&add, &remove)).await?;
    let is_judged = |id: &UserId| old.members.contains(id) || add.contains(id);
    let edit = |group: &mut Group| {
        // Nobody gets what they were not judged by.
        let is_renamed = change.name.as_ref().is_some_and(|name| *name != group.name);
        if is_renamed && (group.name != old.name || !group.members.iter().all(is_judged)) {
            return Err(DirectoryError::Busy(group.name.clone()));
        }
        if let Some(name) = &change.name {
            group.name.clone_from(name);
        } else if group.name != old.name {
            return Err(DirectoryError::Busy(group.name.clone()));
        }
        group.members.extend(add.iter().cloned());
        group.members.retain(|id| !remove.contains(id));
        Ok(())
    };
    let group = asked.directory().change_group(&old.id, edit).await?;
    let note = format!(
        "group {} -> {}: put in {}, took out {}; {} -> {} members",
        quoted(Some(&old.name)),
        quoted(Some(&group.name)),
        listed(group.members.difference(&old.members)),
        listed(old.members.difference(&group.members)),
        old.members.len(),
        group.members.len(),
    );
    Ok(Done::noted(GroupInfo::whole(asked, &group), note))
}

/// Refuses a change that gives somebody what the caller does not have, or that is about owners.
async fn judge(
    asked: &Asked,
    old: &Group,
    change: &GroupChange,
    (add, remove): (&BTreeSet<UserId>, &BTreeSet<UserId>),
) -> Result<(), Failed> {
    let mut new = old.clone();
    if let Some(name) = &change.name {
        new.name.clone_from(name);
    }
    new.members.extend(add.iter().cloned());
    new.members.retain(|id| !remove.contains(id));
    let is_renamed = new.name != old.name;
    let people: BTreeSet<&UserId> = if is_renamed {
        old.members.union(&new.members).collect()
    } else {
        old.members.symmetric_difference(&new.members).collect()
    };
    let names = [&old.name, &new.name];
    if !asked.roles_of(names).is_empty() {
        owners_stay(asked, people.iter().copied())?;
    }
    asked.may_regroup(&Regrouped { id: &old.id, group: Some(&new), people }).await
}

/// Refuses what is about owners, where the caller is none.
fn owners_stay<'a>(asked: &Asked, people: impl Iterator<Item = &'a UserId>) -> Result<(), Failed> {
    let mut people = people.filter_map(|id| asked.directory().user(id));
    people.try_for_each(|person| asked.may_change(&person))
}

pub(super) async fn remove(asked: &Asked, (): ()) -> Result<Done<Removed>, Failed> {
    let group = group(asked)?;
    if !asked.roles_of([&group.name]).is_empty() {
        owners_stay(asked, group.members.iter())?;
    }
    let people = group.members.iter().collect();
    asked.may_regroup(&Regrouped { id: &group.id, group: None, people }).await?;
    asked.directory().remove_group(&group.id).await?;
    let note = format!(
        "group {} removed, which had {}",
        quoted(Some(&group.name)),
        listed(&group.members)
    );
    Ok(Done::noted(Removed { removed: group.id.clone() }, note))
}
