//! How the facts of a session lie in the store's table `session`.
//!
//! The key is `"facts" ‖ 0 ‖ virtual MCP ‖ 0 ‖ SHA-256 of the user's name`, since names may be
//! longer than a key. The value is `1 ‖ used u64 ‖ facts`: the moment of the last use that was
//! written down, milliseconds since 1970, little endian; then each fact with a line feed after
//! it. The row ends when the session has been quiet for long enough, and some time later for
//! uses that were not written down.

use sha2::{Digest, Sha256};
use tidegate_model::Timestamp;
use tidegate_store::{Expect, Op, Put, Table};
use tidegate_wasm::capabilities::facts::is_fact;

use super::{IDLE, REFRESH, Who};

/// First byte of a value.
const FORMAT: u8 = 1;

pub(super) fn key(who: &Who) -> Vec<u8> {
    let user = Sha256::digest(who.user.as_str().as_bytes());
    [b"facts\0", who.vmcp.as_str().as_bytes(), b"\0", user.as_slice()].concat()
}

/// The row of a session with these facts; without any there is none.
pub(super) fn write(who: &Who, facts: &[String], used: Timestamp, expect: Expect) -> Op {
    let key = key(who);
    if facts.is_empty() {
        return Op::Delete(Table::Session, who.org.clone(), key, expect);
    }
    let mut value = vec![FORMAT];
    value.extend_from_slice(&used.as_millis().to_le_bytes());
    for fact in facts {
        value.extend_from_slice(fact.as_bytes());
        value.push(b'\n');
    }
    Op::Put(Put {
        table: Table::Session,
        org: who.org.clone(),
        key,
        value,
        schema: 0,
        // One refresh may be due, and the one before may have failed.
        expires: Some(used.after(IDLE + REFRESH * 2)),
        expect,
    })
}

/// The facts in a row, sorted; `None` where it is none that this version knows.
pub(super) fn read(value: &[u8]) -> Option<Vec<String>> {
    let (_used, rest) = value.strip_prefix(&[FORMAT])?.split_first_chunk::<8>()?;
    let text = std::str::from_utf8(rest).ok()?;
    let mut facts: Vec<String> = text.lines().map(str::to_owned).collect();
    facts.sort_unstable();
    facts.iter().all(|fact| is_fact(fact)).then_some(facts)
}
