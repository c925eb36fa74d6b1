//! A virtual MCP server as an administrator describes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ConnectorId, Json, OrgId, ToolName, VmcpId};

/// What an administrator changed on one tool for one virtual MCP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolOverride {
    /// The published name, where it differs from the original.
    pub name: Option<String>,
    /// The published title.
    pub title: Option<String>,
    /// The published description.
    pub description: Option<String>,
    /// Not published at all.
    pub hidden: bool,
    /// Arguments set for the caller when it leaves them out.
    pub defaults: BTreeMap<String, Json>,
    /// Arguments that the caller can neither see nor change.
    pub locked: BTreeMap<String, Json>,
}

/// A named bundle of connectors, published at one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualMcp {
    /// The organisation it belongs to.
    pub org: OrgId,
    /// Its name in the URL.
    pub id: VmcpId,
    /// Its name for people.
    pub title: String,
    /// Instructions given to clients; the connectors' own are not passed on.
    pub instructions: Option<String>,
    /// Its connectors, in the order that decides the order of lists.
    pub connectors: Vec<ConnectorId>,
    /// Whether names and URIs stay as its connector made them; counts only where there is
    /// exactly one. Else names are made unique and URIs carry the connector.
    pub identity: bool,
    /// The only tools to publish, by connector and original name; all when empty.
    pub only: Vec<(ConnectorId, ToolName)>,
    /// Changes to tools, by connector and original name.
    pub overrides: Vec<(ConnectorId, ToolName, ToolOverride)>,
    /// Whether callers without a credential are served (loopback listeners only).
    pub anonymous: bool,
}
