//! What the fixture lists: tools, prompts, resources and templates, under the names that the
//! suite looks for.
//!
//! Owns the descriptions; what happens behind them is in `tools`, `tasks` and `content`.

use serde_json::{Value, json};

/// All tools in their order; `extra` adds the one that comes and goes.
pub(crate) fn tools(extra: bool) -> Value {
    let mut tools = plain();
    tools.extend(asking());
    tools.extend(tasks());
    if extra {
        tools.push(tool("test_changing_tool", "Comes and goes.", json!({})));
    }
    Value::Array(tools)
}

fn tool(name: &str, description: &str, properties: Value) -> Value {
    requiring(name, description, properties, &[])
}

/// A tool whose only argument is a string that must be there.
fn tool_with(name: &str, description: &str, argument: &str) -> Value {
    requiring(name, description, json!({ argument: { "type": "string" } }), &[argument])
}

fn requiring(name: &str, description: &str, properties: Value, required: &[&str]) -> Value {
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    json!({ "name": name, "description": description, "inputSchema": schema })
}

fn plain() -> Vec<Value> {
    let none = || json!({});
    vec![
        tool("test_simple_text", "Answers with a text.", none()),
        tool("test_image_content", "Answers with an image.", none()),
        tool("test_audio_content", "Answers with a sound.", none()),
        tool("test_embedded_resource", "Answers with a resource.", none()),
        tool(
            "test_multiple_content_types",
            "Answers with a text, an image and a resource.",
            none(),
        ),
        tool("test_error_handling", "Fails.", none()),
        tool("test_tool_with_progress", "Reports progress.", none()),
        tool("test_tool_with_logging", "Writes three log messages.", none()),
        tool("test_logging_tool", "Writes a log message.", none()),
        tool("test_reconnection", "Closes the stream before it answers.", none()),
        tool("test_trigger_tool_change", "Changes the list of tools.", none()),
        tool("test_trigger_prompt_change", "Changes the list of prompts.", none()),
        header_tool(),
        schema_tool(),
    ]
}

/// A tool with an argument that also travels in a header.
fn header_tool() -> Value {
    let region = json!({ "type": "string", "x-mcp-header": "Region" });
    tool("test_header_parameter", "Answers with its region.", json!({ "region": region }))
}

/// A tool with every keyword of JSON Schema that must not get lost on the way.
fn schema_tool() -> Value {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": {
            "properties": { "contactMethod": { "const": "phone" } },
            "required": ["contactMethod"],
        },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    });
    let description = "Has a schema that uses much of JSON Schema 2020-12.";
    json!({ "name": "json_schema_2020_12_tool", "description": description, "inputSchema": schema })
}

fn asking() -> Vec<Value> {
    let none = || json!({});
    let mut tools = vec![
        tool_with("test_sampling", "Asks the client's model.", "prompt"),
        tool_with("test_elicitation", "Asks the user.", "message"),
        tool("test_elicitation_sep1034_defaults", "Asks with defaults.", none()),
        tool("test_elicitation_sep1330_enums", "Asks with choices.", none()),
        tool("test_missing_capability", "Needs sampling.", none()),
        tool("test_streaming_elicitation", "Asks the user, on a stream.", none()),
    ];
    let asked = [
        ("elicitation", "the user"),
        ("sampling", "the client's model"),
        ("list_roots", "for the client's roots"),
        ("request_state", "the user, with a state"),
        ("multiple_inputs", "three things at once"),
        ("multi_round", "the user twice"),
        ("tampered_state", "the user, with a sealed state"),
        ("capabilities", "only what the client can answer"),
    ];
    tools.extend(asked.map(|(name, whom)| {
        tool(&format!("test_input_required_result_{name}"), &format!("Asks {whom}."), none())
    }));
    tools
}

fn tasks() -> Vec<Value> {
    let compute = json!({ "seconds": { "type": "number" }, "label": { "type": "string" } });
    vec![
        tool_with("greet", "Greets.", "name"),
        tool("slow_compute", "Takes as long as it is told to.", compute),
        tool("failing_job", "Fails after a while.", json!({})),
        tool("protocol_error_job", "Ends with a protocol error.", json!({})),
        tool_with("confirm_delete", "Asks before it deletes nothing.", "filename"),
        tool("multi_input", "Asks two things at once.", json!({})),
        tool("test_tool_with_task", "Asks for a name, then goes on as a task.", json!({})),
    ]
}

/// All prompts in their order; `extra` adds the one that comes and goes.
pub(crate) fn prompts(extra: bool) -> Value {
    let argument = |name: &str| json!({ "name": name, "required": true });
    let prompt = |name: &str, description: &str, arguments: Value| json!({ "name": name, "description": description, "arguments": arguments });
    let mut prompts = vec![
        prompt("test_simple_prompt", "A text.", json!([])),
        prompt(
            "test_prompt_with_arguments",
            "A text with two arguments in it.",
            json!([argument("arg1"), argument("arg2")]),
        ),
        prompt(
            "test_prompt_with_embedded_resource",
            "A resource.",
            json!([argument("resourceUri")]),
        ),
        prompt("test_prompt_with_image", "An image.", json!([])),
        prompt("test_input_required_result_prompt", "Asks the user first.", json!([])),
    ];
    if extra {
        prompts.push(prompt("test_changing_prompt", "Comes and goes.", json!([])));
    }
    Value::Array(prompts)
}

/// The resources that have an address of their own.
pub(crate) fn resources() -> Value {
    let resource = |uri: &str, name: &str, description: &str, kind: &str| json!({ "uri": uri, "name": name, "description": description, "mimeType": kind });
    json!([
        resource("test://static-text", "Text", "A text.", "text/plain"),
        resource("test://static-binary", "Image", "One red pixel.", "image/png"),
        resource("test://watched-resource", "Watched", "Can be subscribed to.", "text/plain"),
    ])
}

/// The one template.
pub(crate) fn templates() -> Value {
    json!([{
        "uriTemplate": "test://template/{id}/data",
        "name": "Data",
        "description": "The data of one id.",
        "mimeType": "application/json",
    }])
}
