//! What one class of callers sees of a virtual MCP, boiled down to what tells it apart.
//!
//! Worked out once per revision, virtual MCP and class of callers, so that a new revision
//! costs a listener two comparisons. Decides nothing: what is visible is the policies' word.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use sha2::{Digest, Sha256};
use tidegate_governance::{catalog::PublishedVmcp, policy::Policies};
use tidegate_identity::{Caller, CallerClass};
use tidegate_model::{ConnectorId, Json, ResourceRef, VmcpId};
use tidegate_upstream::connector::List;

/// Most classes remembered per revision; one more and the memory starts anew.
const REMEMBERED: usize = 4_096;

/// One list as one class of callers sees it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Digest of its text.
    digest: [u8; 16],
    /// The connectors that have something on it.
    connectors: BTreeSet<ConnectorId>,
}

/// All lists of one virtual MCP as one class of callers sees them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    tools: Sight,
    prompts: Sight,
    resources: Sight,
}

/// Gathers one list.
#[derive(Default)]
struct Gathering {
    hash: Sha256,
    connectors: BTreeSet<ConnectorId>,
}

impl Gathering {
    fn add(&mut self, connector: &ConnectorId, definition: &Json) {
        self.hash.update((definition.len() as u64).to_le_bytes());
        self.hash.update(definition.bytes());
        if !self.connectors.contains(connector) {
            self.connectors.insert(connector.clone());
        }
    }

    fn seen(self) -> Sight {
        let mut digest = [0; 16];
        digest.iter_mut().zip(self.hash.finalize()).for_each(|(to, from)| *to = from);
        Sight { digest, connectors: self.connectors }
    }
}

impl View {
    fn compute(policies: &Policies, caller: &Caller, vmcp: &PublishedVmcp) -> Self {
        let id = &vmcp.vmcp.id;
        let mut tools = Gathering::default();
        for one in vmcp.tools.iter().filter(|one| policies.visible(caller, id, &one.tool)) {
            tools.add(&one.tool.connector, &one.definition);
        }
        let mut prompts = Gathering::default();
        for one in
            vmcp.prompts.iter().filter(|one| policies.visible_prompt(caller, id, &one.prompt))
        {
            prompts.add(&one.prompt.connector, &one.definition);
        }
        // Templates are listed apart and announced together with resources.
        let mut resources = Gathering::default();
        let of = |connector: &ConnectorId, uri: &str| ResourceRef {
            connector: connector.clone(),
            uri: uri.into(),
        };
        for one in &vmcp.resources {
            let place = of(&one.resource.connector, &one.resource.uri);
            if policies.visible_resource(caller, id, &place) {
                resources.add(&place.connector, &one.definition);
            }
        }
        for one in &vmcp.templates {
            let place = of(&one.template.connector, &one.template.template);
            if policies.visible_resource(caller, id, &place) {
                resources.add(&place.connector, &one.definition);
            }
        }
        Self { tools: tools.seen(), prompts: prompts.seen(), resources: resources.seen() }
    }

    /// Whether this list reads otherwise than in `before`.
    pub(crate) fn differs(&self, before: &Self, list: List) -> bool {
        self.sight(list).digest != before.sight(list).digest
    }

    /// Whether something of that connector is on this list.
    pub(crate) fn shows(&self, list: List, connector: &ConnectorId) -> bool {
        self.sight(list).connectors.contains(connector)
    }

    fn sight(&self, list: List) -> &Sight {
        match list {
            List::Tools => &self.tools,
            List::Prompts => &self.prompts,
            List::Resources => &self.resources,
        }
    }
}

/// The views of one revision.
#[derive(Debug, Default)]
pub(crate) struct Views(RwLock<HashMap<(VmcpId, CallerClass), Arc<View>>>);

impl Views {
    /// What of `vmcp` this caller sees.
    pub(crate) fn get(
        &self,
        policies: &Policies,
        caller: &Caller,
        vmcp: &PublishedVmcp,
    ) -> Arc<View> {
        let key = (vmcp.vmcp.id.clone(), caller.class());
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(View::compute(policies, caller, vmcp));
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        Arc::clone(known.entry(key).or_insert(fresh))
    }
}
