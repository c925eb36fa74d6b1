//! A person whom a provider vouches for: found, linked or made.
//!
//! The provider's own id of somebody counts, never their address alone: an address can be
//! given to somebody else.

use std::sync::Arc;

use model::UserId;
use tidegate_model as model;

use super::{
    Directory, DirectoryError, Kind, Link, Person, User,
    change::{Owners, is_email, is_name},
};

/// Groups that a provider may name of one person. More than that is refused: a policy could
/// forbid by one that would be left out.
const MOST_GROUPS: usize = 10_000;
/// How often somebody is looked for again who is made by others meanwhile.
const TRIES: usize = 4;

/// What a provider said of somebody who has just signed in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Who they are there.
    pub link: Link,
    /// Their address, and whether it is known to be theirs.
    pub email: Option<(String, bool)>,
    /// Their name.
    pub name: Option<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their roles.
    pub roles: Vec<String>,
}

/// Why somebody may not come in, whatever their provider says. The texts are for the log and
/// the administrator.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignInRefused {
    /// The provider gave no usable address of somebody who is not known yet.
    #[error("the provider gave no e-mail address: ask for the scope `email`, or map the claim")]
    NoEmail,
    /// Nobody knows whether the address is theirs.
    #[error(
        "the provider does not vouch for the address `{0}`: `trust_email` in identity.toml says what is asked of it"
    )]
    NotVerified(String),
    /// Only those who are known may come in.
    #[error("`{0}` is not invited: add the user first")]
    NotInvited(String),
    /// The account was taken out of use.
    #[error("`{0}` is not active")]
    NotActive(UserId),
    /// The address belongs to somebody else, as the provider has it.
    #[error(
        "`{0}` is another person at this provider: an administrator may unlink the user, if they are the same"
    )]
    OtherPerson(UserId),
    /// The address leads to two users.
    #[error("`{0}` is the name of one user and the address of another: change one of them")]
    Ambiguous(String),
    /// The address is an agent's.
    #[error("`{0}` is an agent, and agents do not sign in with a provider")]
    IsAgent(UserId),
    /// There are more groups than we keep.
    #[error("the provider named {0} groups: limit them to those that matter here")]
    TooManyGroups(usize),
    /// The directory refused.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl Directory {
    /// Takes over what a provider says of somebody who has signed in there, and gives who they
    /// are here. Somebody unknown is found by a verified address and linked, or made if they
    /// `may_join`.
    pub async fn signed_in(
        &self,
        who: &Claimed,
        may_join: bool,
    ) -> Result<Arc<Person>, SignInRefused> {
        let who = cleaned(who)?;
        for _ in 0..TRIES {
            let known = match self.linked(&who.link) {
                Some(person) => Some(person),
                None => self.by_address(&who)?,
            };
            let taken = match known {
                Some(person) => self.take_over(&person, &who).await,
                None => self.join(&who, may_join).await,
            };
            match taken {
                // Somebody else was quicker: look again.
                Err(SignInRefused::Directory(
                    DirectoryError::Taken { .. } | DirectoryError::NoUser(_),
                )) => {}
                other => return other,
            }
        }
        Err(DirectoryError::Busy(who.link.subject.clone()).into())
    }

    /// The user whom a verified address leads to, if they can be this person.
    fn by_address(&self, who: &Claimed) -> Result<Option<Arc<Person>>, SignInRefused> {
        let email = verified(who)?;
        let named = UserId::new(email).ok().and_then(|id| self.user(&id));
        let found = match (named, self.by_email(email)) {
            (Some(one), Some(other)) if one.user.id != other.user.id => {
                return Err(SignInRefused::Ambiguous(email.to_owned()));
            }
            (one, other) => one.or(other),
        };
        let Some(person) = found else { return Ok(None) };
        self.could_be(&person, who)?;
        Ok(Some(person))
    }

    /// Whether a user without this link may get it.
    fn could_be(&self, person: &Person, who: &Claimed) -> Result<(), SignInRefused> {
        let user = &person.user;
        if user.kind == Kind::Agent {
            return Err(SignInRefused::IsAgent(user.id.clone()));
        }
        if user.links.iter().any(|link| link.is_beside(&who.link)) {
            return Err(SignInRefused::OtherPerson(user.id.clone()));
        }
        Ok(())
    }

    async fn take_over(
        &self,
        person: &Person,
        who: &Claimed,
    ) -> Result<Arc<Person>, SignInRefused> {
        let id = &person.user.id;
        let now = self.ground.clock.now();
        let email = who.email.as_ref().filter(|(_, is_verified)| *is_verified);
        let email = email.map(|(email, _)| email.clone());
        // An address that is somebody else's stays theirs.
        let email = email.filter(|email| self.by_email(email).is_none_or(|it| it.user.id == *id));
        let mut refused = None;
        let edit = |user: &mut User| {
            refused = None;
            let is_linked = user.links.contains(&who.link);
            if !user.active {
                refused = Some(SignInRefused::NotActive(user.id.clone()));
                return Ok(());
            }
            if !is_linked && user.links.iter().any(|one| one.is_beside(&who.link)) {
                refused = Some(SignInRefused::OtherPerson(user.id.clone()));
                return Ok(());
            }
            if !is_linked {
                // The provider of this name is another one now: what they were there is over.
                user.links.retain(|one| one.provider != who.link.provider);
                user.links.push(who.link.clone());
            }
            user.email = email.clone().or_else(|| user.email.clone());
            user.name = who.name.clone().or_else(|| user.name.clone());
            user.claimed_groups.clone_from(&who.groups);
            user.claimed_roles.clone_from(&who.roles);
            user.last_sign_in = Some(now);
            Ok(())
        };
        // The organisation's provider has the last word about who is an owner by it.
        let changed = self.change_along(id, (Owners::Free, &[]), edit).await;
        match refused {
            Some(refused) => Err(refused),
            None => Ok(changed?),
        }
    }

    async fn join(&self, who: &Claimed, may_join: bool) -> Result<Arc<Person>, SignInRefused> {
        let email = verified(who)?;
        if !may_join {
            return Err(SignInRefused::NotInvited(email.to_owned()));
        }
        let id = UserId::new(email).map_err(|_| SignInRefused::NoEmail)?;
        let now = self.ground.clock.now();
        let mut user = User::new(id, Kind::Person, now);
        user.email = Some(email.to_owned());
        user.name.clone_from(&who.name);
        user.links = vec![who.link.clone()];
        user.claimed_groups.clone_from(&who.groups);
        user.claimed_roles.clone_from(&who.roles);
        user.last_sign_in = Some(now);
        Ok(self.add(user).await?)
    }
}

/// The address that the provider vouches for.
fn verified(who: &Claimed) -> Result<&str, SignInRefused> {
    match &who.email {
        None => Err(SignInRefused::NoEmail),
        Some((email, false)) => Err(SignInRefused::NotVerified(email.clone())),
        Some((email, true)) => Ok(email),
    }
}

/// What was said, in our spelling, without what can be no name.
fn cleaned(who: &Claimed) -> Result<Claimed, SignInRefused> {
    let mut who = who.clone();
    who.email = who.email.map(|(email, is_verified)| (email.trim().to_lowercase(), is_verified));
    who.email = who.email.filter(|(email, _)| is_email(email));
    who.name = who.name.map(|name| name.trim().chars().take(120).collect::<String>());
    who.name = who.name.filter(|name| is_name(name));
    if who.groups.len() > MOST_GROUPS {
        return Err(SignInRefused::TooManyGroups(who.groups.len()));
    }
    who.groups.retain(|name| is_name(name));
    who.roles.retain(|name| is_name(name));
    Ok(who)
}
