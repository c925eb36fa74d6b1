//! What a person or a model in front of the client would say: arguments that fit a schema,
//! and answers to the questions of a server.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use tidegate_model::{Answer, Json, Offer, Tool};
use tidegate_wire::mcp::method::Method;

/// The tool whose schema `json_schema_echo` wants to have back.
const SCHEMA_TOOL: &str = "json_schema_2020_12_tool";

/// Arguments for everything that the tool requires.
pub(crate) fn arguments(tool: &Tool, offer: &Offer) -> Result<Value> {
    if tool.name.as_str() == "json_schema_echo" {
        let other = offer.tools.iter().find(|other| other.name.as_str() == SCHEMA_TOOL);
        let schema: Value =
            other.context("the tool with the schema is missing")?.input_schema.read()?;
        return Ok(json!({ "schema": schema }));
    }
    let schema: Value = tool.input_schema.read()?;
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let argument = |name: &Value| {
        let name = name.as_str()?;
        let property = schema.get("properties").and_then(|all| all.get(name));
        Some((name.to_owned(), property.map_or(Value::Null, fitting)))
    };
    Ok(required.filter_map(argument).collect::<Map<_, _>>().into())
}

fn fitting(schema: &Value) -> Value {
    if let Some(default) = schema.get("default") {
        return default.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("number" | "integer") => json!(2),
        Some("boolean") => json!(true),
        Some("object") => json!({}),
        Some("array") => json!([]),
        Some("null") => Value::Null,
        _ => json!("test"),
    }
}

/// The client's answer to a question of the server.
pub(crate) fn to(method: Method, params: &Json) -> Answer {
    let params: Value = params.read().unwrap_or_default();
    let result = match method {
        Method::Elicit => json!({ "action": "accept", "content": filled_in(&params) }),
        Method::CreateMessage => json!({
            "role": "assistant",
            "content": { "type": "text", "text": "An answer of the model." },
            "model": "none",
            "stopReason": "endTurn",
        }),
        _ => json!({ "roots": [{ "uri": "file:///srv/work", "name": "Work" }] }),
    };
    Json::of(&result).map_or_else(|_| Answer::Error(Json::empty_object()), Answer::Result)
}

/// The form as a person sends it who changes nothing that has a default.
fn filled_in(params: &Value) -> Value {
    let schema = params.get("requestedSchema").and_then(|schema| schema.get("properties"));
    let fields = schema.and_then(Value::as_object).into_iter().flatten();
    fields.map(|(name, field)| (name.clone(), fitting(field))).collect::<Map<_, _>>().into()
}
