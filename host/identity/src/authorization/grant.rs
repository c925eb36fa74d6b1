//! Grants: what somebody allowed a client to do, until it is revoked or not used for long.
//!
//! Rows of table `grant`: `"g" ‖ 0 ‖ id in hexadecimal` holds the grant, `"u" ‖ 0 ‖ SHA-256 of
//! the user ‖ 0 ‖ id` finds it by user. Both are written together and end together. A refresh
//! touches these two rows, however many grants there are. Knows no token's form.

use std::{fmt, str::FromStr, sync::Arc};

use model::{Timestamp, UserId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_model as model;
use tidegate_store::{Expect, Op, Table};

use super::{
    consent,
    error::AuthorizationError,
    revocations::{self, Revocations},
    rows::{self, Rows},
    spelling,
};
use crate::{Resource, Scopes, directory::Kind};

const GRANT: &[u8] = b"g\0";
const BY_USER: &[u8] = b"u\0";
const WHAT: &str = "grant";

/// Names one grant: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId([u8; 16]);

/// The text is no grant id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a grant id has 32 hexadecimal digits in lower case")]
pub struct BadGrantId;

impl GrantId {
    pub(crate) fn random() -> Result<Self, AuthorizationError> {
        Ok(Self(*spelling::random()?))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GrantId {
    type Err = BadGrantId;
    fn from_str(text: &str) -> Result<Self, BadGrantId> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(BadGrantId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| BadGrantId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl Serialize for GrantId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GrantId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How somebody came to grant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// In a browser, for a client that sent them there.
    AuthorizationCode,
    /// In a browser, for a client on another device.
    DeviceCode,
    /// Their organisation did, by an assertion.
    Assertion,
}

impl Origin {
    /// Its spelling for people and in audit rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::DeviceCode => "device_code",
            Self::Assertion => "assertion",
        }
    }
}

/// What is known of a grant by whoever lists them. Texts are what clients wrote: show them as
/// text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who granted it.
    pub user: UserId,
    /// The client, by its id.
    pub client: String,
    /// What the client was called then.
    pub client_name: String,
    /// What it is for.
    pub resource: Resource,
    /// The rights.
    pub scopes: Scopes,
    /// How it came about.
    pub origin: Origin,
    /// When.
    pub created: Timestamp,
    /// When a token was issued under it last.
    pub last_used: Timestamp,
    /// When it ends without further use.
    pub expires: Timestamp,
}

/// A grant as stored. Cannot be printed: it holds what refresh tokens are made with.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GrantRow {
    pub(crate) user: UserId,
    #[serde(default)]
    pub(crate) kind: Kind,
    pub(crate) client: String,
    pub(crate) client_name: String,
    /// Where its code went, to the letter, if it came by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redirect_uri: Option<String>,
    #[serde(with = "spelling::resource")]
    pub(crate) resource: Resource,
    #[serde(with = "spelling::scopes")]
    pub(crate) scopes: Scopes,
    pub(crate) origin: Origin,
    pub(crate) created: Timestamp,
    pub(crate) last_used: Timestamp,
    pub(crate) expires: Timestamp,
    /// When the person proved who they are, and how.
    pub(crate) authenticated: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) amr: Vec<String>,
    /// The browser session in which it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// The refresh token that is valid now, counted from 1; none was issued at 0.
    pub(crate) generation: u32,
    /// When it came to be.
    pub(crate) rotated: Timestamp,
    /// What all refresh tokens of this grant are made with.
    #[serde(with = "spelling::key")]
    pub(crate) family: spelling::key::Key,
}

impl GrantRow {
    fn shown(self, id: GrantId) -> Grant {
        let Self { user, client, client_name, resource, scopes, origin, .. } = self;
        let (created, last_used, expires) = (self.created, self.last_used, self.expires);
        Grant {
            id,
            user,
            client,
            client_name,
            resource,
            scopes,
            origin,
            created,
            last_used,
            expires,
        }
    }
}

/// The grants of one organisation.
#[derive(Debug, Clone)]
pub(crate) struct Grants {
    pub(crate) rows: Rows,
    pub(crate) revocations: Arc<Revocations>,
}

fn key(id: GrantId) -> Vec<u8> {
    [GRANT, id.to_string().as_bytes()].concat()
}

fn prefix_of(user: &UserId) -> Vec<u8> {
    [BY_USER, &spelling::digest(&[user.as_str().as_bytes()]), b"\0"].concat()
}

fn key_by_user(user: &UserId, id: GrantId) -> Vec<u8> {
    [prefix_of(user).as_slice(), id.to_string().as_bytes()].concat()
}

/// The id at the end of a key.
fn id_of(key: &[u8]) -> Option<GrantId> {
    let (_, id) = key.split_last_chunk::<32>()?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

impl Grants {
    /// The steps that write a grant, new or as it was found.
    pub(crate) fn write(
        &self,
        id: GrantId,
        row: &GrantRow,
        expect: Expect,
    ) -> Result<[Op; 2], AuthorizationError> {
        let expires = Some(row.expires);
        Ok([
            self.rows.put((Table::Grant, key(id)), row, expires, expect)?,
            self.rows.put((Table::Grant, key_by_user(&row.user, id)), &(), expires, Expect::Any)?,
        ])
    }

    /// A grant and the version of its row.
    pub(crate) async fn read(
        &self,
        id: GrantId,
    ) -> Result<Option<(GrantRow, u64)>, AuthorizationError> {
        let found: Option<(GrantRow, u64)> = self.rows.read(Table::Grant, &key(id), WHAT).await?;
        let now = self.rows.clock.now();
        Ok(found.filter(|(row, _)| row.expires > now && !self.revocations.has(&id)))
    }

    /// Ends a grant with all its tokens, on record and then in memory, and forgets that its
    /// user agreed to it. Says what it was, where there was a row; a grant without one (its
    /// token was issued once and for all) ends as well.
    pub(crate) async fn revoke(&self, id: GrantId) -> Result<Option<GrantRow>, AuthorizationError> {
        self.revoke_known(id, None).await
    }

    /// The same by one of its tokens, whose end is `last`: without a row there is no other.
    pub(crate) async fn revoke_by_token(
        &self,
        id: GrantId,
        last: Timestamp,
    ) -> Result<Option<GrantRow>, AuthorizationError> {
        self.revoke_known(id, Some(last)).await
    }

    async fn revoke_known(
        &self,
        id: GrantId,
        last: Option<Timestamp>,
    ) -> Result<Option<GrantRow>, AuthorizationError> {
        let found = self.rows.read::<GrantRow>(Table::Grant, &key(id), WHAT).await;
        // What cannot be read can be revoked all the same.
        let row = match found {
            Ok(found) => found.map(|(row, _)| row),
            Err(AuthorizationError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let until = revocations::end(self.rows.clock.now(), last.filter(|_| row.is_none()));
        let mut ops = vec![
            revocations::step(&self.rows, id, until)?,
            self.rows.delete(Table::Grant, key(id), Expect::Any),
        ];
        if let Some(row) = &row {
            ops.push(self.rows.delete(Table::Grant, key_by_user(&row.user, id), Expect::Any));
            ops.extend(consent::forget(&self.rows, row));
        }
        if !self.rows.commit(ops).await? {
            return Err(AuthorizationError::Busy);
        }
        self.revocations.insert(id, until);
        Ok(row)
    }

    /// One grant, as whoever lists them sees it.
    pub(crate) async fn one(&self, id: GrantId) -> Result<Option<Grant>, AuthorizationError> {
        Ok(self.read(id).await?.map(|(row, _)| row.shown(id)))
    }

    /// The ids of all grants of a user.
    pub(crate) async fn ids_of(&self, user: &UserId) -> Result<Vec<GrantId>, AuthorizationError> {
        let mut ids = Vec::new();
        self.rows.each(Table::Grant, &prefix_of(user), |row| ids.extend(id_of(&row.key))).await?;
        Ok(ids)
    }

    /// The grants of a user, the one used last first.
    pub(crate) async fn of(&self, user: &UserId) -> Result<Vec<Grant>, AuthorizationError> {
        let mut grants = Vec::new();
        for id in self.ids_of(user).await? {
            grants.extend(self.read(id).await?.map(|(row, _)| row.shown(id)));
        }
        grants.sort_by_key(|grant| std::cmp::Reverse((grant.last_used, grant.id)));
        Ok(grants)
    }

    /// At most `limit` grants in the order of their ids, after `after`.
    pub(crate) async fn list(
        &self,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, AuthorizationError> {
        let rows = self.rows.list(Table::Grant, GRANT, after.map(key), limit).await?;
        let now = self.rows.clock.now();
        let shown = |row: &tidegate_store::Row| -> Result<Option<Grant>, AuthorizationError> {
            let Some(id) = id_of(&row.key) else { return Ok(None) };
            let found: GrantRow = rows::value(&row.record, WHAT)?;
            let is_alive = found.expires > now && !self.revocations.has(&id);
            Ok(is_alive.then(|| found.shown(id)))
        };
        rows.iter().filter_map(|row| shown(row).transpose()).collect()
    }

    /// The ids of the grants for which `is_one` holds.
    pub(crate) async fn matching(
        &self,
        is_one: impl Fn(&GrantRow) -> bool,
    ) -> Result<Vec<GrantId>, AuthorizationError> {
        let mut ids = Vec::new();
        self.rows
            .each(Table::Grant, GRANT, |row| {
                let found =
                    rows::value::<GrantRow>(&row.record, WHAT).is_ok_and(|row| is_one(&row));
                ids.extend(id_of(&row.key).filter(|_| found));
            })
            .await?;
        Ok(ids)
    }
}
