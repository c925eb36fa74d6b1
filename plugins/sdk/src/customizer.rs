//! Plugins that edit the tools a virtual MCP server publishes.

pub use crate::bindings::customize::exports::tidegate::plugin::customize::{Edit, Scope};

/// A customizer; runs when the catalogue is compiled.
pub trait Customizer: Sized {
    /// The JSON Schema of the configuration.
    const SCHEMA: &'static str = crate::NO_CONFIGURATION;

    /// Takes the configuration.
    fn configure(config: &str) -> Result<Self, String>;

    /// At most one edit for each of `tools` (JSON text of tool definitions).
    fn edits(&self, scope: &Scope, tools: &[String]) -> Result<Vec<Edit>, String>;
}

/// An edit of `tool` that changes nothing yet.
pub fn edit(tool: impl Into<String>) -> Edit {
    Edit {
        tool: tool.into(),
        name: None,
        title: None,
        description: None,
        hidden: false,
        defaults: Vec::new(),
        locked: Vec::new(),
        input_schema: None,
    }
}
