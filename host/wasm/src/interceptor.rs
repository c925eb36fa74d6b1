//! Bound interceptors: hooks around operations, lists and questions.
//!
//! Runs the guest and holds what it says to the event's rules (`allowed`); what becomes of
//! the operation is decided by whoever bound it.

mod allowed;

use bytes::Bytes;
use tidegate_model::{Answer, Json, Round, Verdict};

use crate::{
    BindError, Binding, CallContext, Counts, Event, Exports, Failure, Interface, Line, ListKind,
    Trap,
    counters::Said,
    hook::{Prepared, run},
    output::{self, Shape},
    world::{RawShown, RawVerdict},
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

    /// What it said last, in lines with numbers above `since`, oldest first.
    pub fn lines(&self, since: u64) -> Vec<Line> {
        self.prepared.lines(since)
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
        run!(prepared, Some(call), None, before(event, call, config, given), |(said, state)| {
            if state.as_ref().is_some_and(|state| state.len() > prepared.limits.state) {
                return Err(prepared.fault(Trap::OutputTooLarge(prepared.limits.state)));
            }
            let verdict = self.checked(said)?;
            let checked = allowed::before(event, arguments, &verdict);
            checked.map_err(|why| self.not_allowed(why))?;
            Ok((kind(&verdict), Before { verdict, state: state.map(Bytes::from) }))
        })
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
        run!(prepared, Some(call), None, after(event, call, config, (answer, state)), |said| {
            let verdict = self.checked(said)?;
            allowed::after(event, answer, &verdict).map_err(|why| self.not_allowed(why))?;
            Ok((kind(&verdict), verdict))
        })
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
        run!(prepared, Some(call), None, shown(call, config, kind, &texts), |said| {
            if said.len() != items.len() {
                let words = format!("{} verdicts for {} items", said.len(), items.len());
                return Err(prepared.fault(Trap::BadOutput(words)));
            }
            let checked = said.into_iter().map(|said| self.item(said));
            Ok((Said::Done, checked.collect::<Result<_, _>>()?))
        })
    }

    /// Shows it a question of the connector; the context's method is the question's. A
    /// replacement holds the question's parameters, an answer its result.
    pub async fn question(&self, call: &CallContext, params: &Json) -> Result<Verdict, Failure> {
        if !self.has(Interface::OnQuestion) {
            return Ok(Verdict::Proceed);
        }
        let prepared = &self.prepared;
        let (config, text) = (prepared.config.as_str(), params.as_str());
        run!(prepared, Some(call), None, question(call, config, text), |said| {
            let verdict = self.checked(said)?;
            let checked = allowed::question(call.method, params, &verdict);
            checked.map_err(|why| self.not_allowed(why))?;
            Ok((kind(&verdict), verdict))
        })
    }

    fn checked(&self, said: RawVerdict) -> Result<Verdict, Failure> {
        said.checked(|text| output::json(&self.prepared, text, Shape::Object))
    }

    fn item(&self, said: RawShown) -> Result<Shown, Failure> {
        Ok(match said {
            RawShown::Show => Shown::Show,
            RawShown::Hide => Shown::Hide,
            RawShown::Relabel(text) => {
                let json = output::json(&self.prepared, text, Shape::Object)?;
                allowed::relabel(&json).map_err(|why| self.not_allowed(why))?;
                Shown::Relabel(json)
            }
        })
    }

    fn not_allowed(&self, why: String) -> Failure {
        self.prepared.fault(Trap::NotAllowed(why))
    }
}

fn kind(verdict: &Verdict) -> Said {
    match verdict {
        Verdict::Proceed => Said::Proceed,
        Verdict::Replace(_) => Said::Replace,
        Verdict::Refuse(_) => Said::Refuse,
        Verdict::Answer(_) => Said::Answer,
        Verdict::Ask(_) => Said::Ask,
    }
}
