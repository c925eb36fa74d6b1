//! Questions to the client, the same for both eras.
//!
//! A script is a function from the answers so far to a result or more questions. Owns how
//! the questions get to the client: as requests of the server's own in a legacy session, as
//! an `input_required` result in the modern era, as a task's `inputRequests`.

use std::collections::BTreeMap;

use rmcp::{
    ErrorData, RoleServer,
    model::{
        ClientCapabilities, CustomRequest, ErrorCode, InputRequest, InputRequests,
        InputRequiredResult, ServerRequest,
    },
    service::{RequestContext, ServiceError},
    task_manager::{TaskContext, TaskExit},
};
use serde_json::{Value, json};

use crate::handler::{is_modern, of_json};

/// What a script says next.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// It is done.
    Done(T),
    /// It needs answers first.
    Ask(Questions),
}

/// What is to be answered to the request.
#[derive(Debug)]
pub(crate) enum Asked<T> {
    /// The result.
    Done(T),
    /// The questions, for a modern client.
    InputRequired(InputRequiredResult),
}

/// Questions by the key of their answer, with the state to get back.
#[derive(Debug)]
pub(crate) struct Questions {
    requests: Vec<(String, Value)>,
    state: Option<String>,
}

/// What the client has answered in this round.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    responses: BTreeMap<String, Value>,
    /// The state that came with the questions, as the client gave it back.
    pub(crate) state: Option<String>,
}

impl Questions {
    /// Questions without a state.
    pub(crate) fn new<const N: usize>(requests: [(&str, Value); N]) -> Self {
        let requests = requests.into_iter().map(|(key, request)| (key.to_owned(), request));
        Self { requests: requests.collect(), state: None }
    }

    /// The same with a state.
    pub(crate) fn with_state(mut self, state: String) -> Self {
        self.state = Some(state);
        self
    }

    /// Only those whose answer the client says it can give.
    pub(crate) fn within(mut self, capabilities: &ClientCapabilities) -> Self {
        self.requests.retain(|(_, request)| missing(capabilities, method(request)).is_none());
        self
    }

    /// Nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

impl Answers {
    /// The answers in a request.
    pub(crate) fn new(responses: Option<BTreeMap<String, Value>>, state: Option<String>) -> Self {
        Self { responses: responses.unwrap_or_default(), state }
    }

    /// An answer of any kind.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.responses.get(key).filter(|answer| answer.is_object())
    }

    /// A field of an elicitation that was accepted.
    pub(crate) fn accepted(&self, key: &str, field: &str) -> Option<String> {
        let answer = self.get(key)?;
        let field = answer.get("content")?.get(field)?;
        let text = || field.as_str().map_or_else(|| field.to_string(), str::to_owned);
        (answer.get("action")? == "accept").then(text)
    }
}

/// An `elicitation/create` for these fields, all of them required strings.
pub(crate) fn elicitation(message: &str, fields: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!({ "type": "string" }))).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": fields });
    elicitation_of(message, schema)
}

/// An `elicitation/create` for this schema.
pub(crate) fn elicitation_of(message: &str, schema: Value) -> Value {
    let params = json!({ "mode": "form", "message": message, "requestedSchema": schema });
    json!({ "method": "elicitation/create", "params": params })
}

/// A `sampling/createMessage` for one prompt.
pub(crate) fn sampling(prompt: &str) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    let params = json!({ "messages": [message], "maxTokens": 100 });
    json!({ "method": "sampling/createMessage", "params": params })
}

/// A `roots/list`.
pub(crate) fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

fn method(request: &Value) -> &str {
    request.get("method").and_then(Value::as_str).unwrap_or_default()
}

/// The capability that the client would have to declare to be asked this.
fn missing(capabilities: &ClientCapabilities, method: &str) -> Option<&'static str> {
    let (name, declared) = match method {
        "elicitation/create" => ("elicitation", capabilities.elicitation.is_some()),
        "sampling/createMessage" => ("sampling", capabilities.sampling.is_some()),
        _ => ("roots", capabilities.roots.is_some()),
    };
    (!declared).then_some(name)
}

/// The error for a client that has not declared a capability.
pub(crate) fn undeclared(name: &str) -> Result<ErrorData, ErrorData> {
    Ok(ErrorData::missing_required_client_capability(of_json(json!({ name: {} }))?))
}

fn check(context: &RequestContext<RoleServer>, questions: &Questions) -> Result<(), ErrorData> {
    let capabilities = context.client_capabilities().unwrap_or_default();
    for (_, request) in &questions.requests {
        if let Some(name) = missing(&capabilities, method(request)) {
            return Err(undeclared(name)?);
        }
    }
    Ok(())
}

/// Runs a script as far as it goes within this request; all questions of a round are asked
/// at once.
pub(crate) async fn run<T>(
    context: &RequestContext<RoleServer>,
    mut answers: Answers,
    script: impl Fn(&Answers) -> Result<Step<T>, ErrorData>,
) -> Result<Asked<T>, ErrorData> {
    loop {
        let questions = match script(&answers)? {
            Step::Done(result) => return Ok(Asked::Done(result)),
            Step::Ask(questions) => questions,
        };
        check(context, &questions)?;
        if is_modern(context) {
            let mut requests = InputRequests::new();
            for (key, request) in questions.requests {
                requests.insert(key, of_json(request)?);
            }
            let result = InputRequiredResult::new(Some(requests), questions.state);
            return Ok(Asked::InputRequired(result));
        }
        let asked = questions.requests.into_iter().map(async |(key, request)| {
            let answer = ask(context, &request).await?;
            Ok::<_, ErrorData>((key, answer))
        });
        let responses = futures_util::future::try_join_all(asked).await?;
        answers = Answers { responses: responses.into_iter().collect(), state: questions.state };
    }
}

/// One request of the server's own, in a legacy session.
async fn ask(context: &RequestContext<RoleServer>, request: &Value) -> Result<Value, ErrorData> {
    let params = request.get("params").cloned();
    let request = ServerRequest::CustomRequest(CustomRequest::new(method(request), params));
    match context.peer.send_request(request).await {
        Ok(answer) => of_json(json!(answer)),
        Err(ServiceError::McpError(error)) => Err(error),
        Err(error) => {
            let words = format!("the client did not answer: {error}");
            Err(ErrorData::new(ErrorCode::INTERNAL_ERROR, words, None))
        }
    }
}

/// Runs a script to its end within a task; all questions of a round are open at once.
pub(crate) async fn run_in_task<T>(
    task: &TaskContext,
    script: impl Fn(&Answers) -> Result<Step<T>, ErrorData>,
) -> Result<T, TaskExit> {
    let mut answers = Answers::default();
    loop {
        let questions = match script(&answers)? {
            Step::Done(result) => return Ok(result),
            Step::Ask(questions) => questions,
        };
        let open = questions.requests.into_iter().map(async |(key, request)| {
            let request: InputRequest = of_json(request)?;
            let answer = task.request_input(key.clone(), request).await?;
            Ok::<_, TaskExit>((key, answer))
        });
        let responses = futures_util::future::try_join_all(open).await?;
        answers = Answers { responses: responses.into_iter().collect(), state: questions.state };
    }
}
