//! Who does what where, as a guest sees it.
//!
//! Made once per operation by the pipeline and lent to every hook of it, so that no text is
//! prepared twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tidegate_model::{
    Call, CallId, ConnectorId, Operation, OrgId, ToolClass, TraceContext, UserId, VmcpId,
};

use crate::capabilities::facts::Facts;

/// What every hook of one operation is told.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub(crate) id: String,
    pub(crate) org: Arc<str>,
    pub(crate) vmcp: Arc<str>,
    pub(crate) connector: Arc<str>,
    pub(crate) target: Arc<str>,
    pub(crate) method: &'static str,
    pub(crate) user: Arc<str>,
    pub(crate) groups: Arc<[String]>,
    pub(crate) client: Option<Arc<str>>,
    pub(crate) trace_parent: Option<Arc<str>>,
    pub(crate) class: Option<ToolClass>,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) facts: Option<Arc<dyn Facts>>,
}

/// Somebody who asks.
#[derive(Debug, Clone)]
pub struct Asker<'a> {
    /// The person or agent.
    pub user: &'a UserId,
    /// Their groups.
    pub groups: Arc<[String]>,
    /// The client's name for itself.
    pub client: Option<&'a str>,
    /// The facts of their session at this virtual MCP; without, a hook that looks for one or
    /// adds one fails.
    pub facts: Option<Arc<dyn Facts>>,
}

/// A request for a list, which is no operation on anything.
#[derive(Debug, Clone)]
pub struct Listing<'a> {
    /// Stands for the request.
    pub id: CallId,
    /// The organisation.
    pub org: &'a OrgId,
    /// The virtual MCP.
    pub vmcp: &'a VmcpId,
    /// Whose items are shown.
    pub connector: &'a ConnectorId,
    /// The MCP method, such as `tools/list`.
    pub method: &'static str,
    /// Trace context of the request.
    pub trace: &'a TraceContext,
    /// The moment after which nobody waits.
    pub deadline: Instant,
}

impl CallContext {
    /// Describes `call`, made by `user` of `groups` with `client` (its name for itself).
    pub fn new(call: &Call, user: &UserId, groups: Arc<[String]>, client: Option<&str>) -> Self {
        Self::of(call, Asker { user, groups, client, facts: None })
    }

    /// Describes `call`, made by `asker`.
    pub fn of(call: &Call, asker: Asker<'_>) -> Self {
        Self {
            id: call.id.to_string(),
            org: call.org.as_str().into(),
            vmcp: call.vmcp.as_str().into(),
            connector: call.operation.connector().as_str().into(),
            target: call.operation.target().into(),
            method: call.operation.method(),
            user: asker.user.as_str().into(),
            groups: asker.groups,
            client: asker.client.map(Into::into),
            trace_parent: call.trace.traceparent.as_deref().map(Into::into),
            class: class(&call.operation),
            deadline: call.deadline,
            cancelled: Arc::new(AtomicBool::new(false)),
            facts: asker.facts,
        }
    }

    /// Describes a request for a list, made by `asker`.
    pub fn of_listing(listing: &Listing<'_>, asker: Asker<'_>) -> Self {
        Self {
            id: listing.id.to_string(),
            org: listing.org.as_str().into(),
            vmcp: listing.vmcp.as_str().into(),
            connector: listing.connector.as_str().into(),
            target: "".into(),
            method: listing.method,
            user: asker.user.as_str().into(),
            groups: asker.groups,
            client: asker.client.map(Into::into),
            trace_parent: listing.trace.traceparent.as_deref().map(Into::into),
            class: None,
            deadline: listing.deadline,
            cancelled: Arc::new(AtomicBool::new(false)),
            facts: asker.facts,
        }
    }

    /// The same for a question that the connector asks while it works for this call; `method`
    /// is the question's.
    pub fn asking(&self, method: &'static str, deadline: Instant) -> Self {
        Self { method, deadline, ..self.clone() }
    }

    /// Moves the moment after which nobody waits: time that a person took is not the call's.
    pub fn extend(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// The call's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Tells the guests that nobody waits any more. They may end on their own for some
    /// milliseconds, then they are stopped. Dropping a hook's future stops it at once.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`CallContext::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

fn class(operation: &Operation) -> Option<ToolClass> {
    match operation {
        Operation::CallTool(call) => Some(call.tool.class),
        Operation::Task(task) => Some(task.tool.class),
        _ => None,
    }
}
