//! What policy is asked before anybody gets access: may they have it at all?
//!
//! The same question as when a request comes in, so that nobody gets a token that would be of
//! no use, and none that policy forbids.

use tidegate_governance::policy::{AdminAction, RequestContext};
use tidegate_identity::{Caller, Resource};

use crate::revision::Revision;

/// Why somebody may not have access. What does not exist is refused in the same words.
#[derive(Debug)]
pub(crate) struct MayNot {
    /// A sentence for people.
    pub(crate) reason: String,
    /// The policies that forbid it.
    pub(crate) policies: Vec<String>,
}

impl Revision {
    /// Whether this caller may use a resource at all.
    pub(crate) fn may_use(
        &self,
        caller: &Caller,
        resource: &Resource,
        circumstances: &RequestContext<'_>,
    ) -> Result<(), MayNot> {
        match resource {
            Resource::Vmcp(vmcp) => {
                if self.snapshot.vmcp(vmcp.as_str()).is_none() || !caller.reaches(vmcp) {
                    return Err(MayNot::new("you may not use this virtual MCP", Vec::new()));
                }
                // As when a request is admitted: only a policy that forbids it counts.
                match self.policies.authorize_connect(caller, vmcp, circumstances) {
                    Err(denial) if !denial.policies.is_empty() => Err(MayNot::new(
                        "you may not use this virtual MCP",
                        denial.policies.to_vec(),
                    )),
                    _ => Ok(()),
                }
            }
            Resource::Admin => {
                let may = |action: &AdminAction| {
                    self.policies.authorize_admin(caller, *action, circumstances).is_ok()
                };
                let may_anything = caller.reaches_admin() && AdminAction::ALL.iter().any(may);
                let words = "you may not administer this gateway";
                may_anything.then_some(()).ok_or_else(|| MayNot::new(words, Vec::new()))
            }
        }
    }
}

impl MayNot {
    fn new(reason: &str, policies: Vec<String>) -> Self {
        Self { reason: reason.to_owned(), policies }
    }
}
