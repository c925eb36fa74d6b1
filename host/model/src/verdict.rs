//! What one plugin hook may say.

use bytes::Bytes;

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
    /// Ask the person first, then run the hook again (before hooks only).
    Ask(Ask),
}

impl Verdict {
    /// The name used in audit rows and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Proceed => "proceed",
            Self::Replace(_) => "replace",
            Self::Refuse(_) => "refuse",
            Self::Answer(_) => "answer",
            Self::Ask(_) => "ask",
        }
    }
}

/// A plugin's question to the person behind the client (MCP form elicitation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is asked.
    pub message: String,
    /// The requested schema: a JSON object.
    pub schema: Json,
}

/// What the person said to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Agreed, and filled this in: a JSON object.
    Accept(Json),
    /// Said no.
    Decline,
    /// Closed the question without an answer.
    Cancel,
}

/// How a before hook is reached: at first, or with the reply to what it asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Round {
    /// 0 at first, one more with each question.
    pub number: u8,
    /// What the person said to the question of the round before.
    pub reply: Option<Reply>,
    /// What the hook handed over in the round before.
    pub state: Option<Bytes>,
}
