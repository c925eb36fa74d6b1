//! Audit rows of what happens to identity: sign-ins, consents, tokens, revocations.
//!
//! Each is on disk before it is answered, whatever the setting. No row holds a token, a code
//! or a password.

use std::net::IpAddr;

use tidegate_governance::audit::AuditError;
use tidegate_identity::{Caller, Resource};
use tidegate_model::{CallId, OrgId, Refusal, RefusalCode};

use super::{Identity, question::MayNot};
use crate::{gateway::Gateway, revision::Revision};

/// Something that happened.
#[derive(Debug, Default)]
pub(crate) struct Event<'a> {
    /// Who did it, where that is known.
    pub(crate) caller: Option<&'a Caller>,
    /// Where from.
    pub(crate) source: Option<IpAddr>,
    /// The client, as it calls itself.
    pub(crate) client: Option<&'a str>,
    /// What it was about.
    pub(crate) resource: Option<&'a Resource>,
    /// More, in a few words.
    pub(crate) note: String,
    /// The policies that forbade it.
    pub(crate) denied: &'a [String],
    /// Why it came to nothing.
    pub(crate) refused: Option<(RefusalCode, String)>,
}

impl<'a> Event<'a> {
    /// Policy said no.
    pub(crate) fn forbidden(self, why: &'a MayNot) -> Self {
        let refused = Some((RefusalCode::PolicyDenied, why.reason.clone()));
        Self { denied: &why.policies, refused, ..self }
    }

    /// Whoever asked was not known, or not by this.
    pub(crate) fn unauthenticated(self, why: impl Into<String>) -> Self {
        Self { refused: Some((RefusalCode::Unauthenticated, why.into())), ..self }
    }
}

impl Identity {
    /// Puts it on record under a name like `identity:sign_in`.
    pub(crate) async fn note(
        &self,
        gateway: &Gateway,
        revision: &Revision,
        method: &str,
        event: Event<'_>,
    ) -> Result<(), AuditError> {
        let org: &OrgId = self.ground.issuer.org();
        let mut random = [0_u8; 10];
        // Without randomness ids still sort and differ by time.
        if getrandom::fill(&mut random).is_err() {
            tracing::error!("the system has no randomness for call ids");
        }
        let id = CallId::new(gateway.clock.now(), random);
        let mut record = gateway.audit.open(id, org.clone(), method);
        record.always_on_disk();
        record.revision(revision.id);
        if let Some(caller) = event.caller {
            record.caller(caller);
        }
        record.origin(event.source, event.client);
        if let Some(Resource::Vmcp(vmcp)) = event.resource {
            record.vmcp(vmcp, revision.id);
        }
        if !event.note.is_empty() {
            record.remark(&event.note);
        }
        match event.refused {
            None => record.done().await,
            Some((code, why)) => {
                record.denied(event.denied, &[]);
                record.refused(&Refusal::new(code, why)).await
            }
        }
    }
}
