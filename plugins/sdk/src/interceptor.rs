//! Plugins that look at what goes to connectors and what comes back.

use crate::{Answer, Context, Decision, Outcome, Review, Round};

pub use crate::bindings::on_question::exports::tidegate::plugin::on_question::Decision as QuestionDecision;
pub use crate::bindings::shown::exports::tidegate::plugin::shown::{
    Kind as ListKind, Verdict as Shown,
};

impl From<Decision> for Outcome {
    fn from(decision: Decision) -> Self {
        Self { decision, state: None }
    }
}

impl Answer {
    /// The JSON text of either.
    pub fn json(&self) -> &str {
        match self {
            Self::Result(json) | Self::Error(json) => json,
        }
    }

    /// Whether it is a result (which may still say `isError`).
    pub fn is_result(&self) -> bool {
        matches!(self, Self::Result(_))
    }
}

impl Round {
    /// The first time that the hook runs for an operation.
    pub fn first() -> Self {
        Self { number: 0, reply: None, state: None }
    }
}

/// An interceptor. Every hook runs in a fresh instance: nothing survives in statics.
///
/// Implement the hooks that are named in [`export!`](crate::export); the host calls no other.
/// JSON is text; a hook that returns `Proceed` costs nobody a parse.
pub trait Interceptor: Sized {
    /// The JSON Schema of the configuration.
    const SCHEMA: &'static str = crate::NO_CONFIGURATION;

    /// Takes the configuration; an error refuses the operation with its text.
    fn configure(config: &str) -> Result<Self, String>;

    /// A tool is about to be called.
    fn before_call(&self, _context: &Context, _arguments: &str, _round: &Round) -> Outcome {
        Decision::Proceed.into()
    }

    /// A tool has answered; `state` is what `before_call` handed over.
    fn after_call(&self, _context: &Context, _answer: &Answer, _state: Option<&[u8]>) -> Review {
        Review::Proceed
    }

    /// A prompt is about to be fetched.
    fn before_prompt(&self, _context: &Context, _arguments: &str, _round: &Round) -> Outcome {
        Decision::Proceed.into()
    }

    /// A prompt has been fetched.
    fn after_prompt(&self, _context: &Context, _answer: &Answer, _state: Option<&[u8]>) -> Review {
        Review::Proceed
    }

    /// A resource, `context.target`, is about to be read.
    fn before_read(&self, _context: &Context, _round: &Round) -> Outcome {
        Decision::Proceed.into()
    }

    /// A resource has been read.
    fn after_read(&self, _context: &Context, _answer: &Answer, _state: Option<&[u8]>) -> Review {
        Review::Proceed
    }

    /// An argument is about to be completed: `{"name": …, "value": …}`.
    fn before_completion(&self, _context: &Context, _argument: &str) -> Outcome {
        Decision::Proceed.into()
    }

    /// A completion has come back.
    fn after_completion(
        &self,
        _context: &Context,
        _answer: &Answer,
        _state: Option<&[u8]>,
    ) -> Review {
        Review::Proceed
    }

    /// A caller asks what there is: one verdict for each item, in the same order.
    fn shown(&self, _context: &Context, _kind: ListKind, items: &[String]) -> Vec<Shown> {
        items.iter().map(|_| Shown::Show).collect()
    }

    /// The connector asks the person or the model; `context.method` says which.
    fn on_question(&self, _context: &Context, _params: &str) -> QuestionDecision {
        QuestionDecision::Proceed
    }
}
