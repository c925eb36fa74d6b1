//! One immutable revision of what an organisation publishes.
//!
//! A request holds one snapshot from start to end; a change makes a new one.

use std::{collections::HashMap, sync::Arc};

use tidegate_model::{Json, OrgId, RevisionId, Tool, VirtualMcp, VmcpId};
use tidegate_wire::mcp::header::HeaderParams;

use super::ArgumentRules;

/// One tool as one virtual MCP publishes it.
#[derive(Debug)]
pub struct PublishedTool {
    /// The tool as its connector declares it.
    pub tool: Arc<Tool>,
    /// The name clients use.
    pub name: Arc<str>,
    /// The definition clients see.
    pub definition: Json,
    /// What happens to its arguments.
    pub arguments: ArgumentRules,
    /// The arguments that modern clients mirror in `Mcp-Param-*` headers (SEP-2243).
    pub headers: HeaderParams,
}

/// One virtual MCP with its tools in their published order.
#[derive(Debug)]
pub struct PublishedVmcp {
    /// As the administrator described it.
    pub vmcp: VirtualMcp,
    /// Its tools: by the order of connectors, then the connector's own order.
    pub tools: Vec<PublishedTool>,
    by_name: HashMap<Arc<str>, usize>,
}

impl PublishedVmcp {
    /// Indexes the tools by published name.
    pub(crate) fn new(vmcp: VirtualMcp, tools: Vec<PublishedTool>) -> Self {
        let by_name =
            tools.iter().enumerate().map(|(at, tool)| (Arc::clone(&tool.name), at)).collect();
        Self { vmcp, tools, by_name }
    }

    /// The tool published under `name`, with its place in the order.
    pub fn tool(&self, name: &str) -> Option<(usize, &PublishedTool)> {
        let at = *self.by_name.get(name)?;
        self.tools.get(at).map(|tool| (at, tool))
    }
}

/// All virtual MCPs of one organisation at one revision.
#[derive(Debug)]
pub struct Snapshot {
    /// The organisation.
    pub org: OrgId,
    /// The revision.
    pub revision: RevisionId,
    pub(crate) vmcps: HashMap<VmcpId, PublishedVmcp>,
}

impl Snapshot {
    /// The virtual MCP of that name.
    pub fn vmcp(&self, id: &str) -> Option<&PublishedVmcp> {
        self.vmcps.get(id)
    }

    /// All virtual MCPs, in no order.
    pub fn vmcps(&self) -> impl Iterator<Item = &PublishedVmcp> {
        self.vmcps.values()
    }
}
