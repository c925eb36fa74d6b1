//! One revision of an organisation's configuration, whole and immutable.
//!
//! A request takes the current one once and reads nothing else. `assembly` makes the next;
//! a revision that cannot be made whole is never half taken.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_governance::{
    catalog::{Notice, PublishedVmcp, Snapshot},
    policy::{PERMITS_ADMINISTRATION, Policies, PolicyInfo},
};
use tidegate_identity::{Caller, Settings, method::api_key::ApiKeys};
use tidegate_model::{ConnectorId, Operation, OrgId, Refusal, RefusalCode, RevisionId, VmcpId};
use tidegate_upstream::connector::Connector;

use crate::{
    assembly::Offers,
    call::list::{List, Visible, VisibleCache},
    config::{Resources, connector::ConnectorKind},
    notices::view::{View, Views},
    plugin::{Chain, Chains},
};

/// Everything a request needs to know of the configuration.
#[derive(Debug)]
pub(crate) struct Revision {
    /// Its number.
    pub(crate) id: RevisionId,
    /// What is published.
    pub(crate) snapshot: Snapshot,
    /// Who may do what.
    pub(crate) policies: Policies,
    /// The API keys.
    pub(crate) keys: ApiKeys,
    /// How people and clients sign in.
    pub(crate) settings: Arc<Settings>,
    /// The resources it was made from.
    pub(crate) resources: Arc<Resources>,
    /// What an administrator should know about.
    pub(crate) notices: Vec<Notice>,
    /// The approved offer of each connector that is on record.
    pub(crate) offers: Offers,
    pub(crate) chains: Chains,
    pub(crate) connectors: HashMap<ConnectorId, Arc<dyn Connector>>,
    pub(crate) visible: VisibleCache,
    pub(crate) views: Views,
    /// Whether a policy looks at what is known of sessions, or a plugin may note it.
    pub(crate) has_facts: bool,
    /// Whether every customizer did its work; if not, it is made again after a while.
    pub(crate) is_whole: bool,
    /// Tools on one page of a list.
    pub(crate) page: usize,
}

impl Revision {
    /// The plugins around an operation; `place` is that of the tool that it calls, or whose
    /// task it is about.
    pub(crate) fn chain(
        &self,
        vmcp: &VmcpId,
        operation: &Operation,
        place: Option<usize>,
    ) -> &Chain {
        self.chains.of(vmcp, operation, place)
    }

    /// Whether a connector is a component, and told of its callers.
    pub(crate) fn is_component(&self, id: &ConnectorId) -> bool {
        let config = self.resources.connectors.get(id);
        config.is_some_and(|config| config.kind == ConnectorKind::Wasm)
    }

    /// A connector; every tool of the snapshot has one.
    pub(crate) fn connector(&self, id: &ConnectorId) -> Result<&Arc<dyn Connector>, Refusal> {
        self.connectors.get(id).ok_or_else(|| {
            Refusal::new(
                RefusalCode::ConnectorUnavailable,
                "the tool's service is not configured any more",
            )
        })
    }

    /// The moment after which a call to this connector that begins now is too late.
    pub(crate) fn patience(&self, id: &ConnectorId) -> Instant {
        let limit = self.resources.connectors.get(id).map_or(u64::MAX, |at| at.limits.timeout_ms);
        // No process lives for a day's wait, and a sum of times must not overflow.
        Instant::now() + Duration::from_millis(limit.min(86_400_000))
    }

    /// What of a list of a virtual MCP the caller may know of.
    pub(crate) fn visible(
        &self,
        caller: &Caller,
        vmcp: &PublishedVmcp,
        list: List,
    ) -> Arc<Visible> {
        self.visible.get(&self.policies, caller, vmcp, list, self.page)
    }

    /// What tells this caller's lists of a virtual MCP from other lists.
    pub(crate) fn view(&self, caller: &Caller, vmcp: &PublishedVmcp) -> Arc<View> {
        self.views.get(&self.policies, caller, vmcp)
    }

    /// Says in the log which policies permit administration together with everything else,
    /// those that did so `before` left out.
    pub(crate) fn warn_of_administration(&self, org: &OrgId, before: Option<&Self>) {
        let is_so = |info: &&PolicyInfo| info.flags.iter().any(|it| it == PERMITS_ADMINISTRATION);
        let old = before.into_iter().flat_map(|old| old.policies.list());
        let told: HashSet<&str> = old.filter(is_so).map(|info| info.id.as_str()).collect();
        let found = self.policies.list().iter().filter(is_so);
        for info in found.filter(|info| !told.contains(info.id.as_str())) {
            let place = format!("{}:{}", info.file, info.line);
            tracing::warn!(%org, policy = %info.id, "{place}: {PERMITS_ADMINISTRATION}");
        }
    }
}
