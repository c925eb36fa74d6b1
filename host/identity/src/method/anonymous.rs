//! Nobody in particular, for a virtual MCP that serves callers without a credential.
//!
//! Whether a virtual MCP does is the HTTP layer's question; it also holds such a listener to
//! loopback.

use model::{OrgId, UserId};
use tidegate_model as model;

use crate::{Caller, SignIn};

/// The anonymous caller of an organisation: user `anonymous`, no groups, no roles.
pub fn anonymous(org: OrgId) -> Result<Caller, model::BadName> {
    Ok(Caller::new(org, UserId::new("anonymous")?, SignIn::Anonymous))
}
