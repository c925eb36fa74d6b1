//! Plugins that look at calls and answers.

use crate::Context;

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// Go on, nothing changed.
    Proceed,
    /// Go on with these arguments: the JSON text of an object.
    Replace(String),
    /// Stop; the text is shown to the caller.
    Refuse(String),
    /// Stop and answer with this `CallToolResult` (JSON text).
    Answer(String),
}

/// A decision and what the same plugin's `after` is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What becomes of the call.
    pub decision: Before,
    /// At most 64 KiB, the only memory between the two hooks of a call.
    pub state: Option<Vec<u8>>,
}

impl From<Before> for Outcome {
    fn from(decision: Before) -> Self {
        Self { decision, state: None }
    }
}

/// What the connector said; JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The `result` member.
    Result(&'a str),
    /// The `error` member.
    Error(&'a str),
}

impl<'a> Answer<'a> {
    /// The text of either.
    pub fn json(self) -> &'a str {
        match self {
            Self::Result(json) | Self::Error(json) => json,
        }
    }
}

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Pass it on as it is.
    Proceed,
    /// Pass this on instead (JSON text of the same kind).
    Replace(String),
    /// Withhold it; the text is shown to the caller.
    Refuse(String),
}

/// An interceptor. Every hook runs in a fresh instance: nothing survives in statics.
pub trait Interceptor: Sized {
    /// The JSON Schema of the configuration.
    const SCHEMA: &'static str = crate::NO_CONFIGURATION;

    /// Takes the configuration; an error refuses the call with its text.
    fn configure(config: &str) -> Result<Self, String>;

    /// A call is about to go out.
    fn before(&self, _context: &Context, _arguments: &str) -> Outcome {
        Before::Proceed.into()
    }

    /// The answer has come.
    fn after(&self, _context: &Context, _answer: Answer<'_>, _state: Option<&[u8]>) -> After {
        After::Proceed
    }
}
