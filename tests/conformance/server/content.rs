//! What prompts, resources and completions answer.
//!
//! Owns the contents; which of them are listed is in `listing`.

use rmcp::{
    ErrorData, RoleServer,
    model::{GetPromptRequestParams, GetPromptResponse, GetPromptResult, ReadResourceResponse},
    service::RequestContext,
};
use serde_json::{Value, json};

use crate::{
    asking::{Answers, Asked, Questions, Step, elicitation},
    handler::of_json,
};

/// One red pixel.
pub(crate) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
/// A millisecond of silence.
pub(crate) const WAV: &str =
    "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA==";

/// The result of `resources/read`, or that there is no such resource.
pub(crate) fn resource(uri: &str) -> Result<ReadResourceResponse, ErrorData> {
    let content = match uri {
        "test://static-text" => json!({
            "uri": uri,
            "mimeType": "text/plain",
            "text": "This is the content of the static text resource.",
        }),
        "test://static-binary" => json!({ "uri": uri, "mimeType": "image/png", "blob": PNG }),
        "test://watched-resource" => {
            json!({ "uri": uri, "mimeType": "text/plain", "text": "Watch me." })
        }
        _ => match uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"))
        {
            Some(id) => {
                let data = format!("Data for ID: {id}");
                let text = json!({ "id": id, "templateTest": true, "data": data }).to_string();
                json!({ "uri": uri, "mimeType": "application/json", "text": text })
            }
            None => {
                let data = json!({ "uri": uri });
                return Err(ErrorData::resource_not_found("no such resource", Some(data)));
            }
        },
    };
    Ok(ReadResourceResponse::Complete(of_json(complete("contents", json!([content])))?))
}

/// The result of `completion/complete` for what was typed so far.
pub(crate) fn completion(typed: &str) -> Value {
    let values: Vec<&str> = ["paris", "park", "party", "test", "testing"]
        .into_iter()
        .filter(|value| value.starts_with(typed))
        .collect();
    let found = json!({ "total": values.len(), "values": values, "hasMore": false });
    complete("completion", found)
}

/// A result with one field; the SDK takes the type away again for legacy clients.
fn complete(field: &str, value: Value) -> Value {
    json!({ "resultType": "complete", field: value })
}

/// The result of `prompts/get`.
pub(crate) async fn prompt(
    request: GetPromptRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<GetPromptResponse, ErrorData> {
    let arguments = request.arguments.unwrap_or_default();
    let argument = |name: &str| {
        let missing = || ErrorData::invalid_params(format!("argument `{name}` is missing"), None);
        arguments.get(name).and_then(Value::as_str).ok_or_else(missing)
    };
    let messages = match request.name.as_str() {
        "test_simple_prompt" | "test_changing_prompt" => {
            vec![message("This is a simple prompt for testing.")]
        }
        "test_prompt_with_arguments" => {
            let (first, second) = (argument("arg1")?, argument("arg2")?);
            vec![message(&format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))]
        }
        "test_prompt_with_embedded_resource" => {
            let resource = json!({
                "uri": argument("resourceUri")?,
                "mimeType": "text/plain",
                "text": "Embedded resource content for testing.",
            });
            vec![
                json!({ "role": "user", "content": { "type": "resource", "resource": resource } }),
                message("Please process the embedded resource above."),
            ]
        }
        "test_prompt_with_image" => vec![
            json!({
                "role": "user",
                "content": { "type": "image", "data": PNG, "mimeType": "image/png" },
            }),
            message("Please analyze the image above."),
        ],
        "test_input_required_result_prompt" => {
            let answers = Answers::new(request.input_responses, request.request_state);
            return match crate::asking::run(context, answers, asks_for_context).await? {
                Asked::Done(result) => Ok(GetPromptResponse::Complete(result)),
                Asked::InputRequired(result) => Ok(GetPromptResponse::InputRequired(result)),
            };
        }
        name => {
            return Err(ErrorData::invalid_params(format!("there is no prompt `{name}`"), None));
        }
    };
    Ok(GetPromptResponse::Complete(of_json(complete("messages", json!(messages)))?))
}

fn message(text: &str) -> Value {
    json!({ "role": "user", "content": { "type": "text", "text": text } })
}

fn asks_for_context(answers: &Answers) -> Result<Step<GetPromptResult>, ErrorData> {
    if let Some(words) = answers.accepted("user_context", "context") {
        let messages = [message(&format!("Work with this context: {words}"))];
        return Ok(Step::Done(of_json(complete("messages", json!(messages)))?));
    }
    let question = elicitation("What context should the prompt use?", &["context"]);
    Ok(Step::Ask(Questions::new([("user_context", question)])))
}
