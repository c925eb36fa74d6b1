//! The tools that ask the client something before they answer.
//!
//! Owns what is asked and when enough is known; how it is asked is in `asking`.

use rmcp::{
    ErrorData, RoleServer,
    model::{CallToolResult, JsonObject, RequestStateCodec},
    service::RequestContext,
};
use serde_json::{Value, json};

use crate::{
    asking::{Answers, Questions, Step, elicitation, elicitation_of, roots, sampling},
    handler::Fixture,
    tools::text,
};

type Said = Result<Step<CallToolResult>, ErrorData>;
type Script = Box<dyn Fn(&Answers) -> Said + Send + Sync>;

/// The script behind a tool, if there is one.
pub(crate) fn of(
    fixture: &Fixture,
    name: &str,
    arguments: &JsonObject,
    context: &RequestContext<RoleServer>,
) -> Option<Script> {
    let argument =
        |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(name) = name.strip_prefix("test_input_required_result_") {
        return round_trip(fixture, name, context);
    }
    Some(match name {
        "test_sampling" => one("answer", "LLM response", sampling(&argument("prompt"))),
        "test_elicitation" => {
            let question = elicitation(&argument("message"), &["username", "email"]);
            one("answer", "User response", question)
        }
        "test_elicitation_sep1034_defaults" => {
            one("answer", "Elicitation completed", with_defaults())
        }
        "test_elicitation_sep1330_enums" => one("answer", "Elicitation completed", with_choices()),
        "test_missing_capability" => one("answer", "LLM response", sampling("Say something.")),
        "test_streaming_elicitation" => {
            one("user_name", "User response", elicitation("What is your name?", &["name"]))
        }
        _ => return None,
    })
}

/// Asks one thing and answers with what came back.
fn one(key: &'static str, before: &'static str, question: Value) -> Script {
    Box::new(move |answers| match answers.get(key) {
        Some(answer) => Ok(Step::Done(text(&format!("{before}: {answer}"))?)),
        None => Ok(Step::Ask(Questions::new([(key, question.clone())]))),
    })
}

fn round_trip(
    fixture: &Fixture,
    name: &str,
    context: &RequestContext<RoleServer>,
) -> Option<Script> {
    let seal = fixture.shared.seal.clone();
    Some(match name {
        "elicitation" => Box::new(asks_for_name),
        "sampling" => {
            one("capital_question", "LLM response", sampling("What is the capital of France?"))
        }
        "list_roots" => one("client_roots", "Roots", roots()),
        "request_state" => Box::new(move |answers| confirmed(&seal, answers, "state-ok")),
        "tampered_state" => Box::new(move |answers| confirmed(&seal, answers, "confirmed")),
        "multiple_inputs" => Box::new(move |answers| three_at_once(&seal, answers)),
        "multi_round" => Box::new(move |answers| two_rounds(&seal, answers)),
        "capabilities" => {
            let declared = context.client_capabilities().unwrap_or_default();
            Box::new(move |answers| {
                let questions = Questions::new([
                    ("user_name", elicitation("What is your name?", &["name"])),
                    ("greeting", sampling("Generate a greeting")),
                ]);
                let questions = questions.within(&declared);
                let answered =
                    ["user_name", "greeting"].iter().any(|key| answers.get(key).is_some());
                if answered || questions.is_empty() {
                    return Ok(Step::Done(text("Nothing more to ask.")?));
                }
                Ok(Step::Ask(questions))
            })
        }
        _ => return None,
    })
}

fn asks_for_name(answers: &Answers) -> Said {
    if let Some(name) = answers.accepted("user_name", "name") {
        return Ok(Step::Done(text(&format!("Hello, {name}!"))?));
    }
    let question = elicitation("What is your name?", &["name"]);
    Ok(Step::Ask(Questions::new([("user_name", question)])))
}

/// What a state of this program says; a state that it did not seal is an error.
fn opened(seal: &RequestStateCodec, answers: &Answers) -> Result<Option<String>, ErrorData> {
    let Some(state) = &answers.state else { return Ok(None) };
    let refused = |_| ErrorData::invalid_params("the request state is not ours", None);
    let bytes = seal.open(state).map_err(refused)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn confirmed(seal: &RequestStateCodec, answers: &Answers, words: &str) -> Said {
    let asked = opened(seal, answers)?;
    if asked.as_deref() == Some("confirm") && answers.accepted("confirm", "ok").is_some() {
        return Ok(Step::Done(text(words)?));
    }
    let ok = json!({ "ok": { "type": "boolean" } });
    let schema = json!({ "type": "object", "properties": ok, "required": ["ok"] });
    let questions = Questions::new([("confirm", elicitation_of("Please confirm", schema))]);
    Ok(Step::Ask(questions.with_state(seal.seal(b"confirm"))))
}

fn three_at_once(seal: &RequestStateCodec, answers: &Answers) -> Said {
    let asked = opened(seal, answers)?;
    let name = answers.accepted("user_name", "name");
    let rest = answers.get("greeting").and(answers.get("client_roots"));
    if let (Some("three"), Some(name), Some(_)) = (asked.as_deref(), name, rest) {
        return Ok(Step::Done(text(&format!("Thank you, {name}."))?));
    }
    let questions = Questions::new([
        ("user_name", elicitation("What is your name?", &["name"])),
        ("greeting", sampling("Generate a greeting")),
        ("client_roots", roots()),
    ]);
    Ok(Step::Ask(questions.with_state(seal.seal(b"three"))))
}

fn two_rounds(seal: &RequestStateCodec, answers: &Answers) -> Said {
    let asked = opened(seal, answers)?.unwrap_or_default();
    if let (Some(name), Some(color)) =
        (asked.strip_prefix("second "), answers.accepted("step2", "color"))
    {
        return Ok(Step::Done(text(&format!("{name} likes {color}."))?));
    }
    if let ("first", Some(name)) = (asked.as_str(), answers.accepted("step1", "name")) {
        let question = elicitation("Step 2: What is your favorite color?", &["color"]);
        let state = seal.seal(format!("second {name}").as_bytes());
        return Ok(Step::Ask(Questions::new([("step2", question)]).with_state(state)));
    }
    let question = elicitation("Step 1: What is your name?", &["name"]);
    Ok(Step::Ask(Questions::new([("step1", question)]).with_state(seal.seal(b"first"))))
}

fn with_defaults() -> Value {
    let status = ["active", "inactive", "pending"];
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": { "type": "string", "enum": status, "default": "active" },
            "verified": { "type": "boolean", "default": true },
        },
    });
    elicitation_of("Please look over the defaults.", schema)
}

fn with_choices() -> Value {
    let options = ["option1", "option2", "option3"];
    let titled = json!([
        { "const": "value1", "title": "First Option" },
        { "const": "value2", "title": "Second Option" },
        { "const": "value3", "title": "Third Option" },
    ]);
    let schema = json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": options },
            "titledSingle": { "type": "string", "oneOf": titled },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
            "titledMulti": { "type": "array", "items": { "anyOf": titled } },
        },
    });
    elicitation_of("Please choose.", schema)
}
