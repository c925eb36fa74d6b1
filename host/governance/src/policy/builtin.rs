//! The policies that are in force in every organisation: what the gateway's own roles may do.
//!
//! They permit and forbid nothing, so an organisation's own policies have the last word.

use super::PolicyFile;

/// Their text.
pub const ROLES: &str = include_str!("../../../../policies/builtin/roles.cedar");

/// What the ids of these begin with; no other policy's does.
pub(super) const PREFIX: &str = "builtin:";

/// The file, for the compiler.
pub(super) fn file() -> PolicyFile {
    PolicyFile { name: "builtin/roles.cedar".to_owned(), text: ROLES.to_owned() }
}
