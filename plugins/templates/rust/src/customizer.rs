//! Hides tools that say of themselves that they destroy, and describes others anew. An
//! example to start from.

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use std::collections::BTreeMap;

use exports::tidegate::plugin::{
    configuration,
    customize::{self, Edit, Scope},
};
use serde::Deserialize;
use serde_json::Value;

/// The configuration; the gateway has checked it against the schema before.
#[derive(Deserialize)]
struct Config {
    /// Tools that destroy are published too.
    #[serde(default)]
    destructive: bool,
    /// Descriptions in place of the connector's own, by the tool's original name.
    #[serde(default)]
    describe: BTreeMap<String, String>,
}

/// What there is to change about one tool.
fn edit(config: &Config, tool: &str) -> Result<Option<Edit>, String> {
    let tool: Value = serde_json::from_str(tool).map_err(|error| error.to_string())?;
    let name = tool["name"].as_str().unwrap_or_default();
    let hidden = !config.destructive && tool["annotations"]["destructiveHint"] == true;
    let description = config.describe.get(name).cloned();
    Ok((hidden || description.is_some()).then(|| Edit {
        tool: name.into(),
        name: None,
        title: None,
        description,
        hidden,
        defaults: Vec::new(),
        locked: Vec::new(),
        input_schema: None,
    }))
}

struct Plugin;
export!(Plugin);

impl configuration::Guest for Plugin {
    fn schema() -> String {
        include_str!("../schema.json").into()
    }
}

impl customize::Guest for Plugin {
    fn edits(_scope: Scope, config: String, tools: Vec<String>) -> Result<Vec<Edit>, String> {
        let config = serde_json::from_str(&config).map_err(|error| error.to_string())?;
        tools.iter().filter_map(|tool| edit(&config, tool).transpose()).collect()
    }
}
