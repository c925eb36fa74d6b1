//! The proof that a call may leave: its intent is on record, or it needs none.

use tidegate_model::CallId;

/// Handed out by the audit record once the intent row is durable, or when a read-only call
/// needs none. Used up by the call it was made for.
#[derive(Debug)]
pub struct Receipt {
    call: CallId,
    seq: Option<u64>,
}

impl Receipt {
    pub(crate) fn new(call: CallId, seq: Option<u64>) -> Self {
        Self { call, seq }
    }

    /// The call it was made for.
    pub fn call(&self) -> CallId {
        self.call
    }

    /// The sequence number of the intent row, where there is one.
    pub fn seq(&self) -> Option<u64> {
        self.seq
    }
}
