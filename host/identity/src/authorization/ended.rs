//! Browser sessions that have ended: nothing that was given in one is redeemed any more.
//!
//! Rows of table `token`, `"ended" ‖ 0 ‖ SHA-256 of the session's name`, written in the commit
//! that ends a session. Each lasts as long as anything can wait that was given in it: what
//! became a grant is found and revoked by whoever ends the session. Knows no session.

use std::time::Duration;

use model::{OrgId, Timestamp};
use tidegate_model as model;
use tidegate_store::{Expect, Op, Put, Table};

use super::{device, spelling};

/// How long an approved device may wait, and a little for what was given while it ended.
const KEPT: Duration = device::LIFE.saturating_add(Duration::from_secs(60));

fn key(session: &str) -> Vec<u8> {
    [b"ended\0", spelling::digest(&[session.as_bytes()]).as_slice()].concat()
}

/// The step that notes that a session has ended.
pub(crate) fn note(org: &OrgId, session: &str, now: Timestamp) -> Op {
    Op::Put(Put {
        table: Table::Token,
        org: org.clone(),
        key: key(session),
        value: Vec::new(),
        schema: 0,
        expires: Some(now.after(KEPT)),
        expect: Expect::Any,
    })
}

/// The step that holds only while a session has not ended.
pub(crate) fn not_yet(org: &OrgId, session: &str) -> Op {
    Op::Check(Table::Token, org.clone(), key(session), Expect::Absent)
}
