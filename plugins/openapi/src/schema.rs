//! Schemas of OpenAPI as JSON Schema 2020-12.
//!
//! What a schema refers to goes to `$defs` of the result, so that recursive ones stay finite.
//! Version 3.0 is brought to the words of 3.1: `nullable`, boolean exclusive bounds.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::document::Document;

/// Whether values go to the service or come from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Read-only properties are left out.
    In,
    /// Write-only properties are left out.
    Out,
}

/// Collects what schemas refer to, for one JSON Schema.
pub(crate) struct Schemas<'d> {
    document: &'d Document,
    way: Way,
    definitions: Map<String, Value>,
    /// The name in `definitions` of every reference so far.
    names: BTreeMap<String, String>,
}

/// Deeper ones are no schemas of an interface.
const DEEPEST: usize = 64;

/// Members that say nothing about values, or nothing that JSON Schema knows.
const DROPPED: [&str; 7] =
    ["deprecated", "discriminator", "example", "externalDocs", "nullable", "xml", "$schema"];
/// Members that hold one schema, several, or several by name.
const ONE: [&str; 11] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
const SEVERAL: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED: [&str; 4] = ["$defs", "dependentSchemas", "patternProperties", "properties"];

impl<'d> Schemas<'d> {
    pub(crate) fn new(document: &'d Document, way: Way) -> Self {
        Self { document, way, definitions: Map::new(), names: BTreeMap::new() }
    }

    /// One schema, which may refer to `$defs`.
    pub(crate) fn take(&mut self, schema: &Value) -> Result<Value, String> {
        self.convert(schema, 0)
    }

    /// Puts what was referred to into the outermost schema.
    pub(crate) fn finish(self, mut schema: Value) -> Value {
        if !self.definitions.is_empty()
            && let Some(members) = schema.as_object_mut()
        {
            members.insert("$defs".to_owned(), Value::Object(self.definitions));
        }
        schema
    }

    fn convert(&mut self, schema: &Value, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err("a schema is nested too deeply".to_owned());
        }
        let Some(members) = schema.as_object() else { return Ok(schema.clone()) };
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            let name = self.define(reference, depth)?;
            let mut out = Map::new();
            out.insert("$ref".to_owned(), format!("#/$defs/{name}").into());
            // In 3.1 these may stand beside a reference.
            for beside in ["description", "title", "default"] {
                if let Some(value) = members.get(beside) {
                    out.insert(beside.to_owned(), value.clone());
                }
            }
            return Ok(Value::Object(out));
        }
        let mut out = Map::new();
        for (name, value) in members {
            let key = name.as_str();
            if DROPPED.contains(&key) || key.starts_with("x-") {
                continue;
            }
            let value = match value {
                value if ONE.contains(&key) => self.convert(value, depth + 1)?,
                Value::Array(all) if SEVERAL.contains(&key) => {
                    all.iter().map(|one| self.convert(one, depth + 1)).collect::<Result<_, _>>()?
                }
                Value::Object(all) if NAMED.contains(&key) => self.named(all, depth)?,
                value => value.clone(),
            };
            out.insert(name.clone(), value);
        }
        self.forget_required(members, &mut out);
        modernise(members, &mut out);
        Ok(Value::Object(out))
    }

    fn named(&mut self, all: &Map<String, Value>, depth: usize) -> Result<Value, String> {
        let mut out = Map::new();
        for (name, schema) in all {
            if !self.is_left_out(schema) {
                out.insert(name.clone(), self.convert(schema, depth + 1)?);
            }
        }
        Ok(Value::Object(out))
    }

    /// Whether a property does not go this way.
    fn is_left_out(&self, schema: &Value) -> bool {
        let mark = if self.way == Way::In { "readOnly" } else { "writeOnly" };
        let marked = |schema: &Value| schema.get(mark) == Some(&Value::Bool(true));
        marked(schema) || self.document.resolve(schema).is_ok_and(marked)
    }

    /// What was left out cannot be required.
    fn forget_required(&self, members: &Map<String, Value>, out: &mut Map<String, Value>) {
        let properties = members.get("properties").and_then(Value::as_object);
        if let Some(Value::Array(required)) = out.get_mut("required") {
            required.retain(|name| {
                let property = name.as_str().zip(properties).and_then(|(name, all)| all.get(name));
                !property.is_some_and(|schema| self.is_left_out(schema))
            });
            if required.is_empty() {
                out.remove("required");
            }
        }
    }

    /// The name in `$defs` of what stands at `reference`.
    fn define(&mut self, reference: &str, depth: usize) -> Result<String, String> {
        if let Some(name) = self.names.get(reference) {
            return Ok(name.clone());
        }
        let name = self.free_name(reference);
        self.names.insert(reference.to_owned(), name.clone());
        // Holds the place while what it refers to is taken, itself perhaps.
        self.definitions.insert(name.clone(), Value::Bool(true));
        let target = self.document.at(reference)?;
        let converted = self.convert(target, depth + 1)?;
        self.definitions.insert(name.clone(), converted);
        Ok(name)
    }

    /// A name that no other reference has: `a-b` and `a.b` would be the same in plain letters.
    fn free_name(&self, reference: &str) -> String {
        let plain = |one: char| if one.is_ascii_alphanumeric() || one == '_' { one } else { '_' };
        let short = reference.strip_prefix("#/components/schemas/").unwrap_or(reference);
        let base: String = short.chars().map(plain).collect();
        let mut name = base.clone();
        let mut number = 1;
        while self.definitions.contains_key(&name) {
            number += 1;
            name = format!("{base}_{number}");
        }
        name
    }
}

/// Words of 3.0 that mean something else since.
fn modernise(members: &Map<String, Value>, out: &mut Map<String, Value>) {
    if members.get("nullable") == Some(&Value::Bool(true)) {
        if let Some(Value::String(own)) = out.get("type").cloned() {
            out.insert("type".to_owned(), json!([own, "null"]));
        }
        if let Some(Value::Array(values)) = out.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    }
    for (exclusive, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match out.get(exclusive) {
            Some(Value::Bool(true)) => {
                if let Some(value) = out.remove(bound) {
                    out.insert(exclusive.to_owned(), value);
                } else {
                    out.remove(exclusive);
                }
            }
            Some(Value::Bool(false)) => {
                out.remove(exclusive);
            }
            _ => {}
        }
    }
}
