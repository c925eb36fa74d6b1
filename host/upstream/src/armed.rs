//! The proofs that a connector acts upon.
//!
//! [`Armed`]: this call was permitted, has its credential, and its intent is on record. It
//! is made by value from the three and used up by the connector, so no call leaves twice.
//! [`Maintenance`]: the gateway's own work, which no caller asked for and which cannot
//! invoke anything.

use std::time::Instant;

use tidegate_governance::{audit::Receipt, policy::Permitted};
use tidegate_model::{Call, CallId, ConnectorId};
use tidegate_wasm::CallContext;

use crate::credential::Injection;

/// The three parts do not belong together: a fault of the gateway's own, which fails closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// The receipt is for another call.
    #[error("the receipt for call {receipt} does not fit call {call}")]
    Receipt {
        /// The call that was permitted.
        call: CallId,
        /// The call that was recorded.
        receipt: CallId,
    },
    /// The credential is for another call or another connector.
    #[error("the credential for connector `{injection}` does not fit call {call} to `{connector}`")]
    Injection {
        /// The call that was permitted.
        call: CallId,
        /// The connector it goes to.
        connector: ConnectorId,
        /// The connector that the credential is for.
        injection: ConnectorId,
    },
}

/// A call that may leave, once.
#[derive(Debug)]
#[must_use = "an armed call has a durable intent: hand it to its connector"]
pub struct Armed {
    call: Call,
    injection: Injection,
    told: Option<CallContext>,
}

impl Armed {
    /// Puts permit, credential and receipt together; all three must be for the same call.
    pub fn new(
        permitted: Permitted<Call>,
        injection: Injection,
        receipt: Receipt,
    ) -> Result<Self, ArmError> {
        Self::checked(permitted.into_inner(), injection, receipt.call())
    }

    fn checked(call: Call, injection: Injection, receipt: CallId) -> Result<Self, ArmError> {
        if receipt != call.id {
            return Err(ArmError::Receipt { call: call.id, receipt });
        }
        if !injection.is_for(&call) {
            return Err(ArmError::Injection {
                call: call.id,
                connector: call.operation.connector().clone(),
                injection: injection.connector().clone(),
            });
        }
        Ok(Self { call, injection, told: None })
    }

    /// What is to be done.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// Adds what a component is told about the caller. Without it a `wasm` connector is told
    /// of a caller without groups; the other kinds tell nobody.
    pub fn told(mut self, context: CallContext) -> Self {
        self.told = Some(context);
        self
    }

    pub(crate) fn into_parts(self) -> (Call, Injection, Option<CallContext>) {
        (self.call, self.injection, self.told)
    }

    #[cfg(test)]
    pub(crate) fn for_test(call: Call, injection: Injection) -> Self {
        Self { call, injection, told: None }
    }
}

/// What system work is done for; named in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Fetching the list of tools.
    Sync,
    /// Looking whether the connector is well.
    Health,
    /// An administrator's "test this connector".
    Test,
}

impl Duty {
    /// The spelling in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Health => "health",
            Self::Test => "test",
        }
    }
}

/// Proof of system work. The gateway's jobs make one for each piece of work; the methods
/// that take it set up sessions and read lists, and have no way to invoke a tool.
#[derive(Debug)]
pub struct Maintenance {
    duty: Duty,
    deadline: Instant,
}

impl Maintenance {
    /// For one piece of work, which nobody waits for after `deadline`.
    pub fn new(duty: Duty, deadline: Instant) -> Self {
        Self { duty, deadline }
    }

    /// What it is for.
    pub fn duty(&self) -> Duty {
        self.duty
    }

    /// The moment after which nobody waits for it.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{credential::Credential, tests::a_call};

    #[test]
    fn parts_of_different_calls_do_not_fit() {
        let call = a_call("crm", "echo", "{}");
        let other = a_call("mail", "echo", "{}");
        let none =
            |call: &Call| Credential::none(call.operation.connector().clone()).inject_now(call);

        let wrong_receipt = Armed::checked(call.clone(), none(&call).unwrap(), other.id);
        assert!(matches!(wrong_receipt, Err(ArmError::Receipt { .. })));

        let wrong_connector = Armed::checked(call.clone(), none(&other).unwrap(), call.id);
        assert!(matches!(wrong_connector, Err(ArmError::Injection { .. })));

        let again = a_call("crm", "echo", "{}");
        let wrong_call = Armed::checked(call.clone(), none(&again).unwrap(), call.id);
        assert!(matches!(wrong_call, Err(ArmError::Injection { .. })));

        assert!(Armed::checked(call.clone(), none(&call).unwrap(), call.id).is_ok());
    }
}
