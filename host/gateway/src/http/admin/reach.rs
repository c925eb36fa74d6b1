//! Nobody hands out what they do not have.
//!
//! Policies say who may give roles and groups at all; here stands which ones. Owners may give
//! everything. What others do may leave nobody with a role, or with an administrative action
//! that policies would permit them, which whoever does it does not have. Actions are judged
//! under the circumstances of the request, and once more whatever these are: whoever could
//! never do something makes nobody who could at another hour.

use std::collections::BTreeSet;

use tidegate_governance::policy::AdminAction;
use tidegate_identity::{
    Caller,
    directory::{Group, Person, User},
    method::session::session,
};
use tidegate_model::UserId;

use super::{asked::Asked, failed::Failed};

/// The role that may do everything.
const OWNER: &str = "owner";
/// The role of every active person, which nobody gives.
const MEMBER: &str = "member";
/// People who are judged before others get a turn.
const TURN: usize = 16;

/// A group that is to be different for some people.
pub(super) struct Regrouped<'a> {
    /// Its id; none where it is new.
    pub(super) id: &'a str,
    /// What it would be; none where it would be gone.
    pub(super) group: Option<&'a Group>,
    /// For whom it would make a difference.
    pub(super) people: BTreeSet<&'a UserId>,
}

/// What somebody may administrate: now, and at any time.
struct Actions {
    now: BTreeSet<AdminAction>,
    ever: BTreeSet<AdminAction>,
}

impl Asked {
    /// Whether nothing is beyond the caller.
    pub(super) fn is_owner(&self) -> bool {
        self.caller.roles().iter().any(|role| role == OWNER)
    }

    /// What policies permit to a caller as things are now.
    pub(super) fn permitted(&self, caller: &Caller) -> BTreeSet<AdminAction> {
        let (policies, context) = (&self.revision.policies, self.circumstances());
        let may =
            |action: &AdminAction| policies.authorize_admin(caller, *action, &context).is_ok();
        AdminAction::ALL.iter().copied().filter(may).collect()
    }

    /// Refuses to hand out roles that the caller does not have.
    pub(super) fn may_give<'a>(
        &self,
        roles: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), Failed> {
        if self.is_owner() {
            return Ok(());
        }
        let own = self.caller.roles();
        let beyond = roles.into_iter().find(|role| *role != MEMBER && !own.contains(role));
        match beyond {
            Some(role) => Err(Failed::denied(&format!(
                "you do not have the role `{role}` yourself: ask an owner"
            ))),
            None => Ok(()),
        }
    }

    /// Refuses a change of somebody that gives them what the caller does not have. `before` is
    /// who they are without it; none where they are new.
    pub(super) fn may_gain(&self, before: Option<&User>, after: &User) -> Result<(), Failed> {
        if self.is_owner() {
            return Ok(());
        }
        let person = |user: &User| self.directory().as_if(active(user), None);
        let own = self.actions(&self.caller);
        self.gain(&own, before.map(person).as_ref(), &person(after))
    }

    /// Refuses a change of a group that gives somebody what the caller does not have.
    pub(super) async fn may_regroup(&self, change: &Regrouped<'_>) -> Result<(), Failed> {
        if self.is_owner() {
            return Ok(());
        }
        if let Some(group) = change.group {
            // Whoever comes into it later gets what it gives.
            let gave = self.directory().group(change.id).map(|old| self.roles_of([&old.name]));
            let gives = self.roles_of([&group.name]);
            self.may_give(gives.difference(&gave.unwrap_or_default()))?;
        }
        let own = self.actions(&self.caller);
        for (number, id) in change.people.iter().enumerate() {
            let Some(person) = self.directory().user(id) else { continue };
            let user = active(&person.user);
            let before = self.directory().as_if(user.clone(), None);
            let after = self.directory().as_if(user, Some((change.id, change.group)));
            self.gain(&own, Some(&before), &after)?;
            if number % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Refuses to hand out a way to act as somebody who can do what the caller cannot.
    pub(super) fn may_act_as(&self, person: &Person) -> Result<(), Failed> {
        self.may_gain(None, &person.user)
    }

    /// Refuses to lead an address to somebody, where the caller is no owner: whoever has it
    /// signs in as them, and has what policies say of their name. Their name is their own.
    pub(super) fn may_address(&self, id: &UserId, email: Option<&str>) -> Result<(), Failed> {
        match email {
            Some(email) if !self.is_owner() && email.to_lowercase() != id.as_str() => {
                Err(Failed::denied(&format!(
                    "whoever has this address would sign in as `{id}`: ask an owner"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to change or remove owners, where the caller is none.
    pub(super) fn may_change(&self, person: &Person) -> Result<(), Failed> {
        let person = self.directory().as_if(active(&person.user), None);
        if person.has_role(OWNER) && !self.is_owner() {
            return Err(Failed::denied("only an owner changes owners"));
        }
        Ok(())
    }

    /// The roles that the settings give to any of these groups.
    pub(super) fn roles_of<'a>(
        &self,
        groups: impl IntoIterator<Item = &'a String>,
    ) -> BTreeSet<String> {
        let groups: BTreeSet<&String> = groups.into_iter().collect();
        let gives = |given: &Vec<String>| given.iter().any(|group| groups.contains(group));
        let roles = self.revision.settings.roles.iter();
        roles.filter(|(_, given)| gives(given)).map(|(role, _)| role.clone()).collect()
    }

    fn gain(&self, own: &Actions, before: Option<&Person>, after: &Person) -> Result<(), Failed> {
        let had: &[String] = before.map_or(&[], |before| &before.roles);
        self.may_give(after.roles.iter().filter(|role| !had.contains(role)))?;
        let is_same =
            |before: &Person| before.roles == after.roles && before.groups == after.groups;
        if before.is_some_and(is_same) {
            return Ok(());
        }
        let could = before.map(|before| self.actions_of(before));
        let can = self.actions_of(after);
        let news = |of: fn(&Actions) -> &BTreeSet<AdminAction>| {
            let is_old =
                |action: &AdminAction| could.as_ref().is_some_and(|it| of(it).contains(action));
            of(&can).iter().find(|it| !is_old(it) && !of(own).contains(it)).copied()
        };
        match news(|actions| &actions.now).or_else(|| news(|actions| &actions.ever)) {
            Some(action) => Err(Failed::denied(&format!(
                "policies would permit `{}` to do what you may not do ({action}): ask an owner",
                after.user.id
            ))),
            None => Ok(()),
        }
    }

    /// What somebody could administrate who is signed in to a browser.
    fn actions_of(&self, person: &Person) -> Actions {
        let at = self.at.max(person.user.not_before);
        match session(self.caller.org().clone(), person, at) {
            Some(caller) => self.actions(&caller),
            None => Actions { now: BTreeSet::new(), ever: BTreeSet::new() },
        }
    }

    fn actions(&self, caller: &Caller) -> Actions {
        let policies = &self.revision.policies;
        let ever = |action: &AdminAction| policies.could_administrate(caller, *action);
        let ever = AdminAction::ALL.iter().copied().filter(ever).collect();
        Actions { now: self.permitted(caller), ever }
    }
}

/// Somebody as they would be if they were active.
fn active(user: &User) -> User {
    User { active: true, ..user.clone() }
}
