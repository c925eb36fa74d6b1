//! `/api/v1/roles`: what each role may do, and who has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tidegate_governance::policy::AdminAction;
use tidegate_identity::{
    directory::{Kind, Person, User},
    method::session::session,
    settings::ROLES,
};
use tidegate_model::UserId;
use utoipa::ToSchema;

use super::{asked::Asked, failed::Failed, route::Done};

/// Users that are looked at in one step.
const STEP: usize = 500;
/// Users that are named for a role; how many there are is told beside it.
const NAMED: usize = 100;
/// Who is imagined to have a role and nothing else.
const SOMEBODY: &str = "somebody-with-this-role";

/// A role.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoleInfo {
    pub(crate) name: String,
    /// Whether the gateway itself knows it; others mean what policies make of them.
    pub(crate) built_in: bool,
    /// Groups that give it.
    pub(crate) groups: Vec<String>,
    /// How many users have it now.
    pub(crate) count: usize,
    /// The first hundred of them.
    pub(crate) users: Vec<String>,
    /// The administrative actions that policies permit now to somebody who has this role and
    /// nothing else, signed in to a browser.
    pub(crate) may: Vec<String>,
}

/// All roles.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RoleList {
    /// Those that the gateway knows, that groups give, and that somebody has.
    pub(crate) roles: Vec<RoleInfo>,
}

pub(super) async fn list(asked: &Asked, (): ()) -> Result<Done<RoleList>, Failed> {
    let settings = &asked.revision.settings;
    let mut roles: BTreeMap<String, RoleInfo> = BTreeMap::new();
    for name in ROLES {
        roles.entry(name.to_owned()).or_default().built_in = true;
    }
    for (name, groups) in &settings.roles {
        roles.entry(name.clone()).or_default().groups.clone_from(groups);
    }
    let mut after = None;
    loop {
        let some = asked.directory().users(after.as_ref(), STEP);
        let Some(last) = some.last() else { break };
        after = Some(last.user.id.clone());
        for person in &some {
            // What somebody would have is a role as well, though nobody has it.
            for role in &person.user.roles {
                roles.entry(role.clone()).or_default();
            }
            for role in person.roles.iter() {
                let info = roles.entry(role.clone()).or_default();
                info.count += 1;
                if info.users.len() < NAMED {
                    info.users.push(person.user.id.to_string());
                }
            }
        }
    }
    let complete = |(name, info): (String, RoleInfo)| {
        let may = may(asked, &name).into_iter().map(|action| action.name().to_owned()).collect();
        RoleInfo { name, may, ..info }
    };
    Ok(Done::of(RoleList { roles: roles.into_iter().map(complete).collect() }))
}

/// What policies permit to somebody who has this role and nothing else.
fn may(asked: &Asked, role: &str) -> BTreeSet<AdminAction> {
    let Ok(id) = UserId::new(SOMEBODY) else { return BTreeSet::new() };
    let somebody = Person {
        user: User::new(id, Kind::Person, asked.at),
        groups: Arc::from([]),
        roles: Arc::from([role.to_owned()]),
        version: 0,
    };
    let org = asked.caller.org().clone();
    let Some(caller) = session(org, &somebody, asked.at) else { return BTreeSet::new() };
    asked.permitted(&caller)
}
