//! The configuration: rules, the tools they are for, and what they ask of arguments.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tidegate_plugin::glob;

use crate::{check::Check, rate::Rate, select::select};

/// All of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) rules: Vec<Rule>,
}

/// What is asked of the calls of some tools.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rule {
    /// Names or patterns; all tools where empty.
    tools: Vec<String>,
    /// Checks by argument: `query`, `filter.limit`, `paths[]`, `*`.
    arguments: BTreeMap<String, Check>,
    /// Whether arguments that no check names are refused.
    only: bool,
    /// At most so many calls.
    pub(crate) rate: Option<Rate>,
    /// What a refusal says first, in place of the usual sentence.
    message: Option<String>,
}

impl Rule {
    pub(crate) fn applies_to(&self, tool: &str) -> bool {
        self.tools.is_empty() || glob::any(&self.tools, tool)
    }

    pub(crate) fn looks_at_arguments(&self) -> bool {
        self.only || !self.arguments.is_empty()
    }

    /// Whether the arguments pass; the error is for the caller.
    pub(crate) fn judge(&self, tool: &str, arguments: &Value) -> Result<(), String> {
        if self.only {
            self.knows_all(tool, arguments)?;
        }
        for (path, check) in &self.arguments {
            let refusal = |text: &str| self.refusal(tool, &format!("argument `{path}` {text}"));
            let values = select(arguments, path).map_err(|text| refusal(&text))?;
            if values.is_empty() && check.required {
                return Err(refusal("is required"));
            }
            for value in values {
                check.judge(value).map_err(|text| refusal(&text))?;
            }
        }
        Ok(())
    }

    fn knows_all(&self, tool: &str, arguments: &Value) -> Result<(), String> {
        let known = |name: &str| {
            self.arguments.keys().any(|path| {
                let first = path.split(['.', '[']).next().unwrap_or_default();
                // `*` names all of them.
                first == "*"
                    || path
                        .strip_prefix(name)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
        };
        let members = arguments.as_object().into_iter().flat_map(serde_json::Map::keys);
        match members.into_iter().find(|name| !known(name)) {
            Some(name) => {
                let names: Vec<&str> = self.arguments.keys().map(String::as_str).collect();
                let text =
                    format!("argument `{name}` is none of those allowed: {}", names.join(", "));
                Err(self.refusal(tool, &text))
            }
            None => Ok(()),
        }
    }

    /// A sentence that says what is wrong and what is allowed.
    pub(crate) fn refusal(&self, tool: &str, text: &str) -> String {
        match &self.message {
            Some(message) => format!("{message} (`{tool}`: {text}.)"),
            None => format!("`{tool}` cannot be called like this: {text}."),
        }
    }
}
