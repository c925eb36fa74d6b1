//! `/api/v1/groups`: groups whose members are listed.
//!
//! Groups that only a provider or an administrator names in somebody's record need no entry
//! here. Who puts somebody into a group hands out what the group gives.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tidegate_identity::directory::{DirectoryError, Group};
use tidegate_model::UserId;
use utoipa::ToSchema;

use super::{
    asked::{Asked, Paging, listed, quoted},
    failed::Failed,
    moment::Moment,
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
    asked.may_give(&asked.roles_of([&new.name]))?;
    let members = users::ids(&new.members)?;
    let group = asked.directory().add_group(&new.name, None, members).await?;
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
    let refused = Mutex::new(None);
    let edit = |group: &mut Group| {
        edit(asked, &change, (&add, &remove), group).map_err(|failed| {
            *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
            DirectoryError::Bad(String::new())
        })
    };
    let changed = asked.directory().change_group(&old.id, edit).await;
    let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
    let group = match (changed, refused) {
        (Ok(group), _) => group,
        (Err(_), Some(failed)) => return Err(failed),
        (Err(error), None) => return Err(error.into()),
    };
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

fn edit(
    asked: &Asked,
    change: &GroupChange,
    (add, remove): (&BTreeSet<UserId>, &BTreeSet<UserId>),
    group: &mut Group,
) -> Result<(), Failed> {
    let gave = asked.roles_of([&group.name]);
    if let Some(name) = &change.name {
        group.name.clone_from(name);
    }
    let gives = asked.roles_of([&group.name]);
    let is_put_in = add.iter().any(|id| !group.members.contains(id));
    // Who was in it gets what the new name gives, who is put in all of it.
    asked.may_give(gives.iter().filter(|role| is_put_in || !gave.contains(*role)))?;
    if !gave.is_empty() || !gives.is_empty() {
        let everybody = group.members.iter().filter(|_| change.name.is_some());
        for id in everybody.chain(add).chain(remove) {
            if let Some(person) = asked.directory().user(id) {
                asked.may_change(&person)?;
            }
        }
    }
    group.members.extend(add.iter().cloned());
    group.members.retain(|id| !remove.contains(id));
    Ok(())
}

pub(super) async fn remove(asked: &Asked, (): ()) -> Result<Done<Removed>, Failed> {
    let group = group(asked)?;
    if !asked.roles_of([&group.name]).is_empty() {
        for person in group.members.iter().filter_map(|id| asked.directory().user(id)) {
            asked.may_change(&person)?;
        }
    }
    asked.directory().remove_group(&group.id).await?;
    let note = format!(
        "group {} removed, which had {}",
        quoted(Some(&group.name)),
        listed(&group.members)
    );
    Ok(Done::noted(Removed { removed: group.id.clone() }, note))
}
