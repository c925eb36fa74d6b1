//! Edits tools as the configuration says: rename, describe, hide, default, lock, narrow.
//!
//! Tools are named by their original names or by patterns; what an exact name says goes
//! before what patterns say. A name that the connector does not have is left alone, since one
//! configuration may serve several connectors (`strict` makes it an error). Whatever else does
//! not fit the tool is an error that names tool and setting.

mod change;
mod narrow;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tidegate_plugin::{Customizer, Edit, Scope, customizer, glob};

use change::Change;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retool {
    tools: BTreeMap<String, Change>,
    #[serde(default)]
    strict: bool,
}

/// What of a definition matters here.
#[derive(Deserialize)]
struct Tool {
    name: String,
    description: Option<String>,
    #[serde(rename = "inputSchema", default)]
    schema: Value,
}

impl Customizer for Retool {
    const SCHEMA: &'static str = include_str!("../schema.json");

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config)
    }

    fn edits(&self, _scope: &Scope, tools: &[String]) -> Result<Vec<Edit>, String> {
        let tools: Vec<Tool> = tools
            .iter()
            .map(|tool| {
                serde_json::from_str(tool).map_err(|error| format!("tool definition: {error}"))
            })
            .collect::<Result<_, _>>()?;
        if self.strict {
            self.find_missing(&tools)?;
        }
        let mut edits = Vec::new();
        for tool in &tools {
            if let Some(change) = self.change(&tool.name)? {
                edits.push(change.edit(tool)?);
            }
        }
        find_doubles(&tools, &edits)?;
        Ok(edits)
    }
}

impl Retool {
    /// Everything that is said of one tool.
    fn change(&self, tool: &str) -> Result<Option<Change>, String> {
        let mut merged: Option<(Change, &str)> = None;
        let patterns = self.tools.iter().filter(|(name, _)| is_pattern(name));
        for (pattern, change) in patterns.filter(|(pattern, _)| glob::matches(pattern, tool)) {
            merged = Some(match merged {
                None => (change.clone(), pattern),
                Some((mut all, before)) => {
                    if let Some(field) = all.join(change) {
                        return Err(format!(
                            "tool `{tool}`: `{before}` and `{pattern}` disagree on `{field}`; say it \
                             under `{tool}` itself"
                        ));
                    }
                    (all, pattern)
                }
            });
        }
        let exact = self.tools.get(tool).filter(|_| !is_pattern(tool));
        Ok(match (merged, exact) {
            (Some((patterns, _)), Some(exact)) => Some(exact.over(patterns)),
            (Some((patterns, _)), None) => Some(patterns),
            (None, exact) => exact.cloned(),
        })
    }

    fn find_missing(&self, tools: &[Tool]) -> Result<(), String> {
        let there = |name: &str| {
            tools.iter().any(|tool| {
                tool.name == name || is_pattern(name) && glob::matches(name, &tool.name)
            })
        };
        match self.tools.keys().find(|name| !there(name)) {
            Some(name) => Err(format!(
                "tool `{name}`: the connector has none of this name (any more); remove it from the \
                 configuration, or set `strict = false`"
            )),
            None => Ok(()),
        }
    }
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Two tools of one name could not both be called.
fn find_doubles(tools: &[Tool], edits: &[Edit]) -> Result<(), String> {
    let mut published: BTreeMap<&str, &str> = BTreeMap::new();
    for tool in tools {
        let edit = edits.iter().find(|edit| edit.tool == tool.name);
        if edit.is_some_and(|edit| edit.hidden) {
            continue;
        }
        let name = edit.and_then(|edit| edit.name.as_deref()).unwrap_or(&tool.name);
        if let Some(other) = published.insert(name, &tool.name) {
            return Err(format!(
                "tools `{other}` and `{}` would both be published as `{name}`",
                tool.name
            ));
        }
    }
    Ok(())
}

tidegate_plugin::export!(customizer Retool);

#[cfg(test)]
mod tests;
