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

use tidegate_governance::{
    catalog::{PublishedVmcp, Rewrite},
    policy::RequestContext,
};
use tidegate_identity::{Caller, SignIn};
use tidegate_model::{ConnectorId, Json, ResourceRef, RevisionId, Timestamp, VmcpId};
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

use super::{Notice, Notices, Place, follows::Follows, view::View};
use crate::{call::Context, facts::SessionFacts, gateway::Gateway, revision::Revision};

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
    facts: Option<Arc<SessionFacts>>,
    vmcp: VmcpId,
    accepted: Wanted,
    follows: Arc<Follows>,
    receiver: broadcast::Receiver<Notice>,
    seen: Arc<View>,
    expires: Option<Timestamp>,
    /// The revision under which the caller's right was looked at last.
    checked: RevisionId,
    queue: VecDeque<Due>,
    ended: bool,
}

/// Something to be told when the client is ready for it, if it still may hear it then.
#[derive(Debug)]
enum Due {
    List(List),
    /// A resource, with the connector's `params`.
    Resource(ResourceRef, Json),
    Task(ConnectorId, Json),
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
        let follows = gateway.with_notices(context.caller.org(), Follows::new);
        Self::over(gateway, context, vmcp, wanted, follows)
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
        let (revision, caller) = (&context.revision, &context.caller);
        let receiver = gateway.with_notices(caller.org(), Notices::subscribe);
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
            facts: context.facts.clone(),
            vmcp: vmcp.vmcp.id.clone(),
            accepted,
            follows,
            receiver,
            seen: revision.view(caller, vmcp),
            expires: None,
            checked: revision.id,
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

    /// Whoever listens, as last looked at.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
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
            if let Some(due) = self.queue.pop_front() {
                match self.told(due) {
                    Some(told) => return Some(told),
                    None => continue,
                }
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
        let Some(revision) = self.revision() else { return self.end() };
        let Some(vmcp) = self.checked(&revision, true) else { return self.end() };
        if burst.revised || burst.lagged {
            self.follows.relocate(vmcp);
        }
        self.lists(&revision, vmcp, &burst);
        let mut resources = burst.resources;
        if burst.lagged {
            // Each may have changed unheard.
            resources.extend(self.follows.held().into_iter().filter_map(|place| {
                let params = Json::of(&BTreeMap::from([("uri", &place.1)])).ok()?;
                Some((place, params))
            }));
        }
        let resource =
            |((connector, uri), params)| Due::Resource(ResourceRef { connector, uri }, params);
        self.queue.extend(resources.into_iter().map(resource));
        let task = |(connector, params)| Due::Task(connector, params);
        self.queue.extend(burst.tasks.into_iter().map(task));
    }

    /// What is due, if the caller may hear it at this moment; ends where they may hear
    /// nothing any more.
    fn told(&mut self, due: Due) -> Option<Told> {
        let revision = self.revision();
        let vmcp = revision.as_ref().and_then(|revision| self.checked(revision, false));
        let (Some(revision), Some(vmcp)) = (&revision, vmcp) else {
            self.end();
            return None;
        };
        match due {
            Due::List(List::Tools) => Some(Told::ToolsChanged),
            Due::List(List::Prompts) => Some(Told::PromptsChanged),
            Due::List(List::Resources) => Some(Told::ResourcesChanged),
            Due::Resource(at, params) => {
                let may = vmcp.vmcp.connectors.contains(&at.connector)
                    && revision.policies.visible_resource(&self.caller, &self.vmcp, &at);
                let told =
                    || vmcp.uris.rewrite(&at.connector, Rewrite::Updated, &unmarked(&params));
                may.then(|| Told::ResourceUpdated(told()))
            }
            Due::Task(connector, params) => {
                let is_here = vmcp.vmcp.connectors.contains(&connector);
                is_here.then_some(Told::TaskStatus { connector, params })
            }
        }
    }

    fn revision(&self) -> Option<Arc<Revision>> {
        self.gateway.revision(self.caller.org().as_str())
    }

    /// The virtual MCP, if the caller may listen to it: looked at anew where `always`, else
    /// where there is another revision or the credential has expired.
    fn checked<'a>(&mut self, revision: &'a Revision, always: bool) -> Option<&'a PublishedVmcp> {
        let vmcp = revision.snapshot.vmcp(self.vmcp.as_str())?;
        let is_over = self.expires.is_some_and(|end| end <= self.gateway.clock.now());
        if (always || is_over || revision.id != self.checked) && !self.may_listen(revision, vmcp) {
            return None;
        }
        self.checked = revision.id;
        Some(vmcp)
    }

    /// Whether the caller is still who they were and may still use this virtual MCP; takes
    /// over what is known of them now.
    fn may_listen(&mut self, revision: &Revision, vmcp: &PublishedVmcp) -> bool {
        let at = self.gateway.clock.now();
        match self.caller.sign_in() {
            SignIn::ApiKey | SignIn::Token => {
                let renewed = self.gateway.renew(revision, &self.caller, at);
                let Some((caller, expires)) = renewed else {
                    return false;
                };
                // What a client may hear belongs to a person, whoever their key is for now.
                if caller.user() != self.caller.user() {
                    return false;
                }
                (self.caller, self.expires) = (caller, expires);
            }
            SignIn::Anonymous if vmcp.vmcp.anonymous => {}
            SignIn::Anonymous | SignIn::AdminSocket | SignIn::Session | SignIn::Provisioning => {
                return false;
            }
        }
        let circumstances = RequestContext {
            at,
            source: self.source,
            client: self.client.as_deref(),
            facts: self.facts.as_ref().map(|facts| facts.held()),
        };
        let connect = revision.policies.authorize_connect(&self.caller, &self.vmcp, &circumstances);
        // As when a request is admitted: only a policy that forbids it counts.
        let is_forbidden = connect.is_err_and(|denial| !denial.policies.is_empty());
        self.caller.reaches(&self.vmcp) && !is_forbidden
    }

    /// The lists that now read otherwise, or that a connector on them announced.
    fn lists(&mut self, revision: &Revision, vmcp: &PublishedVmcp, burst: &Burst) {
        let now = revision.view(&self.caller, vmcp);
        for list in [List::Tools, List::Prompts, List::Resources] {
            let announced = || {
                burst.listed.iter().any(|(connector, of)| *of == list && now.shows(list, connector))
            };
            if self.accepts(list) && (burst.lagged || now.differs(&self.seen, list) || announced())
            {
                self.queue.push_back(Due::List(list));
            }
        }
        self.seen = now;
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
    if !Raw::from(params).may_say(key::SUBSCRIPTION_ID) {
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
