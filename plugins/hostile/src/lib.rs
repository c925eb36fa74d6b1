//! Everything the sandbox must withstand, in one component: its configuration says which.
//!
//! For the host's tests only. `do` names what the hooks (and the connector's calls) do.

mod alike;
mod server;

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
};

use serde::Deserialize;
use tidegate_plugin::{
    Answer, Context, Customizer, Decision, Edit, Interceptor, ListKind, Outcome, Question,
    QuestionDecision, Reply, Review, Round, Scope, Shown,
    customizer::edit,
    host::{self, Level},
};

const SCHEMA: &str = r#"{
    "type": "object",
    "additionalProperties": false,
    "properties": {
        "do": { "type": "string", "minLength": 1 },
        "calls_only": { "description": "Behave as a customizer", "type": "boolean" },
        "in": { "description": "What `swap` finds on the way in, and what it puts there",
            "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 2 },
        "out": { "description": "The same on the way back",
            "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 2 }
    }
}"#;

#[derive(Deserialize)]
struct Hostile {
    #[serde(default, rename = "do")]
    act: String,
    #[serde(default)]
    calls_only: bool,
    #[serde(default, rename = "in")]
    way_in: (String, String),
    #[serde(default, rename = "out")]
    way_back: (String, String),
}

/// Would count calls if instances were ever used twice.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl Hostile {
    /// Does what it is told; what it returns is JSON text or nonsense.
    fn act(&self) -> String {
        match self.act.as_str() {
            "loop" => loop {
                black_box(());
            },
            "memory" => hog(),
            "trap" => core::arch_unreachable(),
            "recursion" => recurse(0).to_string(),
            "huge" => "\"".to_owned() + &"x".repeat(2 << 20) + "\"",
            "not_json" => "{not json".to_owned(),
            "duplicate_key" => r#"{"a":1,"a":2}"#.to_owned(),
            "not_an_object" => "[1]".to_owned(),
            "flood" => loop {
                black_box(host::cancelled());
            },
            "log" => {
                host::log(Level::Info, "hello\nfrom the guest");
                "{}".to_owned()
            }
            "random" => format!(r#"{{"bytes":{}}}"#, host::random(32).len()),
            "too_much_random" => format!(r#"{{"bytes":{}}}"#, host::random(1 << 20).len()),
            "clock" => format!(r#"{{"now":{}}}"#, host::now()),
            "state_values" => values(),
            "facts" => {
                host::fact_add("read:customer-data");
                format!(
                    r#"{{"has":{},"all":{:?}}}"#,
                    host::fact_has("read:customer-data"),
                    host::facts()
                )
            }
            "fact_has" => format!(r#"{{"has":{}}}"#, host::fact_has("seen")),
            "facts_all" => format!(r#"{{"all":{:?}}}"#, host::facts()),
            "bad_fact" => {
                host::fact_add("two words");
                "{}".to_owned()
            }
            "remaining" => format!(r#"{{"some":{}}}"#, host::remaining() > 0),
            "wait" => {
                while !host::cancelled() {
                    black_box(());
                }
                r#"{"cancelled":true}"#.to_owned()
            }
            _ => format!(r#"{{"count":{}}}"#, COUNT.fetch_add(1, Ordering::Relaxed) + 1),
        }
    }
}

mod core {
    /// A trap of the guest's own.
    pub(crate) fn arch_unreachable() -> String {
        #[cfg(target_arch = "wasm32")]
        ::core::arch::wasm32::unreachable();
        #[cfg(not(target_arch = "wasm32"))]
        panic!("a trap")
    }
}

/// Keeps, counts, reads and forgets.
fn values() -> String {
    let set = host::state_set("k", b"v", Some(60)).is_ok();
    let count = host::state_add("n", 2, None).unwrap_or(-1);
    let value = host::state_get("k").ok().flatten().unwrap_or_default();
    let value = String::from_utf8_lossy(&value).into_owned();
    let too_large = host::state_set("big", &vec![0; (64 << 10) + 1], None).is_err();
    let no_key = host::state_get("").is_err();
    let removed = host::state_remove("k").is_ok();
    format!(
        r#"{{"set":{set},"count":{count},"value":"{value}","too_large":{too_large},"no_key":{no_key},"removed":{removed}}}"#
    )
}

fn hog() -> String {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        held.push(vec![1; 1 << 20]);
        black_box(&held);
    }
}

#[allow(unconditional_recursion, reason = "it is what the test is about")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth) + 1)) + 1
}

/// A result of `prompts/get`.
const PROMPT: &str =
    r#"{"messages":[{"role":"user","content":{"type":"text","text":"answered"}}]}"#;

impl Interceptor for Hostile {
    const SCHEMA: &'static str = SCHEMA;

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config)
    }

    fn before_call(&self, context: &Context, arguments: &str, round: &Round) -> Outcome {
        let answer = r#"{"content":[{"type":"text","text":"answered"}]}"#;
        if let Some(outcome) = self.alike(context, arguments, round, answer) {
            return outcome;
        }
        match self.act.as_str() {
            "ask" => ask(round),
            "ask_badly" => asking(r#"{"type":"object","properties":{"a":{"type":"object"}}}"#),
            "proceed" => Decision::Proceed.into(),
            "replace" => Decision::Replace(format!(r#"{{"was":{arguments}}}"#)).into(),
            "refuse" => Decision::Refuse(format!("not for {}", context.user)).into(),
            "state" => {
                let state = Some(arguments.as_bytes().to_vec());
                Outcome { decision: Decision::Proceed, state }
            }
            "huge_state" => {
                Outcome { decision: Decision::Proceed, state: Some(vec![0; (64 << 10) + 1]) }
            }
            "context" => Decision::Answer(told(context)).into(),
            _ => Decision::Answer(self.act()).into(),
        }
    }

    fn after_call(&self, _context: &Context, answer: &Answer, state: Option<&[u8]>) -> Review {
        if let Some(review) = self.alike_back(answer, state, "content") {
            return review;
        }
        match self.act.as_str() {
            "proceed" => Review::Proceed,
            "refuse" => Review::Refuse("withheld".into()),
            "replace" => Review::Replace(format!(r#"{{"was":{}}}"#, answer.json())),
            "state" => {
                let state = state.map(|state| String::from_utf8_lossy(state).into_owned());
                Review::Replace(format!(r#"{{"state":{}}}"#, state.unwrap_or("null".into())))
            }
            _ => Review::Replace(self.act()),
        }
    }

    fn before_prompt(&self, context: &Context, arguments: &str, round: &Round) -> Outcome {
        if let Some(outcome) = self.alike(context, arguments, round, PROMPT) {
            return outcome;
        }
        match self.act.as_str() {
            "replace" => Decision::Replace(format!(r#"{{"was":{arguments}}}"#)).into(),
            "ask" => ask(round),
            _ => Decision::Proceed.into(),
        }
    }

    fn after_prompt(&self, _context: &Context, answer: &Answer, state: Option<&[u8]>) -> Review {
        if let Some(review) = self.alike_back(answer, state, "messages") {
            return review;
        }
        match self.act.as_str() {
            "replace" => Review::Replace(r#"{"messages":[]}"#.into()),
            "bad_result" => Review::Replace("{}".into()),
            "refuse" if answer.is_result() => Review::Refuse("withheld".into()),
            _ => Review::Proceed,
        }
    }

    fn before_read(&self, context: &Context, round: &Round) -> Outcome {
        let uri = format!(r#"{{"contents":[{{"uri":"{}","text":"answered"}}]}}"#, context.target);
        if let Some(outcome) = self.alike(context, "{}", round, &uri) {
            return outcome;
        }
        match self.act.as_str() {
            "replace" => Decision::Replace("{}".into()).into(),
            "refuse" => Decision::Refuse(format!("not {}", context.target)).into(),
            "answer" => Decision::Answer(r#"{"contents":[]}"#.into()).into(),
            "ask" => ask(round),
            _ => Decision::Proceed.into(),
        }
    }

    fn after_read(&self, _context: &Context, answer: &Answer, state: Option<&[u8]>) -> Review {
        if let Some(review) = self.alike_back(answer, state, "contents") {
            return review;
        }
        match self.act.as_str() {
            "replace" => Review::Replace(r#"{"contents":[]}"#.into()),
            "bad_result" => Review::Replace("{}".into()),
            _ => Review::Proceed,
        }
    }

    fn before_completion(&self, context: &Context, argument: &str) -> Outcome {
        let round = Round { number: 0, reply: None, state: None };
        let answer = r#"{"completion":{"values":["answered"]}}"#;
        if let Some(outcome) = self.alike(context, argument, &round, answer) {
            return outcome;
        }
        match self.act.as_str() {
            "replace" => Decision::Replace(r#"{"name":"city","value":"Kiel"}"#.into()).into(),
            "bad_result" => Decision::Replace(r#"{"name":"other","value":"x"}"#.into()).into(),
            "ask" => asking(r#"{"type":"object","properties":{}}"#),
            _ => Decision::Proceed.into(),
        }
    }

    fn after_completion(
        &self,
        _context: &Context,
        answer: &Answer,
        state: Option<&[u8]>,
    ) -> Review {
        if let Some(review) = self.alike_back(answer, state, "completion") {
            return review;
        }
        match self.act.as_str() {
            "replace" => Review::Replace(r#"{"completion":{"values":["Kiel"]}}"#.into()),
            "bad_result" => Review::Replace("{}".into()),
            _ => Review::Proceed,
        }
    }

    fn shown(&self, _context: &Context, kind: ListKind, items: &[String]) -> Vec<Shown> {
        let verdict = |place: usize| match self.act.as_str() {
            "hide" if place == 0 => Shown::Hide,
            "relabel" => Shown::Relabel(format!(r#"{{"title":"{kind:?} {place}"}}"#)),
            "bad_result" => Shown::Relabel(r#"{"name":"other"}"#.into()),
            "bad_label" => Shown::Relabel(r#"{"icons":[{"src":1}]}"#.into()),
            _ => Shown::Show,
        };
        let count = if self.act == "too_few" { 0 } else { items.len() };
        (0..count).map(verdict).collect()
    }

    fn on_question(&self, context: &Context, params: &str) -> QuestionDecision {
        if let Some(decision) = self.about_questions(context, params) {
            return decision;
        }
        match self.act.as_str() {
            "replace" if context.method == "elicitation/create" => QuestionDecision::Replace(
                r#"{"message":"May I?","requestedSchema":{"type":"object","properties":{}}}"#
                    .into(),
            ),
            "bad_result" => QuestionDecision::Replace(
                r#"{"message":"May I?","requestedSchema":{"type":"object"}}"#.into(),
            ),
            "refuse" => QuestionDecision::Refuse("nobody is to be asked".into()),
            "answer" => QuestionDecision::Answer(r#"{"action":"decline"}"#.into()),
            _ => QuestionDecision::Proceed,
        }
    }
}

/// Asks once, and does what the person says.
fn ask(round: &Round) -> Outcome {
    match &round.reply {
        None => {
            let said = asking(r#"{"type":"object","properties":{"why":{"type":"string"}}}"#);
            Outcome { state: Some(b"asked".to_vec()), ..said }
        }
        Some(Reply::Accept(said)) => {
            let state = String::from_utf8_lossy(round.state.as_deref().unwrap_or(b"")).into_owned();
            let number = round.number;
            Decision::Replace(format!(r#"{{"said":{said},"state":"{state}","round":{number}}}"#))
                .into()
        }
        Some(Reply::Decline) => Decision::Refuse("they said no".into()).into(),
        Some(Reply::Cancel) => asking(r#"{"type":"object","properties":{}}"#),
    }
}

fn asking(schema: &str) -> Outcome {
    let question = Question { message: "Are you sure?".into(), schema: schema.into() };
    Decision::Ask(question).into()
}

fn told(context: &Context) -> String {
    tidegate_plugin::serde_json::json!({
        "call_id": context.call_id, "org": context.org, "vmcp": context.vmcp,
        "connector": context.connector, "tool": context.target, "method": context.method,
        "user": context.user, "groups": context.groups, "client": context.client,
        "trace_parent": context.trace_parent,
    })
    .to_string()
}

impl Customizer for Hostile {
    const SCHEMA: &'static str = SCHEMA;

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config)
    }

    fn edits(&self, scope: &Scope, tools: &[String]) -> Result<Vec<Edit>, String> {
        match self.act.as_str() {
            _ if self.calls_only => Ok(Vec::new()),
            "error" => Err("no edits today".into()),
            "twice" => Ok(vec![edit("a"), edit("a")]),
            "bad_default" => {
                Ok(vec![Edit { defaults: vec![("x".into(), "{".into())], ..edit("a") }])
            }
            "rename" => Ok(vec![Edit {
                name: Some(format!("{}_{}", scope.connector, tools.len())),
                input_schema: Some(r#"{"type":"object"}"#.into()),
                ..edit("a")
            }]),
            _ => {
                self.act();
                Ok(Vec::new())
            }
        }
    }
}

tidegate_plugin::export!(@configuration Hostile, interceptor);
tidegate_plugin::export!(@event before_call Hostile);
tidegate_plugin::export!(@event after_call Hostile);
tidegate_plugin::export!(@event before_prompt Hostile);
tidegate_plugin::export!(@event after_prompt Hostile);
tidegate_plugin::export!(@event before_read Hostile);
tidegate_plugin::export!(@event after_read Hostile);
tidegate_plugin::export!(@event before_completion Hostile);
tidegate_plugin::export!(@event after_completion Hostile);
tidegate_plugin::export!(@event shown Hostile);
tidegate_plugin::export!(@event on_question Hostile);
tidegate_plugin::export!(@event customize Hostile);
tidegate_plugin::export!(@event server Hostile);
tidegate_plugin::export!(@event tools Hostile);
tidegate_plugin::export!(@event prompts Hostile);
tidegate_plugin::export!(@event resources Hostile);
