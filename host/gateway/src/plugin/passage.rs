//! One operation's way through a chain: in, and back.
//!
//! Keeps what the hooks of the way in hand over to those of the way back. Guests are told of
//! the operation only where there are hooks: without any nothing is prepared.

use std::time::Instant;

use bytes::Bytes;
use tidegate_governance::{audit::Record, policy::Permitted};
use tidegate_model::{Answer, Call, Json, Operation, Pause, Refusal, Reply, Round, Verdict};
use tidegate_upstream::Exchange;
use tidegate_wasm::{Asker, Before, CallContext};

use super::{Bound, Ran, ask, chains::Hooks, failed, refused};
use crate::call::{Context, stage};

/// What the plugins made of an operation on its way in.
#[derive(Debug)]
pub(crate) enum Interception {
    /// Nothing.
    Unchanged,
    /// These are the arguments now.
    Changed(Json),
    /// This is the result; the upstream is not asked.
    Answered(Json),
}

/// One operation's way through a chain.
#[derive(Debug)]
pub(crate) struct Passage<'a> {
    /// The hooks, and what guests are told; `None` where there is no hook.
    way: Option<Way<'a>>,
}

#[derive(Debug)]
pub(super) struct Way<'a> {
    pub(super) hooks: &'a Hooks,
    context: CallContext,
    states: Vec<Option<Bytes>>,
    until: Instant,
    pause: Pause,
    /// How many questions the plugins have judged.
    pub(super) judged: usize,
}

/// What a hook hands over to the one of the way back: also one that is only observed, since
/// that one is to be seen as it would be.
fn handed_over(before: &Before) -> Option<Bytes> {
    before.state.clone().filter(|_| !matches!(before.verdict, Verdict::Ask(_)))
}

/// What guests are told of an operation.
fn describe(context: &Context, call: &Call) -> CallContext {
    let caller = &context.caller;
    let facts = context.facts.clone();
    CallContext::of(
        call,
        Asker {
            user: caller.user(),
            groups: caller.shared_groups(),
            client: context.client.as_deref(),
            facts: facts.map(|facts| facts as _),
        },
    )
}

impl<'a> Passage<'a> {
    pub(super) fn new(hooks: Option<&'a Hooks>, context: &Context, call: &Call) -> Self {
        let way = hooks.map(|hooks| Way {
            hooks,
            context: describe(context, call),
            states: vec![None; hooks.before.len()],
            until: call.deadline,
            pause: call.pause.clone(),
            judged: 0,
        });
        Self { way }
    }

    /// What a connector that is a component is told of the operation.
    pub(crate) fn told(&self, context: &Context, call: &Call) -> CallContext {
        self.way.as_ref().map_or_else(|| describe(context, call), |way| way.context.clone())
    }

    /// Whether questions of the connector meet a hook.
    pub(crate) fn sees_questions(&self) -> bool {
        self.way.as_ref().is_some_and(|way| !way.hooks.questions.is_empty())
    }

    /// Whether answers meet a hook.
    pub(super) fn sees_answers(&self) -> bool {
        self.way.as_ref().is_some_and(|way| !way.hooks.after.is_empty())
    }

    pub(super) fn way(&mut self) -> Option<&mut Way<'a>> {
        self.way.as_mut()
    }

    /// The way in. What the plugins ask goes to the client of `exchange`.
    pub(crate) async fn before(
        &mut self,
        permitted: &Permitted<Call>,
        record: &mut Record,
        exchange: &Exchange,
    ) -> Result<Interception, Refusal> {
        let operation = &permitted.get().operation;
        let Some(way) = &mut self.way else { return Ok(Interception::Unchanged) };
        // What became a task was judged when it was called.
        if matches!(operation, Operation::Task(_)) {
            return Ok(Interception::Unchanged);
        }
        let none = Json::empty_object();
        let given = stage::arguments(permitted).unwrap_or(&none);
        let mut changed: Option<Json> = None;
        let hooks = way.hooks;
        for (place, bound) in hooks.before.iter().enumerate() {
            let arguments = changed.as_ref().unwrap_or(given);
            let (verdict, state) = way.decided(bound, arguments, record, exchange).await?;
            if let Some(kept) = way.states.get_mut(place) {
                *kept = state;
            }
            match verdict {
                Verdict::Proceed => {}
                Verdict::Replace(arguments) => changed = Some(arguments),
                Verdict::Answer(result) => return Ok(Interception::Answered(result)),
                Verdict::Refuse(words) => return Err(refused(words)),
                // Questions were put until something else was said.
                Verdict::Ask(_) => return Err(failed(bound)),
            }
        }
        Ok(changed.map_or(Interception::Unchanged, Interception::Changed))
    }

    /// The way back.
    pub(crate) async fn after(
        mut self,
        answer: Answer,
        record: &mut Record,
    ) -> Result<Answer, Refusal> {
        let Some(way) = &mut self.way else { return Ok(answer) };
        let hooks = way.hooks;
        let mut answer = answer;
        for (bound, place) in &hooks.after {
            let state = place.and_then(|place| way.states.get_mut(place)).and_then(Option::take);
            let ran = Ran::begin(hooks.event.after());
            let context = way.context();
            let said = bound.interceptor.after(hooks.event, context, &answer, state).await;
            match bound.settle(ran, said, Verdict::name, record)? {
                None | Some(Verdict::Proceed) => {}
                Some(Verdict::Replace(json)) => {
                    answer = match answer {
                        Answer::Result(_) => Answer::Result(json),
                        Answer::Error(_) => Answer::Error(json),
                    };
                }
                Some(Verdict::Refuse(words)) => return Err(refused(words)),
                // The contract has no such verdict on the way back.
                Some(Verdict::Answer(_) | Verdict::Ask(_)) => return Err(failed(bound)),
            }
        }
        Ok(answer)
    }
}

impl Way<'_> {
    /// The moment after which nobody waits: the time that a person took is not the call's.
    pub(super) fn deadline(&self) -> Instant {
        self.until + self.pause.given()
    }

    /// What guests are told at this moment.
    pub(super) fn context(&mut self) -> &CallContext {
        self.context.extend(self.deadline());
        &self.context
    }

    /// What one plugin decides on the way in, once the person has answered what it asks; with
    /// what it hands over.
    async fn decided(
        &mut self,
        bound: &Bound,
        arguments: &Json,
        record: &mut Record,
        exchange: &Exchange,
    ) -> Result<(Verdict, Option<Bytes>), Refusal> {
        let event = self.hooks.event;
        let mut round = Round::default();
        loop {
            let ran = Ran::begin(event.before());
            let said = bound.interceptor.before(event, self.context(), arguments, &round).await;
            let kept = said.as_ref().ok().and_then(handed_over);
            let said = bound.settle(ran, said, |before| before.verdict.name(), record)?;
            let Some(before) = said else {
                // Whoever was asked and said no is not overruled by a fault.
                if matches!(round.reply, Some(Reply::Decline | Reply::Cancel)) {
                    return Err(failed(bound));
                }
                return Ok((Verdict::Proceed, kept));
            };
            let Verdict::Ask(question) = &before.verdict else {
                return Ok((before.verdict, before.state));
            };
            let reply = ask::put(bound, question, round.number, exchange).await?;
            record.replied(ask::word(&reply));
            let number = round.number.saturating_add(1);
            round = Round { number, reply: Some(reply), state: before.state };
        }
    }
}
