//! Plugin chains: which interceptors run around which tool, and in which order.
//!
//! A chain is worked out per virtual MCP and tool when a revision is made. On the way in the
//! plugins run in order, on the way back in reverse. What a failing plugin does to its call
//! is decided here (closed or open); what a guest may do at all is `wasm`'s.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use tidegate_governance::{
    audit::{PluginNote, Record},
    policy::Permitted,
};
use tidegate_model::{
    Answer, Call, Json, Operation, PluginId, Refusal, RefusalCode, Round, Verdict, VmcpId,
};
use tidegate_wasm::{CallContext, Event, Failure, Interceptor, Interface};

use crate::{
    call::Context,
    config::plugin::{FailSetting, ModeSetting},
};

/// One interceptor where it is bound.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The plugin.
    pub(crate) plugin: PluginId,
    /// First bytes of the component's hash, in hexadecimal.
    pub(crate) hash: String,
    /// Whether its verdict has an effect.
    pub(crate) mode: ModeSetting,
    /// What happens when it fails.
    pub(crate) fail: FailSetting,
    /// The guest.
    pub(crate) interceptor: Arc<Interceptor>,
}

/// The interceptors around one tool, in the order of the way in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain(Arc<[Arc<Bound>]>);

/// All chains of a revision.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    by_tool: HashMap<VmcpId, Vec<Chain>>,
    empty: Chain,
}

/// What the plugins made of a call on its way in.
#[derive(Debug)]
pub(crate) enum Interception {
    /// Nothing.
    Unchanged,
    /// These are the arguments now.
    Changed(Json),
    /// This is the result; the upstream is not asked.
    Answered(Json),
}

/// One call's way through a chain.
#[derive(Debug)]
pub(crate) struct Passage<'a> {
    chain: &'a [Arc<Bound>],
    context: CallContext,
    states: Vec<Option<Bytes>>,
}

impl Chain {
    /// A chain of these, in the order given.
    pub(crate) fn new(bound: Vec<Arc<Bound>>) -> Self {
        Self(bound.into())
    }

    /// Begins a call's way through the chain.
    pub(crate) fn begin(&self, context: &Context, call: &Call) -> Passage<'_> {
        let caller = &context.caller;
        let client = context.client.as_deref();
        let told = CallContext::new(call, caller.user(), caller.shared_groups(), client);
        Passage { chain: &self.0, context: told, states: vec![None; self.0.len()] }
    }
}

impl Chains {
    /// Sets the chains of a virtual MCP, one for each of its tools.
    pub(crate) fn set(&mut self, vmcp: VmcpId, chains: Vec<Chain>) {
        self.by_tool.insert(vmcp, chains);
    }

    /// The chain around the tool at `place`.
    pub(crate) fn of(&self, vmcp: &VmcpId, place: usize) -> &Chain {
        self.by_tool.get(vmcp).and_then(|chains| chains.get(place)).unwrap_or(&self.empty)
    }
}

impl Passage<'_> {
    /// What guests are told of the call; a connector that is one is told the same.
    pub(crate) fn told(&self) -> CallContext {
        self.context.clone()
    }

    /// The way in.
    pub(crate) async fn before(
        &mut self,
        permitted: &Permitted<Call>,
        record: &mut Record,
    ) -> Result<Interception, Refusal> {
        let context = &self.context;
        // Hooks are for tools so far.
        let Operation::CallTool(call) = &permitted.get().operation else {
            return Ok(Interception::Unchanged);
        };
        let mut changed: Option<Json> = None;
        for (bound, state) in self.chain.iter().zip(&mut self.states) {
            if !bound.interceptor.has(Interface::BeforeCall) {
                continue;
            }
            let began = Instant::now();
            let arguments = changed.as_ref().unwrap_or(&call.arguments);
            let said = bound
                .interceptor
                .before(Event::Call, context, arguments, &Round::default())
                .await;
            let said = said.map(|before| {
                *state = before.state;
                before.verdict
            });
            match bound.judge("before_call", said, began, record)? {
                Verdict::Proceed => {}
                Verdict::Replace(arguments) => changed = Some(arguments),
                Verdict::Answer(result) => return Ok(Interception::Answered(result)),
                Verdict::Refuse(words) => return Err(refused(words)),
                // Asking comes with the other events.
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
        let context = &self.context;
        let mut answer = answer;
        for (bound, state) in self.chain.iter().zip(&mut self.states).rev() {
            if !bound.interceptor.has(Interface::AfterCall) {
                continue;
            }
            let began = Instant::now();
            let said = bound.interceptor.after(Event::Call, context, &answer, state.take()).await;
            match bound.judge("after_call", said, began, record)? {
                Verdict::Proceed => {}
                Verdict::Replace(json) => {
                    answer = match answer {
                        Answer::Result(_) => Answer::Result(json),
                        Answer::Error(_) => Answer::Error(json),
                    };
                }
                Verdict::Refuse(words) => return Err(refused(words)),
                // The contract has no such verdict on the way back.
                Verdict::Answer(_) | Verdict::Ask(_) => return Err(failed(bound)),
            }
        }
        Ok(answer)
    }
}

impl Bound {
    /// Records what a hook said and turns it into what is to happen.
    fn judge(
        &self,
        event: &str,
        said: Result<Verdict, Failure>,
        began: Instant,
        record: &mut Record,
    ) -> Result<Verdict, Refusal> {
        let observed = self.mode == ModeSetting::Observe;
        let word = match &said {
            Ok(verdict) => verdict.name(),
            Err(failure) => failure.name(),
        };
        record.plugin(PluginNote {
            event: event.to_owned(),
            hash: self.hash.clone(),
            micros: u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX),
            plugin: self.plugin.clone(),
            verdict: if observed { format!("observed:{word}") } else { word.to_owned() },
        });
        match said {
            _ if observed => Ok(Verdict::Proceed),
            Ok(verdict) => Ok(verdict),
            Err(failure) if self.fail == FailSetting::Open => {
                tracing::warn!(plugin = %self.plugin, error = %failure, "a plugin failed and is bound to fail open");
                Ok(Verdict::Proceed)
            }
            Err(failure) => Err(failed(self).with_cause(failure)),
        }
    }
}

fn refused(words: String) -> Refusal {
    Refusal::new(RefusalCode::PluginRefused, words)
}

fn failed(bound: &Bound) -> Refusal {
    let words = format!("the plugin `{}` failed, so the call was not let through", bound.plugin);
    Refusal::new(RefusalCode::PluginFailed, words).with_next("ask an administrator to look at it")
}
