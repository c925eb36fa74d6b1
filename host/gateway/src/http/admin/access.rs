//! How a user comes in, and what ends with them.
//!
//! Browser sessions, grants and keys each know only their own end, so all of them are ended
//! here. Nobody gets a way to act as somebody from whoever could not do the same.

use serde::{Deserialize, Serialize};
use tidegate_identity::{
    directory::{Person, User},
    login::bootstrap::WelcomeRefused,
};
use tidegate_model::UserId;
use utoipa::ToSchema;

use super::{
    asked::{Asked, listed},
    failed::Failed,
    route::Done,
    users::{UserInfo, edited},
};

/// What came to an end.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct Ended {
    /// Browser sessions.
    pub(crate) sessions: usize,
    /// Grants.
    pub(crate) grants: usize,
    /// API keys that the gateway made.
    pub(crate) keys: usize,
}

impl Ended {
    fn words(&self) -> String {
        let Self { sessions, grants, keys } = self;
        format!("{sessions} sessions, {grants} grants and {keys} keys ended")
    }
}

/// A link by which somebody chooses a password.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct PasswordLink {
    pub(crate) user: String,
    /// Good for a day and for one use. It is shown this once.
    pub(crate) link: String,
}

pub(super) async fn activate(asked: &Asked, (): ()) -> Result<Done<UserInfo>, Failed> {
    let edit = |asked: &Asked, person: &Person, user: &mut User| {
        // They have again what they had.
        asked.may_act_as(person)?;
        user.active = true;
        Ok(())
    };
    edited(asked, edit, |old, new| format!("active {} -> {}", old.active, new.active)).await
}

pub(super) async fn deactivate(asked: &Asked, (): ()) -> Result<Done<Ended>, Failed> {
    let person = asked.user()?;
    asked.may_change(&person)?;
    let id = &person.user.id;
    asked.directory().deactivate(id).await?;
    let mut ended = Ended::default();
    end_access(asked, id, &mut ended).await?;
    let note = format!("user {id}: active {} -> false; {}", person.user.active, ended.words());
    Ok(Done::noted(ended, note))
}

pub(super) async fn remove(asked: &Asked, (): ()) -> Result<Done<Ended>, Failed> {
    let person = asked.user()?;
    asked.may_change(&person)?;
    let id = &person.user.id;
    // A key in a file would stand for them again once nobody here knows them.
    let key = asked.revision.resources.keys.iter().find(|(_, key)| {
        let holder = key.user.as_ref().or(key.agent.as_ref());
        holder.is_some_and(|holder| holder.to_lowercase() == id.as_str())
    });
    if let Some((key, _)) = key {
        let words =
            format!("keys/{key}.toml is a key of `{id}`: remove it first, or deactivate them");
        return Err(Failed::conflict(words));
    }
    asked.directory().deactivate(id).await?;
    let mut ended = Ended::default();
    end_access(asked, id, &mut ended).await?;
    ended.keys = asked.identity.keys.revoke_of(id).await?.len();
    asked.directory().remove(id).await?;
    let info = UserInfo::of(&person);
    let note = format!(
        "{} {id} removed, who had groups {} and roles {}; {}",
        info.kind,
        listed(&info.groups),
        listed(&info.roles),
        ended.words()
    );
    Ok(Done::noted(ended, note))
}

pub(super) async fn unlink(asked: &Asked, (): ()) -> Result<Done<UserInfo>, Failed> {
    let provider = asked.parameter("provider")?;
    let edit = |asked: &Asked, person: &Person, user: &mut User| {
        // Whoever signs in next with the address is this user.
        asked.may_change(person)?;
        asked.may_act_as(person)?;
        let before = user.links.len();
        user.links.retain(|link| link.provider != provider);
        if user.links.len() == before {
            let words = format!("`{}` is not linked to anybody at `{provider}`", user.id);
            return Err(Failed::missing(words));
        }
        Ok(())
    };
    let subjects = |user: &User| {
        let links = user.links.iter().filter(|link| link.provider == provider);
        listed(links.map(|link| link.subject.clone()))
    };
    edited(asked, edit, |old, _| format!("links at {provider} {} -> []", subjects(old))).await
}

pub(super) async fn sign_out(asked: &Asked, (): ()) -> Result<Done<Ended>, Failed> {
    let person = asked.user()?;
    let id = &person.user.id;
    asked.directory().sign_out_everywhere(id).await?;
    let mut ended = Ended::default();
    end_access(asked, id, &mut ended).await?;
    let note = format!("user {id} signed out everywhere: {}", ended.words());
    Ok(Done::noted(ended, note))
}

/// Ends the browser sessions and grants of somebody.
async fn end_access(asked: &Asked, id: &UserId, ended: &mut Ended) -> Result<(), Failed> {
    ended.sessions = asked.identity.browsers.end_user(id).await?.len();
    ended.grants = asked.identity.server.revoke_user(id).await?;
    Ok(())
}

/// A link by which somebody with an account of the gateway's own chooses a password.
pub(super) async fn password_link(asked: &Asked, (): ()) -> Result<Done<PasswordLink>, Failed> {
    let person = asked.user()?;
    // Whoever has the link can become them.
    asked.may_act_as(&person)?;
    let id = &person.user.id;
    let made = asked.identity.welcome.invite(&asked.revision.settings, id).await;
    let link = made.map_err(|refused| match refused {
        WelcomeRefused::NoAccounts => Failed::conflict(refused.to_string()),
        WelcomeRefused::Directory(error) => error.into(),
        WelcomeRefused::Store(error) => error.into(),
        other => Failed::internal(&other),
    })?;
    let link = PasswordLink { user: id.to_string(), link: link.expose().to_owned() };
    Ok(Done::noted(link, format!("user {id}: a link to choose a password was made")))
}
