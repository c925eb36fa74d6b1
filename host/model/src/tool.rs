//! A tool as its connector declares it.
//!
//! Upstream truth only: what an administrator or a customizer changes is kept apart, in the
//! catalogue, so that the original can always be told from the published form.

use crate::{ConnectorId, Json, ToolName};

/// What a tool says it does, read from its annotations (MCP `ToolAnnotations`) and approved
/// by an administrator; the defaults are the specification's, which assume the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ToolClass {
    /// Changes nothing.
    pub read_only: bool,
    /// May destroy or overwrite.
    pub destructive: bool,
    /// Calling it twice is the same as calling it once.
    pub idempotent: bool,
    /// Reaches an open world of outside entities.
    pub open_world: bool,
}

impl Default for ToolClass {
    fn default() -> Self {
        Self { read_only: false, destructive: true, idempotent: false, open_world: true }
    }
}

/// One tool of one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The connector that offers it.
    pub connector: ConnectorId,
    /// Its original name.
    pub name: ToolName,
    /// Its whole definition, byte for byte as the connector gave it.
    pub definition: Json,
    /// The `inputSchema` member of the definition.
    pub input_schema: Json,
    /// The `outputSchema` member, where there is one.
    pub output_schema: Option<Json>,
    /// What it says it does.
    pub class: ToolClass,
}
