//! Bound interceptors: hooks around operations, lists and questions.
//!
//! Runs the guest and holds what it says to the event's rules ([`allowed`]); what becomes of
//! the operation is decided by whoever bound it.

mod allowed;

use bytes::Bytes;
use tidegate_model::{Answer, Json, Round, Verdict};

use crate::{
    BindError, Binding, CallContext, Counts, Event, Exports, Failure, Interface, ListKind, Trap,
    hook::{Prepared, run},
    output::{self, Shape},
    world::RawShown,
};

/// What a before hook said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// What becomes of the operation.
    pub verdict: Verdict,
    /// To be handed to the same binding's hook on the way back, or to its next round.
    pub state: Option<Bytes>,
}

/// What becomes of one item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// It is shown as it is.
    Show,
    /// It is left out.
    Hide,
    /// It is shown with these members (`title`, `description`, `icons`) instead of its own.
    Relabel(Json),
}

/// A component bound to look at what goes to connectors and comes back.
#[derive(Debug)]
pub struct Interceptor {
    prepared: Prepared,
    exports: Exports,
}

impl Interceptor {
    /// Links the component; nothing is left to do per call but to run it.
    pub fn new(binding: &Binding<'_>) -> Result<Self, BindError> {
        let wanted = "event such as `before-call`";
        let prepared = binding.prepare("interceptor", wanted, Exports::is_interceptor)?;
        Ok(Self { prepared, exports: binding.component.exports() })
    }

    /// The binding's name.
    pub fn name(&self) -> &str {
        &self.prepared.name
    }

    /// The hooks it has. A hook that it has not proceeds at no cost.
    pub fn exports(&self) -> Exports {
        self.exports
    }

    /// Whether it has that hook.
    pub fn has(&self, interface: Interface) -> bool {
        self.exports.has(interface)
    }

    /// How often it ran.
    pub fn counts(&self) -> Counts {
        self.prepared.counts()
    }

    /// Shows it an operation on its way to the connector. Replacements and answers are JSON
    /// objects that passed the strict check; whether they fit a schema is for the caller to
    /// find out. `arguments` are those of the event (`{}` for [`Event::Read`]).
    pub async fn before(
        &self,
        event: Event,
        call: &CallContext,
        arguments: &Json,
        round: &Round,
    ) -> Result<Before, Failure> {
        if !self.has(event.before()) {
            return Ok(Before { verdict: Verdict::Proceed, state: None });
        }
        let prepared = &self.prepared;
        let config = prepared.config.as_str();
        let given = (arguments.as_str(), round);
        let (verdict, state) =
            run!(prepared, Some(call), None, before(event, call, config, given))?;
        if state.as_ref().is_some_and(|state| state.len() > prepared.limits.state) {
            let trap = Trap::OutputTooLarge(prepared.limits.state);
            return Err(Failure::trap(&prepared.name, trap));
        }
        let verdict = verdict.checked(|text| output::json(prepared, text, Shape::Object))?;
        let checked = allowed::before(event, arguments, &verdict);
        checked.map_err(|why| self.not_allowed(why))?;
        Ok(Before { verdict, state: state.map(Bytes::from) })
    }

    /// Shows it an answer, with the state that its own `before` of this operation returned. A
    /// replacement is of the answer's kind.
    pub async fn after(
        &self,
        event: Event,
        call: &CallContext,
        answer: &Answer,
        state: Option<Bytes>,
    ) -> Result<Verdict, Failure> {
        if !self.has(event.after()) {
            return Ok(Verdict::Proceed);
        }
        let prepared = &self.prepared;
        let (config, state) = (prepared.config.as_str(), state.as_deref());
        let said = run!(prepared, Some(call), None, after(event, call, config, (answer, state)))?;
        let verdict = said.checked(|text| output::json(prepared, text, Shape::Object))?;
        allowed::after(event, answer, &verdict).map_err(|why| self.not_allowed(why))?;
        Ok(verdict)
    }

    /// Shows it what one connector offers a caller: published definitions in the order of the
    /// list. One verdict for each, in the same order.
    pub async fn shown(
        &self,
        call: &CallContext,
        kind: ListKind,
        items: &[Json],
    ) -> Result<Vec<Shown>, Failure> {
        if !self.has(Interface::Shown) {
            return Ok(vec![Shown::Show; items.len()]);
        }
        let prepared = &self.prepared;
        let config = prepared.config.as_str();
        let texts: Vec<&str> = items.iter().map(Json::as_str).collect();
        let said = run!(prepared, Some(call), None, shown(call, config, kind, &texts))?;
        if said.len() != items.len() {
            let words = format!("{} verdicts for {} items", said.len(), items.len());
            return Err(Failure::trap(&prepared.name, Trap::BadOutput(words)));
        }
        let checked = said.into_iter().map(|said| match said {
            RawShown::Show => Ok(Shown::Show),
            RawShown::Hide => Ok(Shown::Hide),
            RawShown::Relabel(text) => {
                let json = output::json(prepared, text, Shape::Object)?;
                allowed::relabel(&json).map_err(|why| self.not_allowed(why))?;
                Ok(Shown::Relabel(json))
            }
        });
        checked.collect()
    }

    /// Shows it a question of the connector; the context's method is the question's. A
    /// replacement holds the question's parameters, an answer its result.
    pub async fn question(&self, call: &CallContext, params: &Json) -> Result<Verdict, Failure> {
        if !self.has(Interface::OnQuestion) {
            return Ok(Verdict::Proceed);
        }
        let prepared = &self.prepared;
        let (config, text) = (prepared.config.as_str(), params.as_str());
        let said = run!(prepared, Some(call), None, question(call, config, text))?;
        let verdict = said.checked(|text| output::json(prepared, text, Shape::Object))?;
        let checked = allowed::question(call.method, params, &verdict);
        checked.map_err(|why| self.not_allowed(why))?;
        Ok(verdict)
    }

    fn not_allowed(&self, why: String) -> Failure {
        Failure::trap(&self.prepared.name, Trap::NotAllowed(why))
    }
}
