//! What is said of one tool or pattern, how several sayings become one, and the edit they
//! come to.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{Edit, Tool, customizer, narrow::Narrowing};

/// Changes to a tool; what is left out stays.
#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Change {
    name: Option<String>,
    name_prefix: Option<String>,
    name_suffix: Option<String>,
    title: Option<String>,
    description: Option<String>,
    description_prefix: Option<String>,
    description_suffix: Option<String>,
    hide: Option<bool>,
    defaults: BTreeMap<String, Value>,
    lock: BTreeMap<String, Value>,
    narrow: BTreeMap<String, Narrowing>,
}

/// Names are sent in headers and written by models.
const LONGEST_NAME: usize = 128;

impl Change {
    /// Takes in what `other` says; returns the setting on which both speak and disagree.
    pub(crate) fn join(&mut self, other: &Self) -> Option<&'static str> {
        join(&mut self.name, &other.name, "name")
            .or_else(|| join(&mut self.name_prefix, &other.name_prefix, "name_prefix"))
            .or_else(|| join(&mut self.name_suffix, &other.name_suffix, "name_suffix"))
            .or_else(|| join(&mut self.title, &other.title, "title"))
            .or_else(|| join(&mut self.description, &other.description, "description"))
            .or_else(|| {
                join(&mut self.description_prefix, &other.description_prefix, "description_prefix")
            })
            .or_else(|| {
                join(&mut self.description_suffix, &other.description_suffix, "description_suffix")
            })
            .or_else(|| join(&mut self.hide, &other.hide, "hide"))
            .or_else(|| join_maps(&mut self.defaults, &other.defaults, "defaults"))
            .or_else(|| join_maps(&mut self.lock, &other.lock, "lock"))
            .or_else(|| join_maps(&mut self.narrow, &other.narrow, "narrow"))
    }

    /// What this says, and what `below` says where this says nothing.
    pub(crate) fn over(&self, below: Self) -> Self {
        let all = |above: &BTreeMap<String, Value>, mut below: BTreeMap<String, Value>| {
            below.extend(above.clone());
            below
        };
        let mut narrow = below.narrow;
        narrow.extend(self.narrow.clone());
        Self {
            name: self.name.clone().or(below.name),
            name_prefix: self.name_prefix.clone().or(below.name_prefix),
            name_suffix: self.name_suffix.clone().or(below.name_suffix),
            title: self.title.clone().or(below.title),
            description: self.description.clone().or(below.description),
            description_prefix: self.description_prefix.clone().or(below.description_prefix),
            description_suffix: self.description_suffix.clone().or(below.description_suffix),
            hide: self.hide.or(below.hide),
            defaults: all(&self.defaults, below.defaults),
            lock: all(&self.lock, below.lock),
            narrow,
        }
    }

    /// The edit of `tool`; an error names it and what does not fit.
    pub(crate) fn edit(&self, tool: &Tool) -> Result<Edit, String> {
        let wrong = |text: String| format!("tool `{}`: {text}", tool.name);
        if self.hide == Some(true) {
            return Ok(Edit { hidden: true, ..customizer::edit(tool.name.as_str()) });
        }
        self.check_arguments(tool).map_err(wrong)?;
        let schema = Narrowing::all(&self.narrow, &tool.schema).map_err(wrong)?;
        let settings = |of: &BTreeMap<String, Value>| {
            of.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
        };
        Ok(Edit {
            name: self.published(&tool.name).map_err(wrong)?,
            title: self.title.clone(),
            description: self.described(tool.description.as_deref()),
            defaults: settings(&self.defaults),
            locked: settings(&self.lock),
            input_schema: schema.map(|schema| schema.to_string()),
            ..customizer::edit(tool.name.as_str())
        })
    }

    fn published(&self, original: &str) -> Result<Option<String>, String> {
        let affixes =
            [&self.name_prefix, &self.name_suffix].map(|one| one.as_deref().unwrap_or(""));
        let [prefix, suffix] = affixes;
        let name = format!("{prefix}{}{suffix}", self.name.as_deref().unwrap_or(original));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name == original {
            return Ok(None);
        }
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(fits) {
            return Err(format!(
                "`{name}` is no name: 1 to {LONGEST_NAME} letters, digits, `_`, `-` and `.`"
            ));
        }
        Ok(Some(name))
    }

    fn described(&self, original: Option<&str>) -> Option<String> {
        let affixes = [&self.description_prefix, &self.description_suffix];
        if self.description.is_none() && affixes.iter().all(|one| one.is_none()) {
            return None;
        }
        let [prefix, suffix] = affixes.map(|one| one.as_deref().unwrap_or(""));
        let middle = self.description.as_deref().or(original).unwrap_or("");
        Some(format!("{prefix}{middle}{suffix}"))
    }

    /// Whether the arguments named are there, and each in one place only.
    fn check_arguments(&self, tool: &Tool) -> Result<(), String> {
        let properties = tool.schema.get("properties").and_then(Value::as_object);
        for (setting, names) in [("defaults", &self.defaults), ("lock", &self.lock)] {
            for name in names.keys() {
                let known = properties.is_none_or(|properties| properties.contains_key(name))
                    || tool
                        .schema
                        .get("additionalProperties")
                        .is_some_and(|more| *more != Value::Bool(false));
                if !known {
                    return Err(format!("it has no argument `{name}` (any more), see `{setting}`"));
                }
            }
        }
        for name in self.lock.keys() {
            if self.defaults.contains_key(name) {
                return Err(format!("argument `{name}` stands in `lock` and in `defaults`"));
            }
            if self.narrow.contains_key(name) {
                return Err(format!("argument `{name}` stands in `lock` and in `narrow`"));
            }
        }
        let dropped = |name: &&String| self.narrow.get(*name).is_some_and(Narrowing::drops);
        match self.defaults.keys().find(dropped) {
            Some(name) => Err(format!("argument `{name}` is dropped and has a default")),
            None => Ok(()),
        }
    }
}

fn join<T: Clone + PartialEq>(
    one: &mut Option<T>,
    other: &Option<T>,
    field: &'static str,
) -> Option<&'static str> {
    if let (Some(one), Some(other)) = (&one, other) {
        return (one != other).then_some(field);
    }
    if one.is_none() {
        one.clone_from(other);
    }
    None
}

fn join_maps<T: Clone + PartialEq>(
    one: &mut BTreeMap<String, T>,
    other: &BTreeMap<String, T>,
    field: &'static str,
) -> Option<&'static str> {
    for (name, value) in other {
        if one.get(name).is_some_and(|known| known != value) {
            return Some(field);
        }
        one.insert(name.clone(), value.clone());
    }
    None
}
