//! What one plugin hook may say.

use crate::Json;

/// The answer of one interceptor hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, nothing changed.
    Proceed,
    /// Go on with this in place of the arguments (before) or the result (after).
    Replace(Json),
    /// Stop; the text is shown to the caller.
    Refuse(String),
    /// Stop and answer with this result; the upstream is not asked (before hooks only).
    Answer(Json),
}

impl Verdict {
    /// The name used in audit rows and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Proceed => "proceed",
            Self::Replace(_) => "replace",
            Self::Refuse(_) => "refuse",
            Self::Answer(_) => "answer",
        }
    }
}
