//! Plugins that are a server.

pub use crate::bindings::server::exports::tidegate::plugin::server::Description;
use crate::{Context, Failure};

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
    fn tools(&self) -> Vec<String> {
        Vec::new()
    }

    /// Carries out the tool `context.target`; the result is the JSON text of a
    /// `CallToolResult`.
    fn call(&self, _context: &Context, _arguments: &str) -> Result<String, Failure> {
        Err(Failure::Unknown)
    }

    /// Every prompt, as JSON text of an MCP `Prompt` object.
    fn prompts(&self) -> Vec<String> {
        Vec::new()
    }

    /// The prompt `context.target`; the result is the JSON text of a `GetPromptResult`.
    fn prompt(&self, _context: &Context, _arguments: &str) -> Result<String, Failure> {
        Err(Failure::Unknown)
    }

    /// Every resource that can be listed, as JSON text of an MCP `Resource` object.
    fn resources(&self) -> Vec<String> {
        Vec::new()
    }

    /// Every template, as JSON text of an MCP `ResourceTemplate` object.
    fn templates(&self) -> Vec<String> {
        Vec::new()
    }

    /// Reads the URI `context.target`; the result is the JSON text of a `ReadResourceResult`.
    fn read(&self, _context: &Context) -> Result<String, Failure> {
        Err(Failure::Unknown)
    }
}

/// The arguments as a type; an error names the member that does not fit.
pub fn arguments<T: DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::InvalidArguments(error.to_string()))
}

/// A `CallToolResult` with structured content, and the same as text for older clients.
pub fn structured(value: &impl Serialize) -> Result<String, Failure> {
    let value = serde_json::to_value(value).map_err(|error| Failure::Failed(error.to_string()))?;
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
