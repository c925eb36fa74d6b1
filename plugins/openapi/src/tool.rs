//! Operations as tools: their names, definitions, and which operation a name means.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    document::Place,
    operation::Operation,
    schema::{Schemas, Way},
    settings::Settings,
};

/// A tool and the operation behind it, or why there is none.
pub(crate) struct Tool<'d> {
    pub(crate) name: String,
    pub(crate) operation: Result<Operation<'d>, String>,
}

const LONGEST_NAME: usize = 64;

/// Every operation that the configuration wants, by path and method.
pub(crate) fn tools(settings: &Settings) -> Vec<Tool<'_>> {
    named(settings).map(|(name, place)| Tool::read(name, settings, place)).collect()
}

/// The one of this name, if it is wanted. No other operation is read for it.
pub(crate) fn tool<'d>(settings: &'d Settings, name: &str) -> Option<Tool<'d>> {
    let (name, place) = named(settings).find(|(known, _)| known == name)?;
    Some(Tool::read(name, settings, place))
}

/// The wanted operations by name.
fn named(settings: &Settings) -> impl Iterator<Item = (String, Place<'_>)> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let all = settings.document.operations().map(move |place| {
        let name = name(place);
        // Numbered over all operations, so that a filter does not change what a name means.
        let number = taken.entry(name.clone()).or_default();
        *number += 1;
        (if *number > 1 { format!("{name}.{number}") } else { name }, place)
    });
    all.filter(|(name, place)| {
        let tags = place.operation.get("tags").and_then(Value::as_array);
        let tags: Vec<&str> = tags.into_iter().flatten().filter_map(Value::as_str).collect();
        settings.wants(name, &tags)
    })
}

/// The operation's id, or its method and path, in the characters of tool names.
fn name(place: Place<'_>) -> String {
    let id = place.operation.get("operationId").and_then(Value::as_str);
    let text = id.map_or_else(|| format!("{}{}", place.method, place.path), str::to_owned);
    let mut name = String::new();
    for one in text.chars().filter(|one| !matches!(one, '{' | '}')) {
        let one = if one.is_ascii_alphanumeric() || one == '-' { one } else { '_' };
        if one != '_' || !name.ends_with('_') {
            name.push(one);
        }
    }
    name.truncate(LONGEST_NAME - 4);
    name.trim_end_matches('_').to_owned()
}

impl<'d> Tool<'d> {
    fn read(name: String, settings: &'d Settings, place: Place<'d>) -> Self {
        Self { name, operation: Operation::read(&settings.document, place) }
    }

    /// The MCP definition; the error says why there is none.
    pub(crate) fn definition(&self, settings: &Settings) -> Result<Value, String> {
        let operation = self.operation.as_ref().map_err(Clone::clone)?;
        let mut tool = Map::new();
        tool.insert("name".to_owned(), self.name.as_str().into());
        if let Some(title) = operation.text("summary") {
            tool.insert("title".to_owned(), title.into());
        }
        tool.insert("description".to_owned(), described(operation).into());
        tool.insert("inputSchema".to_owned(), input(operation, settings)?);
        if settings.output_schemas
            && let Some(schema) = operation.answer(&settings.document)
        {
            tool.insert("outputSchema".to_owned(), output(schema, settings)?);
        }
        tool.insert("annotations".to_owned(), annotations(operation.place.method));
        Ok(Value::Object(tool))
    }
}

fn described(operation: &Operation<'_>) -> String {
    let text = operation.text("description").or_else(|| operation.text("summary"));
    let text = text.map_or_else(
        || format!("{} {}", operation.place.method.to_uppercase(), operation.place.path),
        |text| text.trim().to_owned(),
    );
    match operation.place.operation.get("deprecated") {
        Some(Value::Bool(true)) => format!("{text}\n\nDeprecated."),
        _ => text,
    }
}

fn annotations(method: &str) -> Value {
    match method {
        "get" | "head" | "options" | "trace" => {
            json!({ "readOnlyHint": true, "openWorldHint": true })
        }
        "delete" => json!({
            "readOnlyHint": false, "destructiveHint": true, "idempotentHint": true,
            "openWorldHint": true
        }),
        "put" => json!({ "readOnlyHint": false, "idempotentHint": true, "openWorldHint": true }),
        _ => json!({ "readOnlyHint": false, "openWorldHint": true }),
    }
}

fn input(operation: &Operation<'_>, settings: &Settings) -> Result<Value, String> {
    let mut schemas = Schemas::new(&settings.document, Way::In);
    let mut properties = Map::new();
    let mut required = Vec::new();
    let parameters = operation
        .parameters
        .iter()
        .map(|one| (one.argument.as_str(), one.schema, one.description, one.required));
    let body = operation
        .body
        .iter()
        .map(|body| (body.argument, body.schema, body.description, body.required));
    for (name, schema, description, needed) in parameters.chain(body) {
        let mut schema = schemas.take(schema.unwrap_or(&Value::Bool(true)))?;
        if let Some(description) = description {
            if schema == Value::Bool(true) {
                schema = json!({});
            }
            if let Some(members) = schema.as_object_mut() {
                members.insert("description".to_owned(), description.into());
            }
        }
        properties.insert(name.to_owned(), schema);
        if needed {
            required.push(Value::from(name));
        }
    }
    let mut schema = json!({
        "type": "object", "properties": properties, "additionalProperties": false
    });
    if !required.is_empty()
        && let Some(members) = schema.as_object_mut()
    {
        members.insert("required".to_owned(), required.into());
    }
    Ok(schemas.finish(schema))
}

/// The schema of structured content, which has to be an object.
fn output(schema: &Value, settings: &Settings) -> Result<Value, String> {
    let mut schemas = Schemas::new(&settings.document, Way::Out);
    let object = is_object(schema, settings);
    let converted = schemas.take(schema)?;
    let schema = if !object {
        json!({ "type": "object", "properties": { "result": converted }, "required": ["result"] })
    } else if converted.get("$ref").is_some() {
        json!({ "type": "object", "allOf": [converted] })
    } else {
        converted
    };
    Ok(schemas.finish(schema))
}

/// Whether values of a schema are always objects.
pub(crate) fn is_object(schema: &Value, settings: &Settings) -> bool {
    settings.document.resolve(schema).is_ok_and(|schema| {
        schema.get("type") == Some(&Value::from("object"))
            && schema.get("nullable") != Some(&Value::Bool(true))
    })
}

/// What is not offered, for people: one line each.
pub(crate) fn left_out(tools: &[Tool<'_>], settings: &Settings) -> Vec<String> {
    tools
        .iter()
        .filter_map(|tool| Some(format!("{}: {}", tool.name, tool.definition(settings).err()?)))
        .collect()
}
