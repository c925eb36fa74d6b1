//! Task ids towards clients: sealed, since an id is what a task is reached by.
//!
//! A published id holds the connector, the tool and the connector's own id, opens for one
//! person at one virtual MCP only, and is always the same for the same task. Knows where ids
//! stand in messages; what a task does is the connector's.

use tidegate_governance::catalog::PublishedVmcp;
use tidegate_identity::Caller;
use tidegate_model::{ConnectorId, Json, Tool, ToolName, VmcpId};
use tidegate_wire::{
    json::{Raw, write_string},
    mcp::{
        peek::key,
        splice::{self, Edit},
    },
};

use super::{Context, stage};
use crate::{
    gateway::Gateway,
    revision::Revision,
    seal::{Binding, Purpose},
};

/// Between the parts of what is sealed; no connector or tool name holds it.
const SEPARATOR: char = '\0';

/// What a published id stands for.
#[derive(Debug)]
pub(crate) struct Known {
    /// The connector.
    pub(crate) connector: ConnectorId,
    /// The tool whose call became the task.
    pub(crate) tool: ToolName,
    /// The task's id at the connector.
    pub(crate) id: Box<str>,
}

/// Opens a published id; `None` for any that was not made for this person here.
pub(crate) fn open(
    gateway: &Gateway,
    caller: &Caller,
    vmcp: &VmcpId,
    published: &str,
) -> Option<Known> {
    let binding = Binding { caller, vmcp, request: None };
    let now = gateway.clock.now();
    let opened = gateway.seals.open(Purpose::TaskId, &binding, published, now)?;
    let opened = String::from_utf8(opened).ok()?;
    let mut parts = opened.splitn(3, SEPARATOR);
    Some(Known {
        connector: ConnectorId::new(parts.next()?).ok()?,
        tool: ToolName::new(parts.next()?).ok()?,
        id: parts.next()?.into(),
    })
}

/// Whether this caller may know at this moment of the tool whose task it is. Who may not is
/// told nothing of the task either.
pub(crate) fn may_know(
    revision: &Revision,
    caller: &Caller,
    vmcp: &PublishedVmcp,
    (connector, tool): (&ConnectorId, &ToolName),
) -> bool {
    let place = stage::place_of(vmcp, connector, tool);
    let tool = place.and_then(|place| vmcp.tools.get(place));
    tool.is_some_and(|one| revision.policies.visible(caller, &vmcp.vmcp.id, &one.tool))
}

/// The result with published task ids: its own (`taskId`), that of the task it created
/// (`task.taskId`, 2025-11-25) and the one it is related to (`_meta`). A result about no task
/// comes back as it is.
pub(super) fn publish(
    gateway: &Gateway,
    context: &Context,
    vmcp: &PublishedVmcp,
    tool: &Tool,
    result: Json,
) -> Json {
    // Nearly all results are about no task: a search of the text says so.
    if !Raw::from(&result).may_say("taskId") {
        return result;
    }
    let seal = |id: &str| {
        let parts = [tool.connector.as_str(), tool.name.as_str(), id];
        let payload = parts.join(&SEPARATOR.to_string());
        let (caller, vmcp) = (&context.caller, &vmcp.vmcp.id);
        let binding = Binding { caller, vmcp, request: None };
        gateway.seals.seal(Purpose::TaskId, &binding, payload.as_bytes(), None).ok()
    };
    let raw = Raw::from(&result);
    let own = with_id(raw, &seal);
    let created = raw.get("task").and_then(|task| with_id(task, &seal));
    let related = raw.get("_meta").and_then(|meta| {
        let related = with_id(meta.get(key::RELATED_TASK)?, &seal)?;
        let edit = Edit::set(key::RELATED_TASK, Raw::from_checked(related.as_str()));
        splice::object(meta, &[edit]).ok()
    });
    let whole = own.unwrap_or_else(|| result.clone());
    let members = [("task", &created), ("_meta", &related)];
    let edits: Vec<Edit<'_>> = members
        .iter()
        .filter_map(|(name, json)| {
            Some(Edit::set(name, Raw::from_checked(json.as_ref()?.as_str())))
        })
        .collect();
    if edits.is_empty() {
        return whole;
    }
    splice::object(Raw::from(&whole), &edits).unwrap_or(whole)
}

/// The object with its `taskId` sealed, where it has one.
fn with_id(object: Raw<'_>, seal: &dyn Fn(&str) -> Option<String>) -> Option<Json> {
    let id = object.get("taskId")?.string()?;
    let mut text = Vec::new();
    // A task that cannot be sealed must not be reachable by its bare id.
    write_string(&mut text, &seal(&id).unwrap_or_default());
    let text = Json::from_checked(text.into());
    splice::object(object, &[Edit::set("taskId", Raw::from_checked(text.as_str()))]).ok()
}
