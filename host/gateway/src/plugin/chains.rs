//! Which hooks run where: worked out per virtual MCP when a revision is made.
//!
//! A chain holds, hook by hook, those plugins alone whose component exports it, so that what
//! is not exported is not even looped over. Knows nothing of how a hook is run.

use std::{collections::HashMap, sync::Arc};

use tidegate_model::{ConnectorId, Operation, VmcpId};
use tidegate_wasm::{Event, Interface};

use super::{Bound, Passage};
use crate::call::Context;

/// The interceptors around one kind of operation at one place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain(Option<Arc<Hooks>>);

/// The hooks of a chain, each list in the order in which it is run.
#[derive(Debug)]
pub(super) struct Hooks {
    /// What the chain is around.
    pub(super) event: Event,
    /// On the way in.
    pub(super) before: Box<[Arc<Bound>]>,
    /// On the way back, each with its place on the way in, where it has one.
    pub(super) after: Box<[(Arc<Bound>, Option<usize>)]>,
    /// Before a question of the connector is put to the client.
    pub(super) questions: Box<[Arc<Bound>]>,
}

/// A plugin that decides what callers are shown of one connector.
#[derive(Debug)]
pub(crate) struct Viewer {
    /// The plugin.
    pub(crate) bound: Arc<Bound>,
    /// The places of the tools that it is bound to; `None` where that is the whole connector.
    pub(crate) tools: Option<Box<[usize]>>,
}

/// Those who decide what callers are shown, by connector, each in their order. A connector
/// without any is not among them.
pub(crate) type Viewers = Vec<(ConnectorId, Box<[Viewer]>)>;

/// The chains of one virtual MCP.
#[derive(Debug, Default)]
pub(crate) struct VmcpChains {
    /// Around each tool, by its place.
    pub(crate) tools: Vec<Chain>,
    /// Around what is no tool.
    pub(crate) others: HashMap<ConnectorId, Others>,
    /// Around lists.
    pub(crate) viewers: Viewers,
}

/// The chains of one connector around what is no tool.
#[derive(Debug, Default)]
pub(crate) struct Others {
    prompts: Chain,
    resources: Chain,
    completions: Chain,
}

/// All chains of a revision.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    by_vmcp: HashMap<VmcpId, VmcpChains>,
    none: Chain,
}

impl Chain {
    /// A chain of these, in the order of the way in.
    pub(crate) fn new(event: Event, bound: &[Arc<Bound>]) -> Self {
        let with = |hook: Interface| {
            bound.iter().filter(move |bound| bound.interceptor.has(hook)).cloned()
        };
        let before: Box<[Arc<Bound>]> = with(event.before()).collect();
        let place = |bound: &Arc<Bound>| before.iter().position(|one| Arc::ptr_eq(one, bound));
        let mut after: Box<[_]> = with(event.after())
            .map(|bound| {
                let place = place(&bound);
                (bound, place)
            })
            .collect();
        after.reverse();
        let questions: Box<[_]> = with(Interface::OnQuestion).collect();
        let is_empty = before.is_empty() && after.is_empty() && questions.is_empty();
        Self((!is_empty).then(|| Arc::new(Hooks { event, before, after, questions })))
    }

    /// Begins an operation's way through the chain.
    pub(crate) fn begin<'a>(
        &'a self,
        context: &Context,
        call: &tidegate_model::Call,
    ) -> Passage<'a> {
        Passage::new(self.0.as_deref(), context, call)
    }
}

impl Others {
    /// The chains of these, in the order of the way in.
    pub(crate) fn new(bound: &[Arc<Bound>]) -> Self {
        Self {
            prompts: Chain::new(Event::Prompt, bound),
            resources: Chain::new(Event::Read, bound),
            completions: Chain::new(Event::Completion, bound),
        }
    }
}

impl Chains {
    /// Sets the chains of a virtual MCP.
    pub(crate) fn set(&mut self, vmcp: VmcpId, chains: VmcpChains) {
        self.by_vmcp.insert(vmcp, chains);
    }

    /// The chain around an operation; `place` is that of the tool that it calls, or whose task
    /// it is about.
    pub(crate) fn of(&self, vmcp: &VmcpId, operation: &Operation, place: Option<usize>) -> &Chain {
        let Some(chains) = self.by_vmcp.get(vmcp) else { return &self.none };
        let others = || chains.others.get(operation.connector());
        let found = match operation {
            Operation::CallTool(_) | Operation::Task(_) => {
                place.and_then(|place| chains.tools.get(place))
            }
            Operation::GetPrompt(_) => others().map(|others| &others.prompts),
            Operation::ReadResource(_) => others().map(|others| &others.resources),
            Operation::Complete(_) => others().map(|others| &others.completions),
        };
        found.unwrap_or(&self.none)
    }

    /// Who decides what callers are shown at a virtual MCP; most often nobody.
    pub(crate) fn viewers(&self, vmcp: &VmcpId) -> &[(ConnectorId, Box<[Viewer]>)] {
        self.by_vmcp.get(vmcp).map_or(&[], |chains| &chains.viewers)
    }
}
