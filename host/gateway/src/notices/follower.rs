//! What one caller is told at one virtual MCP, for as long as they may be told.
//!
//! Owns the step from what connectors and revisions say to what this caller may hear, in
//! published terms. Asks for the caller's rights anew whenever something is to be told. Holds
//! no revision between two notices, so that a silent stream keeps nothing alive.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use memchr::memmem;
use tidegate_governance::{
    catalog::{PublishedVmcp, Rewrite},
    policy::RequestContext,
};
use tidegate_identity::{Caller, SignIn};
use tidegate_model::{ConnectorId, Json, ResourceRef, Timestamp, VmcpId};
use tidegate_upstream::connector::List;
use tidegate_wire::{
    json::Raw,
    mcp::{
        peek::key,
        splice::{self, Edit},
    },
};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use super::{Notice, Place, follows::Follows, view::View};
use crate::{call::Context, gateway::Gateway, revision::Revision};

/// Most notices that are joined before the client is told of them.
const BURST: usize = 1_024;
/// Longest wait before an expiry is looked at again; no timer is to run for years.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What a client wants to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// That its tools have changed.
    pub(crate) tools: bool,
    /// That its prompts have changed.
    pub(crate) prompts: bool,
    /// That its resources or templates have changed.
    pub(crate) resources: bool,
    /// That these resources have changed, by published URI.
    pub(crate) uris: BTreeSet<String>,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// `notifications/tools/list_changed`.
    ToolsChanged,
    /// `notifications/prompts/list_changed`.
    PromptsChanged,
    /// `notifications/resources/list_changed`.
    ResourcesChanged,
    /// `notifications/resources/updated`: its `params`, with the published URI and without
    /// the mark of the connector's own stream.
    ResourceUpdated(Json),
    /// A task that the client follows has changed its state.
    TaskStatus {
        /// Its connector.
        connector: ConnectorId,
        /// The connector's `params`, with the connector's own task id.
        params: Json,
    },
}

/// One caller's ear at one virtual MCP.
#[derive(Debug)]
pub(crate) struct Follower {
    gateway: Arc<Gateway>,
    caller: Caller,
    source: Option<IpAddr>,
    client: Option<String>,
    vmcp: VmcpId,
    accepted: Wanted,
    follows: Arc<Follows>,
    receiver: broadcast::Receiver<Notice>,
    seen: Arc<View>,
    expires: Option<Timestamp>,
    queue: VecDeque<Told>,
    ended: bool,
}

/// What has come in since the client was told last.
#[derive(Debug, Default)]
struct Burst {
    /// A revision was put into effect.
    revised: bool,
    /// Notices were lost.
    lagged: bool,
    listed: HashSet<(ConnectorId, List)>,
    /// The latest of each.
    resources: BTreeMap<Place, Json>,
    tasks: Vec<(ConnectorId, Json)>,
}

impl Follower {
    /// For a client whose stream is all there is: what it follows goes with the stream.
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        context: &Context,
        vmcp: &PublishedVmcp,
        wanted: Wanted,
    ) -> Self {
        Self::over(gateway, context, vmcp, wanted, Follows::new(&gateway.notices))
    }

    /// Over what a session follows, which may change while this one listens. Resources in
    /// `wanted` are added to it.
    pub(crate) fn over(
        gateway: &Arc<Gateway>,
        context: &Context,
        vmcp: &PublishedVmcp,
        wanted: Wanted,
        follows: Arc<Follows>,
    ) -> Self {
        // From before anything is looked at, so that no change is lost in between.
        let receiver = gateway.notices.subscribe();
        let (revision, caller) = (&context.revision, &context.caller);
        let accepted = Wanted {
            tools: wanted.tools && !vmcp.vmcp.connectors.is_empty(),
            prompts: wanted.prompts && has_prompts(vmcp),
            resources: wanted.resources && has_resources(vmcp),
            uris: follows.follow_those(revision, caller, vmcp, wanted.uris),
        };
        let mut follower = Self {
            gateway: Arc::clone(gateway),
            caller: caller.clone(),
            source: context.source,
            client: context.client.clone(),
            vmcp: vmcp.vmcp.id.clone(),
            accepted,
            follows,
            receiver,
            seen: revision.view(caller, vmcp),
            expires: None,
            queue: VecDeque::new(),
            ended: false,
        };
        // The request may have been admitted under an earlier revision than the one in effect.
        follower.settle(Burst { revised: true, ..Burst::default() });
        follower
    }

    /// What of the wishes will really be told; the client must hear of nothing else.
    pub(crate) fn accepted(&self) -> &Wanted {
        &self.accepted
    }

    /// What the client follows.
    pub(crate) fn follows(&self) -> &Arc<Follows> {
        &self.follows
    }

    /// The next thing to be told; `None` when the virtual MCP, or the caller's right to it,
    /// is gone. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(told) = self.queue.pop_front() {
                return Some(told);
            }
            let mut burst = Burst::default();
            tokio::select! {
                notice = self.receiver.recv() => match notice {
                    Ok(notice) => self.take_in(notice, &mut burst),
                    Err(RecvError::Lagged(_)) => burst.lagged = true,
                    Err(RecvError::Closed) => return None,
                },
                () = lapse(&self.gateway, self.expires) => burst.revised = true,
            }
            self.join(&mut burst);
            self.settle(burst);
        }
    }

    /// Takes in what has come meanwhile.
    fn join(&mut self, burst: &mut Burst) {
        for _ in 0..BURST {
            match self.receiver.try_recv() {
                Ok(notice) => self.take_in(notice, burst),
                Err(TryRecvError::Lagged(_)) => burst.lagged = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Keeps of a notice what may concern this client; cheap, since every listener hears
    /// every notice.
    fn take_in(&self, notice: Notice, burst: &mut Burst) {
        let text = |params: &Json, member| {
            Raw::from(params).get(member).and_then(Raw::string).map(Box::from)
        };
        match notice {
            Notice::Revised(announced) => {
                burst.revised = true;
                burst.listed.extend(announced.iter().cloned());
            }
            Notice::Listed { connector, list } => {
                if self.accepts(list) && self.seen.shows(list, &connector) {
                    burst.listed.insert((connector, list));
                }
            }
            Notice::Resource { connector, params } => {
                if let Some(uri) = text(&params, "uri")
                    && self.follows.covers(&connector, &uri)
                {
                    burst.resources.insert((connector, uri), params);
                }
            }
            Notice::Task { connector, params } => {
                if text(&params, "taskId")
                    .is_some_and(|id: Box<str>| self.follows.has_task(&connector, &id))
                {
                    burst.tasks.push((connector, params));
                }
            }
        }
    }

    /// Puts into the queue what of a burst this caller may hear.
    fn settle(&mut self, burst: Burst) {
        if burst.is_empty() {
            return;
        }
        let Some(revision) = self.gateway.revision(self.caller.org().as_str()) else {
            return self.end();
        };
        let Some(vmcp) = revision.snapshot.vmcp(self.vmcp.as_str()) else { return self.end() };
        if !self.may_listen(&revision, vmcp) {
            return self.end();
        }
        if burst.revised || burst.lagged {
            self.follows.relocate(vmcp);
        }
        self.lists(&revision, vmcp, &burst);
        for ((connector, uri), params) in burst.resources {
            self.resource(&revision, vmcp, ResourceRef { connector, uri }, &params);
        }
        if burst.lagged {
            self.all_resources(&revision, vmcp);
        }
        for (connector, params) in burst.tasks {
            if vmcp.vmcp.connectors.contains(&connector) {
                self.queue.push_back(Told::TaskStatus { connector, params });
            }
        }
    }

    /// Whether the caller is still who they were and may still use this virtual MCP; takes
    /// over what is known of them now.
    fn may_listen(&mut self, revision: &Revision, vmcp: &PublishedVmcp) -> bool {
        let at = self.gateway.clock.now();
        match self.caller.sign_in() {
            SignIn::ApiKey => {
                let Ok((caller, expires)) = revision.keys.renew(&self.caller, at) else {
                    return false;
                };
                // What a client may hear belongs to a person, whoever their key is for now.
                if caller.user() != self.caller.user() {
                    return false;
                }
                (self.caller, self.expires) = (caller, expires);
            }
            SignIn::Anonymous if vmcp.vmcp.anonymous => {}
            SignIn::Anonymous | SignIn::AdminSocket => return false,
        }
        let circumstances =
            RequestContext { at, source: self.source, client: self.client.as_deref() };
        let connect = revision.policies.authorize_connect(&self.caller, &self.vmcp, &circumstances);
        // As when a request is admitted: only a policy that forbids it counts.
        let is_forbidden = connect.is_err_and(|denial| !denial.policies.is_empty());
        self.caller.reaches(&self.vmcp) && !is_forbidden
    }

    /// The lists that now read otherwise, or that a connector on them announced.
    fn lists(&mut self, revision: &Revision, vmcp: &PublishedVmcp, burst: &Burst) {
        let now = revision.view(&self.caller, vmcp);
        for (list, told) in [
            (List::Tools, Told::ToolsChanged),
            (List::Prompts, Told::PromptsChanged),
            (List::Resources, Told::ResourcesChanged),
        ] {
            let announced = || {
                burst.listed.iter().any(|(connector, of)| *of == list && now.shows(list, connector))
            };
            if self.accepts(list) && (burst.lagged || now.differs(&self.seen, list) || announced())
            {
                self.queue.push_back(told);
            }
        }
        self.seen = now;
    }

    /// Tells of one resource, if the caller may read it at this moment.
    fn resource(
        &mut self,
        revision: &Revision,
        vmcp: &PublishedVmcp,
        at: ResourceRef,
        params: &Json,
    ) {
        if revision.policies.visible_resource(&self.caller, &self.vmcp, &at) {
            let params = vmcp.uris.rewrite(&at.connector, Rewrite::Updated, &unmarked(params));
            self.queue.push_back(Told::ResourceUpdated(params));
        }
    }

    /// Tells of every resource that is followed: each may have changed unheard.
    fn all_resources(&mut self, revision: &Revision, vmcp: &PublishedVmcp) {
        for uri in self.follows.uris() {
            let at = vmcp.uris.locate(&uri);
            let may = at.is_some_and(|at| {
                revision.policies.visible_resource(&self.caller, &self.vmcp, &at)
            });
            if let (true, Ok(params)) = (may, Json::of(&serde_json::json!({ "uri": uri }))) {
                self.queue.push_back(Told::ResourceUpdated(params));
            }
        }
    }

    fn accepts(&self, list: List) -> bool {
        match list {
            List::Tools => self.accepted.tools,
            List::Prompts => self.accepted.prompts,
            List::Resources => self.accepted.resources,
        }
    }

    /// There is nothing more for this caller.
    fn end(&mut self) {
        self.ended = true;
        self.queue.clear();
    }
}

impl Burst {
    fn is_empty(&self) -> bool {
        !self.revised
            && !self.lagged
            && self.listed.is_empty()
            && self.resources.is_empty()
            && self.tasks.is_empty()
    }
}

/// The parameters without the mark of the stream on which the connector told them.
fn unmarked(params: &Json) -> Json {
    if memmem::find(params.bytes(), key::SUBSCRIPTION_ID.as_bytes()).is_none() {
        return params.clone();
    }
    let mark = [Edit::remove(key::SUBSCRIPTION_ID)];
    splice::object(Raw::from(params), &[Edit::within("_meta", &mark)])
        .unwrap_or_else(|_| params.clone())
}

/// Waits for the moment when a credential expires; for ever where it does not.
async fn lapse(gateway: &Gateway, expires: Option<Timestamp>) {
    let Some(expires) = expires else { return std::future::pending().await };
    let left = expires.as_millis().saturating_sub(gateway.clock.now().as_millis());
    tokio::time::sleep(Duration::from_millis(left).min(LONGEST)).await;
}

/// Whether some connector of this virtual MCP has prompts.
fn has_prompts(vmcp: &PublishedVmcp) -> bool {
    !vmcp.prompts.is_empty() || vmcp.features.values().any(|features| features.prompts)
}

/// Whether some connector of this virtual MCP has resources.
fn has_resources(vmcp: &PublishedVmcp) -> bool {
    !vmcp.resources.is_empty()
        || !vmcp.templates.is_empty()
        || vmcp.features.values().any(|features| features.resources)
}

#[cfg(test)]
mod tests;
