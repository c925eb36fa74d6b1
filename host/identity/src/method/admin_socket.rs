//! The owner of the process, through the admin socket.
//!
//! The socket's file mode is the credential; who may open it is the caller's business.

use model::{OrgId, UserId};
use tidegate_model as model;

use crate::{Caller, SignIn};

/// The caller behind a connection to the admin socket: `owner`, with the role `owner`.
pub fn owner(org: OrgId) -> Result<Caller, model::BadName> {
    let caller = Caller::new(org, UserId::new("owner")?, SignIn::AdminSocket);
    Ok(caller.with_groups(Vec::new(), vec!["owner".into()]))
}
