//! How users and groups lie in the store's table `user`.
//!
//! Keys are a word, NUL, then: `user` the id; `claims` the id, NUL and a number, for claimed
//! groups that do not fit into the user's row; `group` the group's id; `member` the group's
//! id, NUL and the user's id. What only one may have is a row whose value is the holder's id
//! and whose key ends with a SHA-256: `email`, `external` (id), `link` (provider, NUL,
//! issuer, NUL, subject) and `group-name`. Values of `user`, `claims` and `group` are JSON, schema 1. A row of claims
//! has the version of its user's row.

use std::collections::BTreeSet;

use model::{OrgId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_model as model;
use tidegate_store::{Expect, Op, Put, Record, Row, Scan, Store, Table};

use super::{DirectoryError, Group, Link, User};

/// Version of the values.
const SCHEMA: u32 = 1;
/// Bytes of a value that we fill at most.
const VALUE: usize = 15 << 10;
/// Rows of claims that one user may have.
const PARTS: u16 = 256;
/// Rows that are read at once.
const PAGE: usize = 1_000;

pub(super) const USERS: &[u8] = b"user\0";
pub(super) const GROUPS: &[u8] = b"group\0";

/// A user as stored.
#[derive(Debug, Serialize, Deserialize)]
struct UserRow {
    user: User,
    /// How many rows of claims there are beside it.
    #[serde(default, skip_serializing_if = "is_zero")]
    parts: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(parts: &u16) -> bool {
    *parts == 0
}

/// A group as stored, without its members.
#[derive(Debug, Serialize, Deserialize)]
struct GroupRow {
    id: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    created: Timestamp,
}

/// The key of a user.
pub(super) fn user_key(id: &UserId) -> Vec<u8> {
    [USERS, id.as_str().as_bytes()].concat()
}

/// The user whom a key is for.
pub(super) fn user_of(key: &[u8]) -> Option<UserId> {
    UserId::new(std::str::from_utf8(key.strip_prefix(USERS)?).ok()?).ok()
}

/// The key of a group.
pub(super) fn group_key(id: &str) -> Vec<u8> {
    [GROUPS, id.as_bytes()].concat()
}

/// The group that a key is for.
pub(super) fn group_of(key: &[u8]) -> Option<String> {
    std::str::from_utf8(key.strip_prefix(GROUPS)?).ok().map(str::to_owned)
}

fn claims_key(id: &UserId, part: u16) -> Vec<u8> {
    [b"claims\0", id.as_str().as_bytes(), b"\0", &part.to_be_bytes()].concat()
}

fn members_prefix(group: &str) -> Vec<u8> {
    [b"member\0", group.as_bytes(), b"\0"].concat()
}

fn member_key(group: &str, user: &UserId) -> Vec<u8> {
    [members_prefix(group).as_slice(), user.as_str().as_bytes()].concat()
}

fn put(org: &OrgId, key: Vec<u8>, value: Vec<u8>, expect: Expect) -> Op {
    let (org, schema) = (org.clone(), SCHEMA);
    Op::Put(Put { table: Table::User, org, key, value, schema, expires: None, expect })
}

fn delete(org: &OrgId, key: Vec<u8>, expect: Expect) -> Op {
    Op::Delete(Table::User, org.clone(), key, expect)
}

/// Something that only one user or group may have: what it is, its text, its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unique {
    pub(super) what: &'static str,
    pub(super) value: String,
    pub(super) key: Vec<u8>,
}

impl Unique {
    fn new(what: &'static str, word: &str, value: String, digested: &[&[u8]]) -> Self {
        let digest = Sha256::digest(digested.join(&0));
        let key = [word.as_bytes(), b"\0", digest.as_slice()].concat();
        Self { what, value, key }
    }

    fn of_link(link: &Link) -> Self {
        let parts = [&link.provider, &link.issuer, &link.subject].map(|text| text.as_bytes());
        let value = format!("{} at {}", link.subject, link.provider);
        Self::new("link", "link", value, &parts)
    }

    /// What only this user may have.
    pub(super) fn of_user(user: &User) -> BTreeSet<Self> {
        let email = user
            .email
            .iter()
            .map(|email| Self::new("e-mail address", "email", email.clone(), &[email.as_bytes()]));
        let external = user
            .external_id
            .iter()
            .map(|id| Self::new("external id", "external", id.clone(), &[id.as_bytes()]));
        user.links.iter().map(Self::of_link).chain(email).chain(external).collect()
    }

    /// What only a group of this name may have.
    pub(super) fn of_group(name: &str) -> Self {
        Self::new("group name", "group-name", name.to_owned(), &[name.as_bytes()])
    }

    /// Takes it for `holder`, if it is nobody's.
    pub(super) fn take(&self, org: &OrgId, holder: &str) -> Op {
        put(org, self.key.clone(), holder.as_bytes().to_vec(), Expect::Absent)
    }

    /// Gives it up.
    pub(super) fn give_up(&self, org: &OrgId) -> Op {
        delete(org, self.key.clone(), Expect::Any)
    }
}

/// Writes a user, and what only they may have, over `old`.
pub(super) fn write_user(
    org: &OrgId,
    user: &User,
    old: Option<&User>,
    expect: Expect,
) -> Result<Vec<Op>, DirectoryError> {
    let (before, now) = (old.map(Unique::of_user).unwrap_or_default(), Unique::of_user(user));
    let id = user.id.as_str();
    let mut ops: Vec<Op> = before.difference(&now).map(|one| one.give_up(org)).collect();
    ops.extend(now.difference(&before).map(|one| one.take(org, id)));
    let (value, parts) = encode(user)?;
    let old_parts = old.map(encode).transpose()?.map_or(0, |(_, parts)| parts.len());
    for part in parts.len()..old_parts {
        ops.push(delete(org, claims_key(&user.id, number(part)?), Expect::Any));
    }
    for (part, value) in parts.into_iter().enumerate() {
        ops.push(put(org, claims_key(&user.id, number(part)?), value, Expect::Any));
    }
    ops.push(put(org, user_key(&user.id), value, expect));
    Ok(ops)
}

/// Removes a user and what only they had.
pub(super) fn delete_user(
    org: &OrgId,
    user: &User,
    version: u64,
) -> Result<Vec<Op>, DirectoryError> {
    let mut ops: Vec<Op> = Unique::of_user(user).iter().map(|one| one.give_up(org)).collect();
    for part in 0..encode(user)?.1.len() {
        ops.push(delete(org, claims_key(&user.id, number(part)?), Expect::Any));
    }
    ops.push(delete(org, user_key(&user.id), Expect::Version(version)));
    Ok(ops)
}

fn number(part: usize) -> Result<u16, DirectoryError> {
    let number = u16::try_from(part).ok().filter(|part| *part < PARTS);
    number.ok_or_else(|| DirectoryError::Bad("there are too many claimed groups to keep".into()))
}

/// The value of a user's row, and of the rows of claims beside it.
fn encode(user: &User) -> Result<(Vec<u8>, Vec<Vec<u8>>), DirectoryError> {
    let unfit = |error: serde_json::Error| DirectoryError::Bad(error.to_string());
    let whole = serde_json::to_vec(&UserRow { user: user.clone(), parts: 0 }).map_err(unfit)?;
    if whole.len() <= VALUE {
        return Ok((whole, Vec::new()));
    }
    let mut short = user.clone();
    let mut parts = Vec::new();
    let (mut part, mut size): (Vec<String>, usize) = (Vec::new(), 2);
    for group in std::mem::take(&mut short.claimed_groups) {
        // Escapes take six bytes at most for what was one.
        let weight = serde_json::to_vec(&group).map_err(unfit)?.len() + 1;
        if size + weight > VALUE {
            parts.push(serde_json::to_vec(&part).map_err(unfit)?);
            (part, size) = (Vec::new(), 2);
        }
        size += weight;
        part.push(group);
    }
    parts.push(serde_json::to_vec(&part).map_err(unfit)?);
    let row = UserRow { user: short, parts: number(parts.len())? };
    let value = serde_json::to_vec(&row).map_err(unfit)?;
    if value.len() > VALUE {
        let text = format!("there is too much to keep of `{}`: groups, roles or links", user.id);
        return Err(DirectoryError::Bad(text));
    }
    Ok((value, parts))
}

fn decode<T: for<'a> Deserialize<'a>>(name: &str, record: &Record) -> Result<T, DirectoryError> {
    if record.schema > SCHEMA {
        return Err(DirectoryError::Newer(name.to_owned()));
    }
    serde_json::from_slice(&record.value)
        .map_err(|error| DirectoryError::Bad(format!("the record of `{name}` is damaged: {error}")))
}

/// A user with its version.
type Versioned = (User, u64);

/// Reads what belongs to a user's row.
pub(super) async fn whole_user(
    store: &dyn Store,
    org: &OrgId,
    id: &UserId,
    record: Record,
) -> Result<Versioned, DirectoryError> {
    let mut record = record;
    loop {
        let row: UserRow = decode(id.as_str(), &record)?;
        let mut user = row.user;
        let mut is_torn = user.id != *id;
        if is_torn {
            return Err(DirectoryError::Bad(format!("the record of `{id}` is somebody else's")));
        }
        for part in 0..row.parts {
            let found = store.get(Table::User, org, &claims_key(id, part)).await?;
            match found.filter(|found| found.version == record.version) {
                Some(found) => {
                    let more: Vec<String> = decode(id.as_str(), &found)?;
                    user.claimed_groups.extend(more);
                }
                None => is_torn = true,
            }
        }
        if !is_torn {
            return Ok((user, record.version));
        }
        // It was written meanwhile.
        let again = store.get(Table::User, org, &user_key(id)).await?;
        let again = again.ok_or_else(|| DirectoryError::NoUser(id.clone()))?;
        if again.version == record.version {
            return Err(DirectoryError::Bad(format!("the groups of `{id}` are damaged")));
        }
        record = again;
    }
}

/// Reads one user.
pub(super) async fn user(
    store: &dyn Store,
    org: &OrgId,
    id: &UserId,
) -> Result<Option<Versioned>, DirectoryError> {
    match store.get(Table::User, org, &user_key(id)).await? {
        None => Ok(None),
        Some(record) => match whole_user(store, org, id, record).await {
            Err(DirectoryError::NoUser(_)) => Ok(None),
            other => other.map(Some),
        },
    }
}

/// The rows under a prefix, page by page: those after `after`.
pub(super) async fn page(
    store: &dyn Store,
    org: &OrgId,
    prefix: &[u8],
    after: Option<Vec<u8>>,
) -> Result<Vec<Row>, DirectoryError> {
    let (table, org, prefix) = (Table::User, org.clone(), prefix.to_vec());
    Ok(store.scan(Scan { table, org, prefix, after, limit: PAGE }).await?)
}

/// Writes a group's own row.
pub(super) fn write_group(
    org: &OrgId,
    group: &Group,
    expect: Expect,
) -> Result<Op, DirectoryError> {
    let row = GroupRow {
        id: group.id.clone(),
        name: group.name.clone(),
        external_id: group.external_id.clone(),
        created: group.created,
    };
    let value = serde_json::to_vec(&row).map_err(|e| DirectoryError::Bad(e.to_string()))?;
    Ok(put(org, group_key(&group.id), value, expect))
}

/// Removes a group's own row.
pub(super) fn delete_group(org: &OrgId, group: &Group) -> Op {
    delete(org, group_key(&group.id), Expect::Version(group.version))
}

/// Makes a user a member, or takes that back.
pub(super) fn write_member(org: &OrgId, group: &str, user: &UserId, is_member: bool) -> Op {
    let key = member_key(group, user);
    if is_member {
        put(org, key, b"{}".to_vec(), Expect::Any)
    } else {
        delete(org, key, Expect::Any)
    }
}

/// Reads one group with its members.
pub(super) async fn group(
    store: &dyn Store,
    org: &OrgId,
    id: &str,
) -> Result<Option<Group>, DirectoryError> {
    loop {
        let Some(record) = store.get(Table::User, org, &group_key(id)).await? else {
            return Ok(None);
        };
        let row: GroupRow = decode(id, &record)?;
        let members = members(store, org, id).await?;
        let again = store.get(Table::User, org, &group_key(id)).await?;
        // Every change of the members is one of the group.
        if again.is_some_and(|again| again.version == record.version) {
            return Ok(Some(Group {
                id: id.to_owned(),
                name: row.name,
                external_id: row.external_id,
                members,
                created: row.created,
                version: record.version,
            }));
        }
    }
}

async fn members(
    store: &dyn Store,
    org: &OrgId,
    group: &str,
) -> Result<BTreeSet<UserId>, DirectoryError> {
    let prefix = members_prefix(group);
    let (mut members, mut after) = (BTreeSet::new(), None);
    loop {
        let rows = page(store, org, &prefix, after).await?;
        let Some(last) = rows.last() else { return Ok(members) };
        after = Some(last.key.clone());
        for row in &rows {
            let id = row.key.strip_prefix(prefix.as_slice());
            let id = id.and_then(|id| std::str::from_utf8(id).ok());
            members.extend(id.and_then(|id| UserId::new(id).ok()));
        }
    }
}
