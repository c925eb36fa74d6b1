//! Case files of a plugin, run natively against its type, so that `cargo test` says at once
//! which one is wrong.
//!
//! Owns no rule about plugins: `tidegate plugin test` runs the same files in the sandbox that
//! a gateway uses. Every function panics with the case's name where a case is not met.
//! Empty in WebAssembly, where there are no doubles.
#![cfg(not(target_arch = "wasm32"))]

use std::{fs, path::Path};

use outgoing::{Response, double as network};
use serde_json::{Value, json};
use tidegate_plugin::{
    Answer, Connector, Context, Customizer, Decision, Edit, Failure, Interceptor, QuestionDecision,
    Review, Round, Scope, double,
};

/// Runs every case of an interceptor in `folder/cases`.
pub fn interceptor<P: Interceptor>(folder: &str) {
    each(folder, |case| match P::configure(&text(case, "config")) {
        Ok(plugin) => intercept(&plugin, case),
        Err(text) => json!({ "refuse": text }),
    });
}

/// Runs every case of a customizer in `folder/cases`.
pub fn customizer<P: Customizer>(folder: &str) {
    each(folder, |case| {
        let scope = Scope {
            org: "default".into(),
            vmcp: word(&case["context"], "vmcp"),
            connector: word(&case["context"], "connector"),
        };
        let tools = case["tools"].as_array().cloned().unwrap_or_default();
        let tools: Vec<String> = tools.iter().map(Value::to_string).collect();
        let edits = P::configure(&text(case, "config"))
            .and_then(|plugin| plugin.edits(&scope, &tools))
            .map(|edits| edits.iter().map(edit).collect::<Vec<_>>());
        edits.map_or_else(|text| json!({ "failure": text }), |edits| json!({ "result": edits }))
    });
}

/// Runs every case of a connector in `folder/cases`.
pub fn connector<P: Connector>(folder: &str) {
    each(folder, |case| {
        let plugin = match P::configure(&text(case, "config")) {
            Ok(plugin) => plugin,
            Err(text) => return json!({ "failure": text }),
        };
        match word(case, "event").as_str() {
            "list-tools" => {
                let tools = plugin.tools();
                json!({ "result": tools.iter().map(|tool| parsed(tool)).collect::<Vec<_>>() })
            }
            _ => match plugin.call(&context(case), &text(case, "arguments")) {
                Ok(result) => json!({ "result": parsed(&result) }),
                Err(Failure::Unknown) => json!({ "failure": "unknown" }),
                Err(Failure::InvalidArguments(text) | Failure::Failed(text)) => {
                    json!({ "failure": text })
                }
            },
        }
    });
}

/// Runs `run` for every case and compares what it says with what is expected.
fn each(folder: &str, run: impl Fn(&Value) -> Value) {
    let folder = Path::new(folder).join("cases");
    let entries = fs::read_dir(&folder).expect("there is a folder of cases");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no cases", folder.display());
    for file in files {
        let text = fs::read_to_string(&file).expect("a case can be read");
        let case: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{} is no JSON: {error}", file.display()));
        prepare(&case);
        let said = run(&case);
        let expected = match &case["expect"] {
            // Only that it refuses, whatever it says.
            any if any["refuse"] == true && said.get("refuse").is_some() => &said,
            expected => expected,
        };
        assert_eq!(&said, expected, "{}: {}", file.display(), case["name"]);
        if let Some(facts) = case.get("expect_facts") {
            let found = double::with(|double| json!(double.facts));
            assert_eq!(&found, facts, "{}: the facts", file.display());
        }
    }
}

/// Sets the doubles to what the case says the plugin finds.
fn prepare(case: &Value) {
    let words = |name: &str| {
        let all = case[name].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    double::reset();
    double::with(|double| {
        double.now = case["now"].as_u64().unwrap_or(0);
        double.facts = words("facts").into_iter().collect();
        double.credentials = words("credentials").into_iter().collect();
        for (key, value) in case["values"].as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            double.values.insert(key.clone(), value.into_bytes());
        }
    });
    let exchanges = case["http"].as_array().into_iter().flatten();
    network::answering(exchanges.map(|one| Ok(response(&one["response"]))).collect());
}

fn response(said: &Value) -> Response {
    let headers = said["headers"].as_object().into_iter().flatten();
    let value = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Response {
        status: u16::try_from(said["status"].as_u64().unwrap_or(200)).unwrap_or(200),
        headers: headers.map(|(name, it)| (name.to_lowercase(), value(it))).collect(),
        body: said["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

fn intercept(plugin: &impl Interceptor, case: &Value) -> Value {
    let (context, arguments) = (context(case), text(case, "arguments"));
    let (round, answer) = (Round::first(), answer(case));
    let state = case["state"].as_str().map(str::as_bytes);
    let before = |outcome: tidegate_plugin::Outcome| decision(outcome.decision);
    match word(case, "event").as_str() {
        "before-call" => before(plugin.before_call(&context, &arguments, &round)),
        "before-prompt" => before(plugin.before_prompt(&context, &arguments, &round)),
        "before-read" => before(plugin.before_read(&context, &round)),
        "before-completion" => before(plugin.before_completion(&context, &arguments)),
        "after-call" => review(plugin.after_call(&context, &answer, state)),
        "after-prompt" => review(plugin.after_prompt(&context, &answer, state)),
        "after-read" => review(plugin.after_read(&context, &answer, state)),
        "after-completion" => review(plugin.after_completion(&context, &answer, state)),
        "on-question" => match plugin.on_question(&context, &text(case, "params")) {
            QuestionDecision::Proceed => json!("proceed"),
            QuestionDecision::Replace(json) => json!({ "replace": parsed(&json) }),
            QuestionDecision::Refuse(text) => json!({ "refuse": text }),
            QuestionDecision::Answer(json) => json!({ "answer": parsed(&json) }),
        },
        other => panic!("no case can be of the event `{other}` here"),
    }
}

fn decision(decision: Decision) -> Value {
    match decision {
        Decision::Proceed => json!("proceed"),
        Decision::Replace(json) => json!({ "replace": parsed(&json) }),
        Decision::Refuse(text) => json!({ "refuse": text }),
        Decision::Answer(json) => json!({ "answer": parsed(&json) }),
        Decision::Ask(question) => json!({ "ask": { "message": question.message } }),
    }
}

fn review(review: Review) -> Value {
    match review {
        Review::Proceed => json!("proceed"),
        Review::Replace(json) => json!({ "replace": parsed(&json) }),
        Review::Refuse(text) => json!({ "refuse": text }),
    }
}

/// What an edit changes; what it leaves alone is left out.
fn edit(edit: &Edit) -> Value {
    let settings = |all: &[(String, String)]| -> Value {
        all.iter().map(|(name, json)| (name.clone(), parsed(json))).collect()
    };
    let mut said = json!({ "tool": edit.tool });
    let texts = [("name", &edit.name), ("title", &edit.title), ("description", &edit.description)];
    for (name, text) in texts {
        if let Some(text) = text {
            said[name] = json!(text);
        }
    }
    if edit.hidden {
        said["hidden"] = json!(true);
    }
    for (name, all) in [("defaults", &edit.defaults), ("locked", &edit.locked)] {
        if !all.is_empty() {
            said[name] = settings(all);
        }
    }
    if let Some(schema) = &edit.input_schema {
        said["input-schema"] = parsed(schema);
    }
    said
}

fn answer(case: &Value) -> Answer {
    match case["answer"].get("error") {
        Some(error) => Answer::Error(error.to_string()),
        None => Answer::Result(case["answer"]["result"].to_string()),
    }
}

fn context(case: &Value) -> Context {
    let of = &case["context"];
    let groups = of["groups"].as_array().into_iter().flatten();
    Context {
        call_id: "0123456789abcdef0123456789abcdef".into(),
        org: "default".into(),
        vmcp: word(of, "vmcp"),
        connector: word(of, "connector"),
        target: word(of, "target"),
        method: of["method"].as_str().unwrap_or(method(case)).into(),
        user: word(of, "user"),
        groups: groups.filter_map(Value::as_str).map(str::to_owned).collect(),
        client: None,
        trace_parent: None,
    }
}

/// The method of an event.
fn method(case: &Value) -> &'static str {
    match case["event"].as_str().unwrap_or_default() {
        "before-prompt" | "after-prompt" => "prompts/get",
        "before-read" | "after-read" => "resources/read",
        "before-completion" | "after-completion" => "completion/complete",
        "on-question" => "elicitation/create",
        _ => "tools/call",
    }
}

fn word(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or_default().to_owned()
}

/// The JSON text of a member, `{}` where there is none.
fn text(case: &Value, name: &str) -> String {
    case.get(name).map_or_else(|| "{}".to_owned(), Value::to_string)
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json} is no JSON: {error}"))
}
