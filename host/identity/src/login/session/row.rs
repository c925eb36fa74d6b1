//! How browser sessions lie in the table `session`.
//!
//! `"browser" ‖ 0 ‖ session id` holds the session as JSON. Beside it, written and removed with
//! it, empty rows by which it is found: `"browser-user" ‖ 0 ‖ SHA-256(user) ‖ id`,
//! `"browser-subject" ‖ 0 ‖ SHA-256(provider ‖ 0 ‖ issuer ‖ 0 ‖ subject) ‖ id` and
//! `"browser-sid" ‖ 0 ‖ SHA-256(provider ‖ 0 ‖ issuer ‖ 0 ‖ sid) ‖ id`. All end when the
//! session is as old as it may get.

use model::{OrgId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_model as model;
use tidegate_store::{Batch, Expect, Op, Put, Table};

use super::SessionId;
use crate::{authorization::ended, directory::Link};

/// The table.
pub(super) const TABLE: Table = Table::Session;
/// The version of a session's own form.
const SCHEMA: u32 = 1;

/// A session as stored. No `Debug`: it holds secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) user: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<String>,
    pub(super) auth_time: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) amr: Vec<String>,
    pub(super) created: Timestamp,
    pub(super) last_used: Timestamp,
    /// When it ends at the latest.
    pub(super) ends: Timestamp,
    /// The key of its cookies, as base64url.
    pub(super) key: String,
    pub(super) generation: u64,
    /// When the generation began.
    pub(super) renewed: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<String>,
}

/// By what sessions are found, beside their names.
pub(super) enum By<'a> {
    User(&'a UserId),
    Subject(&'a Link),
    Sid { at: &'a Link, sid: &'a str },
}

impl By<'_> {
    /// What the keys of the rows begin with.
    pub(super) fn prefix(&self) -> Vec<u8> {
        let of = |at: &Link, text: &str| {
            let parts = [&at.provider, "\0", &at.issuer, "\0", text];
            Sha256::digest(parts.concat().as_bytes())
        };
        let (word, digest): (&[u8], _) = match self {
            Self::User(user) => (b"browser-user\0", Sha256::digest(user.as_str().as_bytes())),
            Self::Subject(link) => (b"browser-subject\0", of(link, &link.subject)),
            Self::Sid { at, sid } => (b"browser-sid\0", of(at, sid)),
        };
        [word, digest.as_slice()].concat()
    }

    fn key(&self, id: &SessionId) -> Vec<u8> {
        let mut key = self.prefix();
        key.extend_from_slice(id.as_str().as_bytes());
        key
    }
}

/// The key of a session.
pub(super) fn key(id: &SessionId) -> Vec<u8> {
    [b"browser\0", id.as_str().as_bytes()].concat()
}

impl Row {
    /// A stored session; `None` where it is none that this version knows.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// Writes the session and what it is found by.
    pub(super) fn begin(&self, org: &OrgId, id: &SessionId) -> Batch {
        let found = self.found_by().into_iter().map(|by| Put {
            table: TABLE,
            org: org.clone(),
            key: by.key(id),
            value: Vec::new(),
            schema: SCHEMA,
            expires: Some(self.ends),
            expect: Expect::Any,
        });
        let batch = Batch::new().with(self.put(org, id, Expect::Absent));
        found.map(Op::Put).fold(batch, Batch::with)
    }

    /// Writes the session alone.
    pub(super) fn put(&self, org: &OrgId, id: &SessionId, expect: Expect) -> Op {
        Op::Put(Put {
            table: TABLE,
            org: org.clone(),
            key: key(id),
            // A plain structure of texts and numbers: there is nothing that could fail.
            value: serde_json::to_vec(self).unwrap_or_default(),
            schema: SCHEMA,
            expires: Some(self.ends),
            expect,
        })
    }

    /// Removes all of it, and notes that nothing given in it is to be redeemed.
    pub(super) fn end(&self, org: &OrgId, id: &SessionId, now: Timestamp) -> Batch {
        let batch = Batch::new().with(ended::note(org, id.as_str(), now));
        let batch = batch.delete(TABLE, org, &key(id));
        let found = self.found_by().into_iter().map(|by| by.key(id));
        found.fold(batch, |batch, key| batch.delete(TABLE, org, &key))
    }

    fn found_by(&self) -> Vec<By<'_>> {
        let mut by = vec![By::User(&self.user)];
        if let Some(link) = &self.link {
            by.push(By::Subject(link));
            if let Some(sid) = &self.sid {
                by.push(By::Sid { at: link, sid });
            }
        }
        by
    }
}
