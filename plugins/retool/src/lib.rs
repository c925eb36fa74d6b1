//! Edits tools as the configuration says: rename, retitle, describe, hide, default, lock.
//!
//! Tools are named by their original names. A name that the connector does not have is left
//! alone: one configuration may serve several connectors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tidegate_plugin::{Customizer, Edit, Scope, customizer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retool {
    tools: BTreeMap<String, Change>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Change {
    name: Option<String>,
    title: Option<String>,
    description: Option<String>,
    hide: bool,
    defaults: BTreeMap<String, Value>,
    lock: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Tool {
    name: String,
}

impl Customizer for Retool {
    const SCHEMA: &'static str = include_str!("../schema.json");

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config)
    }

    fn edits(&self, _scope: &Scope, tools: &[String]) -> Result<Vec<Edit>, String> {
        let mut edits = Vec::new();
        for tool in tools {
            let tool: Tool =
                serde_json::from_str(tool).map_err(|error| format!("tool definition: {error}"))?;
            if let Some(change) = self.tools.get(&tool.name) {
                edits.push(change.edit(tool.name));
            }
        }
        Ok(edits)
    }
}

impl Change {
    fn edit(&self, tool: String) -> Edit {
        let settings = |of: &BTreeMap<String, Value>| {
            of.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
        };
        Edit {
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            hidden: self.hide,
            defaults: settings(&self.defaults),
            locked: settings(&self.lock),
            ..customizer::edit(tool)
        }
    }
}

tidegate_plugin::export!(customizer Retool);

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope { org: "default".into(), vmcp: "sales".into(), connector: "crm".into() }
    }

    #[test]
    fn edits_only_the_tools_that_are_there() {
        let config = r#"{"tools":{
            "search":{"name":"find","hide":false,"defaults":{"limit":10},"lock":{"region":"eu"}},
            "purge":{"hide":true},
            "elsewhere":{"hide":true}}}"#;
        let tools = [r#"{"name":"search"}"#, r#"{"name":"purge"}"#, r#"{"name":"other"}"#]
            .map(str::to_owned);
        let edits = Retool::configure(config).unwrap().edits(&scope(), &tools).unwrap();
        let names: Vec<_> = edits.iter().map(|edit| edit.tool.as_str()).collect();
        assert_eq!(names, ["search", "purge"]);
        assert_eq!(edits[0].name.as_deref(), Some("find"));
        assert_eq!(edits[0].defaults, [("limit".to_owned(), "10".to_owned())]);
        assert_eq!(edits[0].locked, [("region".to_owned(), "\"eu\"".to_owned())]);
        assert!(edits[1].hidden);
    }

    #[test]
    fn unknown_keys_are_errors() {
        let error = Retool::configure(r#"{"tools":{"a":{"rename":"b"}}}"#).err().unwrap();
        assert!(error.contains("rename"), "{error}");
    }
}
