//! Links by which somebody gets the first password: the first owner, or whoever is invited.
//!
//! A row of table `token`: `"bootstrap" ‖ 0 ‖ SHA-256 of the link's token`, JSON, schema 1, for
//! a day. It goes in the same commit that sets the password, so that a link works once. Unknown,
//! used and expired ones are the same.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{OrgId, Secret, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_model as model;
use tidegate_store::{Batch, Expect, Op, Put, Scan, StoreError, Table};

#[cfg(test)]
mod tests;

use super::password::{PasswordRefused, Passwords};
use crate::{
    Ground, Settings,
    directory::{Directory, DirectoryError, Kind, Person, User},
};

const SCHEMA: u32 = 1;
const PREFIX: &[u8] = b"bootstrap\0";
/// How long a link works.
const LIFETIME: Duration = Duration::from_hours(24);
const OWNER: &str = "owner";

/// Whom a link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invited {
    /// Whoever has it becomes an owner and chooses their address.
    FirstOwner,
    /// A user who chooses a password.
    User(UserId),
}

/// Why a link was not made, or does not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WelcomeRefused {
    /// There is no such link, or there was one.
    #[error("this link does not work any more: ask for a new one")]
    Unknown,
    /// People sign in with their organisation's provider.
    #[error("accounts with a password are not used here: sign in with the organisation's account")]
    NoAccounts,
    /// The first owner needs an address.
    #[error("an e-mail address is needed")]
    NoEmail,
    /// The password was not taken.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// The directory refused.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The system has no randomness.
    #[error("the system gives no random numbers")]
    Random,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The value of a row.
#[derive(Debug, Serialize, Deserialize)]
struct LinkRow {
    /// None for the first owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
}

/// The links of one organisation.
#[derive(Debug, Clone)]
pub struct Welcome {
    ground: Ground,
    directory: Arc<Directory>,
}

impl Welcome {
    /// Those of the organisation that both speak of.
    pub fn new(ground: Ground, directory: Arc<Directory>) -> Self {
        Self { ground, directory }
    }

    /// Whether there is no owner who could sign in, and no provider to make one.
    pub fn is_needed(&self, settings: &Settings) -> bool {
        settings.takes_accounts()
            && settings.usable_providers().next().is_none()
            && !self.directory.owners().iter().any(|owner| owner.user.password.is_some())
    }

    /// The link that makes the first owner, if one is needed; an earlier one stops working.
    pub async fn first_owner(&self, settings: &Settings) -> Result<Option<Secret>, WelcomeRefused> {
        if !self.is_needed(settings) {
            return Ok(None);
        }
        self.link(None).await.map(Some)
    }

    /// A link by which an active person chooses a password; an earlier one stops working.
    pub async fn invite(&self, settings: &Settings, id: &UserId) -> Result<Secret, WelcomeRefused> {
        if !settings.takes_accounts() {
            return Err(WelcomeRefused::NoAccounts);
        }
        let person = self.directory.user(id).ok_or_else(|| DirectoryError::NoUser(id.clone()))?;
        check(&person.user)?;
        self.link(Some(id.clone())).await
    }

    /// Whom a link is for, if it works.
    pub async fn look(&self, settings: &Settings, token: &str) -> Result<Invited, WelcomeRefused> {
        self.find(settings, token).await.map(|(invited, _)| invited)
    }

    /// Uses a link up: the password is set, and the first owner made with this address.
    pub async fn accept(
        &self,
        (settings, passwords): (&Settings, &Passwords),
        token: &str,
        email: Option<&str>,
        password: &Secret,
    ) -> Result<Arc<Person>, WelcomeRefused> {
        let (invited, used) = self.find(settings, token).await?;
        let done = match &invited {
            Invited::FirstOwner => {
                let email = email.map(|email| email.trim().to_lowercase());
                let email = email.filter(|it| !it.is_empty()).ok_or(WelcomeRefused::NoEmail)?;
                let digest = passwords.digest(password, &[&email]).await?;
                self.make_owner(&email, &digest, used).await
            }
            Invited::User(id) => {
                let known = self.directory.user(id).ok_or(WelcomeRefused::Unknown)?;
                let own = known.user.email.as_deref().unwrap_or_default();
                let digest = passwords.digest(password, &[id.as_str(), own]).await?;
                self.give_password(id, &digest, used).await
            }
        };
        done.map_err(|error| match error {
            // Somebody was quicker with the same link.
            DirectoryError::Store(StoreError::Conflict { table: Table::Token, .. }) => {
                WelcomeRefused::Unknown
            }
            error => error.into(),
        })
    }

    async fn make_owner(
        &self,
        email: &str,
        digest: &str,
        used: Op,
    ) -> Result<Arc<Person>, DirectoryError> {
        let id = UserId::new(email).map_err(|error| DirectoryError::Bad(error.to_string()))?;
        let known = self.directory.user(&id).or_else(|| self.directory.by_email(email));
        let now = self.ground.clock.now();
        if let Some(known) = known {
            return self
                .directory
                .change_with(&known.user.id, &[used], |user| {
                    check(user)?;
                    user.password = Some(digest.to_owned());
                    // Whoever acts for them already does not become an owner by it.
                    user.not_before = user.not_before.max(now);
                    user.roles.push(OWNER.to_owned());
                    Ok(())
                })
                .await;
        }
        let mut user = User::new(id, Kind::Person, now);
        user.email = Some(email.to_owned());
        user.roles = vec![OWNER.to_owned()];
        user.password = Some(digest.to_owned());
        self.directory.add_along(user, vec![used]).await
    }

    async fn give_password(
        &self,
        id: &UserId,
        digest: &str,
        used: Op,
    ) -> Result<Arc<Person>, DirectoryError> {
        let now = self.ground.clock.now();
        let edit = |user: &mut User| {
            check(user)?;
            user.password = Some(digest.to_owned());
            user.not_before = user.not_before.max(now);
            Ok(())
        };
        self.directory.change_with(id, &[used], edit).await
    }

    async fn link(&self, user: Option<UserId>) -> Result<Secret, WelcomeRefused> {
        let mut random = zeroize::Zeroizing::new([0_u8; 32]);
        getrandom::fill(random.as_mut_slice()).map_err(|_| WelcomeRefused::Random)?;
        let token = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
        let mut batch = Batch::new();
        for row in self.ground.store.scan(self.all()).await? {
            let known: Option<LinkRow> = serde_json::from_slice(&row.record.value).ok();
            if known.is_none_or(|known| known.user == user) {
                batch = batch.delete(Table::Token, self.org(), &row.key);
            }
        }
        let put = Put {
            table: Table::Token,
            org: self.org().clone(),
            key: key(&token),
            value: serde_json::to_vec(&LinkRow { user }).unwrap_or_default(),
            schema: SCHEMA,
            expires: Some(self.ground.clock.now().after(LIFETIME)),
            expect: Expect::Absent,
        };
        self.ground.store.commit(batch.with(Op::Put(put))).await?;
        Ok(Secret::new(self.ground.issuer.endpoint(&format!("/welcome/{}", token.as_str()))))
    }

    /// Whom a link is for, and what uses it up.
    async fn find(
        &self,
        settings: &Settings,
        token: &str,
    ) -> Result<(Invited, Op), WelcomeRefused> {
        if !settings.takes_accounts() {
            return Err(WelcomeRefused::NoAccounts);
        }
        let key = key(token);
        let found = self.ground.store.get(Table::Token, self.org(), &key).await?;
        let now = self.ground.clock.now();
        let found =
            found.filter(|it| it.schema <= SCHEMA && it.expires.is_some_and(|end| end > now));
        let found = found.ok_or(WelcomeRefused::Unknown)?;
        let row: LinkRow =
            serde_json::from_slice(&found.value).map_err(|_| WelcomeRefused::Unknown)?;
        let usable = match &row.user {
            None => self.is_needed(settings),
            Some(id) => self.directory.user(id).is_some_and(|one| check(&one.user).is_ok()),
        };
        if !usable {
            return Err(WelcomeRefused::Unknown);
        }
        let expect = Expect::Version(found.version);
        let used = Op::Delete(Table::Token, self.org().clone(), key, expect);
        Ok((row.user.map_or(Invited::FirstOwner, Invited::User), used))
    }

    fn all(&self) -> Scan {
        Scan { prefix: PREFIX.to_vec(), ..Scan::all(Table::Token, self.org()) }
    }

    fn org(&self) -> &OrgId {
        self.ground.issuer.org()
    }
}

/// Whether this user can have a password.
fn check(user: &User) -> Result<(), DirectoryError> {
    let why = match (user.active, user.kind) {
        (true, Kind::Person) => return Ok(()),
        (true, Kind::Agent) => "an agent: give it an API key",
        (false, _) => "not active",
    };
    Err(DirectoryError::Bad(format!("`{}` is {why}", user.id)))
}

fn key(token: &str) -> Vec<u8> {
    [PREFIX, Sha256::digest(token.as_bytes()).as_slice()].concat()
}
