//! What the tools do that neither ask nor become tasks, and which tool is of which kind.
//!
//! Owns the dispatch by name. Scripts that ask are in `scripts`, tasks in `tasks`.

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CustomNotification, JsonObject,
        ProgressNotificationParam, ServerNotification,
    },
    service::RequestContext,
};
use serde_json::{Value, json};

use crate::{
    asking::{self, Answers, Asked},
    content::{PNG, WAV},
    cut::Cut,
    handler::{Change, Fixture, of_json},
    scripts, tasks,
};

/// Between two messages of a tool that sends several.
const PAUSE: Duration = Duration::from_millis(50);
/// Long enough for a client to come back to a stream that was closed.
const ABSENCE: Duration = Duration::from_millis(500);

/// A result with these content blocks.
pub(crate) fn result(content: Value) -> Result<CallToolResult, ErrorData> {
    of_json(json!({ "resultType": "complete", "content": content }))
}

/// A result with one text.
pub(crate) fn text(words: &str) -> Result<CallToolResult, ErrorData> {
    result(json!([{ "type": "text", "text": words }]))
}

/// Calls a tool.
pub(crate) async fn call(
    fixture: &Fixture,
    request: CallToolRequestParams,
    context: RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let name = request.name.into_owned();
    let arguments = request.arguments.unwrap_or_default();
    if let Some(content) = contents(&name, &arguments) {
        return Ok(content?.into());
    }
    if let Some(kind) = tasks::Kind::of(&name, &arguments) {
        let answers = Answers::new(request.input_responses, request.request_state);
        return tasks::call(fixture, kind, answers, &context).await;
    }
    if let Some(script) = scripts::of(fixture, &name, &arguments, &context) {
        let answers = Answers::new(request.input_responses, request.request_state);
        return Ok(match asking::run(&context, answers, script).await? {
            Asked::Done(result) => result.into(),
            Asked::InputRequired(result) => result.into(),
        });
    }
    Ok(live(fixture, &name, &context).await?.into())
}

/// Tools that always answer the same.
fn contents(name: &str, arguments: &JsonObject) -> Option<Result<CallToolResult, ErrorData>> {
    let image = json!({ "type": "image", "data": PNG, "mimeType": "image/png" });
    let resource = |uri: &str, kind: &str, text: &str| {
        let resource = json!({ "uri": uri, "mimeType": kind, "text": text });
        json!({ "type": "resource", "resource": resource })
    };
    let content = match name {
        "test_simple_text" => return Some(text("This is a simple text response for testing.")),
        "test_image_content" => json!([image]),
        "test_audio_content" => json!([{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }]),
        "test_embedded_resource" => json!([resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content."
        )]),
        "test_multiple_content_types" => json!([
            { "type": "text", "text": "Multiple content types test:" },
            image,
            resource(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#
            ),
        ]),
        "test_error_handling" => {
            let words = "This tool intentionally returns an error for testing";
            return Some(of_json(json!({
                "resultType": "complete",
                "content": [{ "type": "text", "text": words }],
                "isError": true,
            })));
        }
        "json_schema_2020_12_tool" => return Some(text("The schema is what counts.")),
        "test_header_parameter" => {
            return Some(text(arguments.get("region").and_then(Value::as_str).unwrap_or("none")));
        }
        "test_changing_tool" => return Some(text("Still here.")),
        "greet" => {
            let whom = arguments.get("name").and_then(Value::as_str).unwrap_or("nobody");
            return Some(text(&format!("Hello, {whom}!")));
        }
        _ => return None,
    };
    Some(result(content))
}

/// Tools that do something before they answer.
async fn live(
    fixture: &Fixture,
    name: &str,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, ErrorData> {
    match name {
        "test_tool_with_progress" => {
            progress(context).await?;
            text("Progress was reported.")
        }
        "test_tool_with_logging" => {
            log(fixture, context, "Tool execution started").await?;
            tokio::time::sleep(PAUSE).await;
            log(fixture, context, "Tool processing data").await?;
            tokio::time::sleep(PAUSE).await;
            log(fixture, context, "Tool execution completed").await?;
            text("Three messages were logged.")
        }
        "test_logging_tool" => {
            log(fixture, context, "A message").await?;
            text("A message was logged, if it was wanted.")
        }
        "test_reconnection" => {
            // A modern stream that is closed is a call that was given up.
            if let Some(cut) = Cut::of(context).filter(|_| !crate::handler::is_modern(context)) {
                cut.make();
            }
            tokio::time::sleep(ABSENCE).await;
            text("Here is the answer after all.")
        }
        "test_trigger_tool_change" => {
            fixture.shared.toggle(Change::Tools);
            text("The list of tools has changed.")
        }
        "test_trigger_prompt_change" => {
            fixture.shared.toggle(Change::Prompts);
            text("The list of prompts has changed.")
        }
        _ => Err(ErrorData::invalid_params(format!("there is no tool `{name}`"), None)),
    }
}

async fn progress(context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    for done in [0.0, 50.0, 100.0] {
        if let Some(token) = context.meta.get_progress_token() {
            let params = ProgressNotificationParam::new(token, done).with_total(100.0);
            context.peer.notify_progress(params).await.map_err(gone)?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn log(
    fixture: &Fixture,
    context: &RequestContext<RoleServer>,
    words: &str,
) -> Result<(), ErrorData> {
    if !fixture.logs("info", context) {
        return Ok(());
    }
    let params = json!({ "level": "info", "logger": "fixture", "data": words });
    let notification = CustomNotification::new("notifications/message", Some(params));
    let notification = ServerNotification::CustomNotification(notification);
    context.peer.send_notification(notification).await.map_err(gone)
}

fn gone(error: rmcp::ServiceError) -> ErrorData {
    ErrorData::internal_error(format!("the client is gone: {error}"), None)
}
