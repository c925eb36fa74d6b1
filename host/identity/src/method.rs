//! The sign-in methods, in the order in which they are tried.
//!
//! Each one turns a credential into a [`Caller`] or refuses; a refusal never
//! tells an unknown credential from a wrong or expired one. Whoever holds a stream open asks
//! [`Known::renew`] again and again.

use model::{OrgId, Timestamp, UserId};
use tidegate_model as model;

pub mod access_token;
pub mod admin_socket;
pub mod anonymous;
pub mod api_key;
pub mod provisioning;
pub mod session;
pub mod stored_key;

use crate::{
    Caller, SignIn,
    directory::{Directory, Person},
};
use access_token::AccessTokens;
use api_key::{ApiKeys, KeyRefused};
use stored_key::StoredKeys;

/// What is known now of credentials that outlive a request.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The keys in files.
    pub files: &'a ApiKeys,
    /// The keys that the gateway made.
    pub stored: &'a StoredKeys,
    /// Who there is.
    pub directory: &'a Directory,
    /// What is known of access tokens.
    pub tokens: &'a AccessTokens,
    /// The present moment.
    pub now: Timestamp,
}

impl Known<'_> {
    /// The caller behind a presented API key: those in files are asked first. A key in a file
    /// is worth nothing while the directory knows its holder and they are not active.
    pub fn key(&self, org: &OrgId, key: &str) -> Result<Caller, KeyRefused> {
        if org != self.directory.org() {
            return Err(KeyRefused::Unknown);
        }
        self::key((self.files, self.stored, self.directory), key, self.now)
    }

    /// The caller as they are known now, and when their credential ends; `None` where it is
    /// not good any more, or never outlives a request.
    pub fn renew(&self, caller: &Caller) -> Option<(Caller, Option<Timestamp>)> {
        let keys = (self.files, self.stored, self.directory);
        match caller.sign_in() {
            SignIn::ApiKey => renew_key(keys, caller, self.now).ok(),
            SignIn::Token => self.tokens.renew(caller, self.now).ok(),
            SignIn::Anonymous | SignIn::AdminSocket | SignIn::Session | SignIn::Provisioning => {
                None
            }
        }
    }
}

/// All keys of one organisation, and who there is.
type Keys<'a> = (&'a ApiKeys, &'a StoredKeys, &'a Directory);

fn key(
    (files, stored, directory): Keys<'_>,
    key: &str,
    now: Timestamp,
) -> Result<Caller, KeyRefused> {
    match files.authenticate(directory.org(), key, &At(now)) {
        Ok(caller) => active(directory, caller),
        Err(KeyRefused::Unknown) => stored.authenticate(directory, key),
        Err(refused) => Err(refused),
    }
}

fn renew_key(
    (files, stored, directory): Keys<'_>,
    caller: &Caller,
    now: Timestamp,
) -> Result<(Caller, Option<Timestamp>), KeyRefused> {
    match files.renew(caller, now) {
        Ok((caller, end)) => Ok((active(directory, caller)?, end)),
        Err(KeyRefused::Unknown) => stored.renew(directory, caller, now),
        Err(refused) => Err(refused),
    }
}

/// The holder of a key in a file, unless the directory knows better.
fn active(directory: &Directory, caller: Caller) -> Result<Caller, KeyRefused> {
    let name = caller.user().as_str();
    let lower = name.chars().any(char::is_uppercase).then(|| name.to_lowercase());
    let lower = lower.and_then(|name| UserId::new(&name).ok());
    let known = directory.user(lower.as_ref().unwrap_or_else(|| caller.user()));
    let fits = |person: &Person| person.user.active && person.user.kind == caller.kind();
    match (known, caller.key()) {
        (Some(person), Some(key)) if !fits(&person) => Err(KeyRefused::NotActive(key.clone())),
        _ => Ok(caller),
    }
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("now", &self.now).finish_non_exhaustive()
    }
}

/// A clock that stands still, for what is asked at one moment.
#[derive(Debug)]
struct At(Timestamp);

impl model::Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}
