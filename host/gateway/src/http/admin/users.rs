//! `/api/v1/users`: people and agents.
//!
//! Who there is, what they are called and what they belong to. Nobody gets a role from whoever
//! does not have it. How people come in and what ends with them stands in `access`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tidegate_governance::policy::AdminAction;
use tidegate_identity::directory::{DirectoryError, Kind, Person, User};
use tidegate_model::UserId;
use utoipa::ToSchema;

use super::{
    asked::{Asked, Paging, listed, quoted, user_id},
    failed::Failed,
    moment::Moment,
    route::{Body, Done, Query},
};

/// Records that are looked at in one step.
const STEP: usize = 500;

/// Who they are at one provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct LinkInfo {
    /// The provider's name in the settings.
    pub(crate) provider: String,
    /// The provider's `sub`.
    pub(crate) subject: String,
}

/// A person or agent. Names and addresses are what people and providers wrote.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct UserInfo {
    /// How policies name them.
    pub(crate) id: String,
    /// `person` or `agent`.
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    /// Whether they may use anything at all.
    pub(crate) active: bool,
    /// All groups that they are in now, whoever put them there.
    pub(crate) groups: Vec<String>,
    /// All roles that they have now, wherever from.
    pub(crate) roles: Vec<String>,
    /// Groups that an administrator put them in.
    pub(crate) assigned_groups: Vec<String>,
    /// Roles that an administrator gave them.
    pub(crate) assigned_roles: Vec<String>,
    /// Who they are at providers.
    pub(crate) links: Vec<LinkInfo>,
    /// The id that the organisation's own directory gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
    /// Whether they have a password of the gateway's own.
    pub(crate) has_password: bool,
    pub(crate) created: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_sign_in: Option<Moment>,
}

impl UserInfo {
    pub(super) fn of(person: &Person) -> Self {
        let user = &person.user;
        let link = |link: &tidegate_identity::directory::Link| LinkInfo {
            provider: link.provider.clone(),
            subject: link.subject.clone(),
        };
        Self {
            id: user.id.to_string(),
            kind: user.kind.name().to_owned(),
            name: user.name.clone(),
            email: user.email.clone(),
            active: user.active,
            groups: person.groups.to_vec(),
            roles: person.roles.to_vec(),
            assigned_groups: user.groups.clone(),
            assigned_roles: user.roles.clone(),
            links: user.links.iter().map(link).collect(),
            external_id: user.external_id.clone(),
            has_password: user.password.is_some(),
            created: user.created.into(),
            last_sign_in: user.last_sign_in.map(Moment::from),
        }
    }
}

/// Some users.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct UserPage {
    /// In the order of their ids.
    pub(crate) users: Vec<UserInfo>,
    /// What to ask for as `after` to go on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// Somebody who is to be added.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// How policies are to name them: a person's e-mail address, an agent's name.
    pub(crate) id: String,
    /// Whether it is a program with a name of its own.
    #[serde(default)]
    pub(crate) agent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The id where nothing is said and it is an address: whoever first signs in with this
    /// verified address is this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    /// Needs `admin:group_write`, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<String>,
    /// Needs `admin:role_assign`, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
}

/// What is to be different; the rest stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    /// Another name; none where it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Another address; none where it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
}

/// The groups that an administrator puts somebody in, all of them.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignedGroups {
    pub(crate) groups: Vec<String>,
}

/// The roles that an administrator gives somebody, all of them.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignedRoles {
    pub(crate) roles: Vec<String>,
}

pub(super) async fn list(
    asked: &Asked,
    Query(paging): Query<Paging>,
) -> Result<Done<UserPage>, Failed> {
    let (wanted, limit) = (paging.wanted(), paging.limit());
    let mut after = paging.after.as_deref().map(user_id).transpose()?;
    let mut users = Vec::new();
    let mut next = None;
    'all: loop {
        let some = asked.directory().users(after.as_ref(), STEP);
        let Some(last) = some.last() else { break };
        after = Some(last.user.id.clone());
        for person in some.iter().filter(|person| begins(person, &wanted)) {
            if users.len() == limit {
                next = users.last().map(|user: &UserInfo| user.id.clone());
                break 'all;
            }
            users.push(UserInfo::of(person));
        }
    }
    Ok(Done::of(UserPage { users, next }))
}

/// Whether an id, an address or a word of a name begins so.
fn begins(person: &Person, wanted: &str) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let user = &person.user;
    let name = user.name.as_deref().unwrap_or_default().to_lowercase();
    user.id.as_str().starts_with(wanted)
        || user.email.as_deref().is_some_and(|email| email.starts_with(wanted))
        || name.starts_with(wanted)
        || name.split_whitespace().any(|word| word.starts_with(wanted))
}

pub(super) async fn show(asked: &Asked, (): ()) -> Result<Done<UserInfo>, Failed> {
    Ok(Done::of(UserInfo::of(&*asked.user()?)))
}

pub(super) async fn add(asked: &Asked, Body(new): Body<NewUser>) -> Result<Done<UserInfo>, Failed> {
    if !new.roles.is_empty() {
        asked.also(AdminAction::RoleAssign)?;
    }
    if !new.groups.is_empty() {
        asked.also(AdminAction::GroupWrite)?;
    }
    let kind = if new.agent { Kind::Agent } else { Kind::Person };
    let mut user = User::new(user_id(&new.id)?, kind, asked.at);
    let is_address = kind == Kind::Person && user.id.as_str().contains('@');
    if kind == Kind::Person {
        asked.may_address(&user.id, new.email.as_deref())?;
    }
    user.email = new.email.or_else(|| is_address.then(|| user.id.to_string()));
    (user.name, user.groups, user.roles) = (new.name, new.groups, new.roles);
    asked.may_gain(None, &user)?;
    let person = asked.directory().add(user).await?;
    let info = UserInfo::of(&person);
    let note = format!(
        "{} {} added: name {}, e-mail {}, groups {}, roles {}",
        info.kind,
        info.id,
        quoted(info.name.as_deref()),
        quoted(info.email.as_deref()),
        listed(&info.assigned_groups),
        listed(&info.assigned_roles),
    );
    Ok(Done::noted(info, note))
}

pub(super) async fn change(
    asked: &Asked,
    Body(change): Body<UserChange>,
) -> Result<Done<UserInfo>, Failed> {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.trim().is_empty());
    let is_moved = change.email.is_some();
    let address = change.email.as_ref().and_then(given).map(|email| email.to_lowercase());
    let edit = |asked: &Asked, person: &Person, user: &mut User| {
        asked.may_change(person)?;
        if is_moved {
            // Whoever has the address signs in as this user.
            asked.may_act_as(person)?;
            if user.kind == Kind::Person && user.email != address {
                asked.may_address(&user.id, address.as_deref())?;
            }
        }
        if let Some(name) = &change.name {
            user.name = given(name);
        }
        if let Some(email) = &change.email {
            user.email = given(email);
        }
        Ok(())
    };
    edited(asked, edit, |old, new| {
        let was = (quoted(old.name.as_deref()), quoted(old.email.as_deref()));
        let is = (quoted(new.name.as_deref()), quoted(new.email.as_deref()));
        format!("name {} -> {}, e-mail {} -> {}", was.0, is.0, was.1, is.1)
    })
    .await
}

pub(super) async fn groups(
    asked: &Asked,
    Body(wanted): Body<AssignedGroups>,
) -> Result<Done<UserInfo>, Failed> {
    let edit = |asked: &Asked, person: &Person, user: &mut User| {
        asked.may_change(person)?;
        let before = user.clone();
        user.groups.clone_from(&wanted.groups);
        asked.may_gain(Some(&before), user)
    };
    edited(asked, edit, |old, new| {
        format!("groups {} -> {}", listed(&old.groups), listed(&new.groups))
    })
    .await
}

pub(super) async fn roles(
    asked: &Asked,
    Body(wanted): Body<AssignedRoles>,
) -> Result<Done<UserInfo>, Failed> {
    let edit = |asked: &Asked, person: &Person, user: &mut User| {
        asked.may_change(person)?;
        let before = user.clone();
        user.roles.clone_from(&wanted.roles);
        asked.may_gain(Some(&before), user)
    };
    edited(asked, edit, |old, new| {
        format!("roles {} -> {}", listed(&old.roles), listed(&new.roles))
    })
    .await
}

/// Changes the user in the path. `edit` is asked again where somebody else was quicker, with
/// the user as they are then; what it refuses is refused.
pub(super) async fn edited(
    asked: &Asked,
    mut edit: impl FnMut(&Asked, &Person, &mut User) -> Result<(), Failed> + Send,
    note: impl FnOnce(&User, &User) -> String,
) -> Result<Done<UserInfo>, Failed> {
    let id = asked.user()?.user.id.clone();
    // A refusal leaves through the directory, which knows errors of its own.
    let refused = Mutex::new(None);
    let mut before: Option<Arc<Person>> = None;
    let changed = asked.directory().change(&id, |user| {
        let missing = || DirectoryError::NoUser(id.clone());
        let person = asked.directory().user(&id).ok_or_else(missing)?;
        let done = edit(asked, &person, user);
        before = Some(person);
        done.map_err(|failed| {
            *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
            DirectoryError::Bad(String::new())
        })
    });
    match changed.await {
        Ok(person) => {
            let words = before.map(|old| note(&old.user, &person.user)).unwrap_or_default();
            Ok(Done::noted(UserInfo::of(&person), format!("user {id}: {words}")))
        }
        Err(error) => {
            let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(refused.unwrap_or_else(|| error.into()))
        }
    }
}

/// The users with one of these ids, as a set; an error names the first that is none.
pub(super) fn ids(texts: &[String]) -> Result<BTreeSet<UserId>, Failed> {
    texts.iter().map(|text| user_id(text)).collect()
}
