//! What a connector offers besides tools, and what it says it can do.
//!
//! Upstream truth only, like [`crate::Tool`]: published names and URIs are the catalogue's.

use std::sync::Arc;

use crate::{ConnectorId, Json, PromptName, Tool};

/// One prompt of one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The connector that offers it.
    pub connector: ConnectorId,
    /// Its original name.
    pub name: PromptName,
    /// Its whole definition, byte for byte as the connector gave it.
    pub definition: Json,
}

/// One listed resource of one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The connector that offers it.
    pub connector: ConnectorId,
    /// Its original URI.
    pub uri: Box<str>,
    /// Its whole definition, byte for byte.
    pub definition: Json,
}

/// One resource template of one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceTemplate {
    /// The connector that offers it.
    pub connector: ConnectorId,
    /// The original `uriTemplate` (RFC 6570).
    pub template: Box<str>,
    /// Its whole definition, byte for byte.
    pub definition: Json,
}

/// What a server said it can do, as far as it decides what a virtual MCP can promise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// It speaks 2026-07-28.
    pub modern: bool,
    /// It has prompts, even if it lists none now.
    pub prompts: bool,
    /// It has resources, even if it lists none now.
    pub resources: bool,
    /// It tells of changes to single resources.
    pub subscribe: bool,
    /// It completes arguments.
    pub completions: bool,
    /// It sends log lines.
    pub logging: bool,
    /// Its `tasks` capability object (2025-11-25), as written.
    pub tasks: Option<Json>,
    /// Its extensions, each with its settings object, as written.
    pub extensions: Vec<(Box<str>, Json)>,
}

/// Everything one connector offers, in its own order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Its tools.
    pub tools: Arc<[Arc<Tool>]>,
    /// Its prompts.
    pub prompts: Arc<[Arc<Prompt>]>,
    /// Its resources.
    pub resources: Arc<[Arc<Resource>]>,
    /// Its resource templates.
    pub templates: Arc<[Arc<ResourceTemplate>]>,
    /// What it can do.
    pub features: Features,
}
