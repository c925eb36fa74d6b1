//! Plugins that are a server.

use crate::Context;
pub use crate::bindings::tools::exports::tidegate::plugin::tools::{CallError, Description};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// A connector. Every call runs in a fresh instance.
pub trait Connector: Sized {
    /// The JSON Schema of the configuration.
    const SCHEMA: &'static str = crate::NO_CONFIGURATION;

    /// Takes the configuration.
    fn configure(config: &str) -> Result<Self, String>;

    /// What it is.
    fn describe(&self) -> Description;

    /// Every tool, as JSON text of an MCP `Tool` object.
    fn tools(&self) -> Vec<String>;

    /// Carries out `context.tool`; the result is the JSON text of a `CallToolResult`.
    fn call(&self, context: &Context, arguments: &str) -> Result<String, CallError>;
}

/// The arguments as a type; an error names the member that does not fit.
pub fn arguments<T: DeserializeOwned>(json: &str) -> Result<T, CallError> {
    serde_json::from_str(json).map_err(|error| CallError::InvalidArguments(error.to_string()))
}

/// A `CallToolResult` with structured content, and the same as text for older clients.
pub fn structured(value: &impl Serialize) -> Result<String, CallError> {
    let value =
        serde_json::to_value(value).map_err(|error| CallError::Failed(error.to_string()))?;
    let text = value.to_string();
    let result = json!({
        "content": [{ "type": "text", "text": text }],
        "structuredContent": value,
    });
    Ok(result.to_string())
}

/// A `CallToolResult` that tells the model what went wrong and what it can do.
pub fn problem(text: &str) -> String {
    json!({ "content": [{ "type": "text", "text": text }], "isError": true }).to_string()
}

/// The members of a JSON array as texts: the tools of a file, for [`Connector::tools`].
pub fn each(array: &str) -> Vec<String> {
    let tools: Vec<Value> = serde_json::from_str(array).unwrap_or_default();
    tools.iter().map(Value::to_string).collect()
}
