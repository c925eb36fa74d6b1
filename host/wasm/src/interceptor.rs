//! Bound interceptors: hooks around a call.

use bytes::Bytes;
use tidegate_model::{Answer, Json, Verdict};

use crate::{
    BindError, Binding, CallContext, Counts, Failure, Trap,
    hook::{Prepared, run},
    output::{self, Shape},
};

/// What a `before-call` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// What becomes of the call.
    pub verdict: Verdict,
    /// To be handed to the same binding's [`Interceptor::after`] for this call.
    pub state: Option<Bytes>,
}

/// A component bound to look at calls, answers or both.
#[derive(Debug)]
pub struct Interceptor {
    prepared: Prepared,
    before: bool,
    after: bool,
}

impl Interceptor {
    /// Links the component; nothing is left to do per call but to run it.
    pub fn new(binding: &Binding<'_>) -> Result<Self, BindError> {
        let wanted = "`before-call` or `after-call`";
        let exports = binding.component.exports();
        let prepared =
            binding.prepare("interceptor", wanted, |it| it.before_call || it.after_call)?;
        Ok(Self { prepared, before: exports.before_call, after: exports.after_call })
    }

    /// The binding's name.
    pub fn name(&self) -> &str {
        &self.prepared.name
    }

    /// Whether it looks at calls; without, [`Interceptor::before`] proceeds at no cost.
    pub fn has_before(&self) -> bool {
        self.before
    }

    /// Whether it looks at answers; without, [`Interceptor::after`] proceeds at no cost.
    pub fn has_after(&self) -> bool {
        self.after
    }

    /// How often it ran.
    pub fn counts(&self) -> Counts {
        self.prepared.counts()
    }

    /// Shows it a call. Replaced arguments and answers are JSON objects that passed the
    /// strict check; whether they fit a schema is for the caller to find out.
    pub async fn before(&self, call: &CallContext, arguments: &Json) -> Result<Before, Failure> {
        if !self.before {
            return Ok(Before { verdict: Verdict::Proceed, state: None });
        }
        let prepared = &self.prepared;
        let config = prepared.config.as_str();
        let (verdict, state) =
            run!(prepared, Some(call), None, before(call, config, arguments.as_str()))?;
        if state.as_ref().is_some_and(|state| state.len() > prepared.limits.state) {
            let trap = Trap::OutputTooLarge(prepared.limits.state);
            return Err(Failure::trap(&prepared.name, trap));
        }
        let verdict = verdict.checked(|text| output::json(prepared, text, Shape::Object))?;
        Ok(Before { verdict, state: state.map(Bytes::from) })
    }

    /// Shows it an answer, with the state that its own `before` of this call returned. A
    /// replacement is of the answer's kind.
    pub async fn after(
        &self,
        call: &CallContext,
        answer: &Answer,
        state: Option<Bytes>,
    ) -> Result<Verdict, Failure> {
        if !self.after {
            return Ok(Verdict::Proceed);
        }
        let prepared = &self.prepared;
        let (config, state) = (prepared.config.as_str(), state.as_deref());
        let said = run!(prepared, Some(call), None, after(call, config, (answer, state)))?;
        said.checked(|text| output::json(prepared, text, Shape::Object))
    }
}
