//! The tools that go on as a task where the client takes part in the tasks extension.
//!
//! Owns what each does and what happens for a client without the extension; the life of a
//! task is the SDK's.

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer,
    model::{CallToolResponse, CallToolResult, ClientCapabilities, CreateTaskResult, JsonObject},
    service::RequestContext,
    task_manager::{TaskContext, TaskExit, TaskOptions},
};
use serde_json::{Value, json};

use crate::{
    asking::{self, Answers, Asked, Questions, Step, elicitation},
    handler::{Fixture, of_json},
    tools::text,
};

/// How often a client should ask for a task.
const POLL_MS: u64 = 100;
/// The longest that a client without tasks is made to wait.
const WAIT: Duration = Duration::from_secs(1);
/// How long a job takes that nobody gave a time.
const JOB: Duration = Duration::from_millis(200);

/// One of the tools.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Takes as long as it is told to; not so long for clients without tasks.
    Compute(Duration),
    /// Ends with a result that is an error.
    Failing,
    /// Ends with a protocol error.
    Broken,
    /// Asks before it goes on.
    Confirm(String),
    /// Asks two things at once.
    TwoInputs,
    /// Asks first and becomes a task with what it was told.
    AskThenTask,
}

type Ended = Result<CallToolResult, TaskExit>;

impl Kind {
    /// The tool of this name, if it is one of these.
    pub(crate) fn of(name: &str, arguments: &JsonObject) -> Option<Self> {
        let argument = |name: &str| arguments.get(name);
        Some(match name {
            "slow_compute" => {
                let seconds = argument("seconds").and_then(Value::as_f64).unwrap_or_default();
                Self::Compute(Duration::try_from_secs_f64(seconds).unwrap_or_default())
            }
            "failing_job" => Self::Failing,
            "protocol_error_job" => Self::Broken,
            "confirm_delete" => {
                let name = argument("filename").and_then(Value::as_str).unwrap_or_default();
                Self::Confirm(name.to_owned())
            }
            "multi_input" => Self::TwoInputs,
            "test_tool_with_task" => Self::AskThenTask,
            _ => return None,
        })
    }
}

/// Starts the task, or does without where that is possible.
pub(crate) async fn call(
    fixture: &Fixture,
    kind: Kind,
    answers: Answers,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let takes_part = context.client_capabilities().is_some_and(|has| has.supports_tasks());
    if !takes_part {
        let Kind::Compute(time) = kind else {
            let needed = ClientCapabilities::builder().enable_tasks().build();
            return Err(ErrorData::missing_required_client_capability(needed));
        };
        tokio::time::sleep(time.min(WAIT)).await;
        return Ok(text("Computed.")?.into());
    }
    let mut name = None;
    if matches!(kind, Kind::AskThenTask) {
        match asking::run(context, answers, asks_for_name).await? {
            Asked::InputRequired(questions) => return Ok(questions.into()),
            Asked::Done(said) => name = Some(said),
        }
    }
    let options = TaskOptions::new().with_poll_interval_ms(POLL_MS);
    let task = fixture
        .shared
        .tasks
        .spawn(options, move |task| Box::pin(async move { job(kind, name, &task).await }));
    Ok(CreateTaskResult::new(task).into())
}

async fn job(kind: Kind, name: Option<String>, task: &TaskContext) -> Ended {
    match kind {
        Kind::Compute(time) => {
            tokio::select! {
                () = tokio::time::sleep(time) => Ok(text("Computed.")?),
                () = task.cancelled() => Err(TaskExit::Cancelled),
            }
        }
        Kind::Failing => {
            tokio::time::sleep(JOB).await;
            let content = json!([{ "type": "text", "text": "The job failed." }]);
            let failed = json!({ "resultType": "complete", "content": content, "isError": true });
            Ok(of_json(failed)?)
        }
        Kind::Broken => Err(ErrorData::internal_error("the job broke down", None).into()),
        Kind::Confirm(file) => asking::run_in_task(task, move |a| confirm(&file, a)).await,
        Kind::TwoInputs => asking::run_in_task(task, two_inputs).await,
        Kind::AskThenTask => Ok(text(&format!("Hello, {}!", name.unwrap_or_default()))?),
    }
}

fn asks_for_name(answers: &Answers) -> Result<Step<String>, ErrorData> {
    if let Some(name) = answers.accepted("user_name", "name") {
        return Ok(Step::Done(name));
    }
    let question = elicitation("What is your name?", &["name"]);
    Ok(Step::Ask(Questions::new([("user_name", question)])))
}

fn confirm(file: &str, answers: &Answers) -> Result<Step<CallToolResult>, ErrorData> {
    match answers.get("confirm") {
        Some(answer) if answer["action"] == "accept" => {
            Ok(Step::Done(text(&format!("{file} would be gone now."))?))
        }
        Some(_) => Ok(Step::Done(text(&format!("{file} stays."))?)),
        None => {
            let question = elicitation(&format!("Delete {file}?"), &["confirm"]);
            Ok(Step::Ask(Questions::new([("confirm", question)])))
        }
    }
}

fn two_inputs(answers: &Answers) -> Result<Step<CallToolResult>, ErrorData> {
    if answers.get("first").and(answers.get("second")).is_some() {
        return Ok(Step::Done(text("Both were answered.")?));
    }
    let first = elicitation("What is your name?", &["name"]);
    let second = elicitation("Are you sure?", &["confirm"]);
    Ok(Step::Ask(Questions::new([("first", first), ("second", second)])))
}
