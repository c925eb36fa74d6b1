//! Everything the sandbox must withstand, in one component: its configuration says which.
//!
//! For the host's tests only. `do` names what the hooks (and the connector's calls) do.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
};

use serde::Deserialize;
use tidegate_plugin::{
    After, Answer, Before, CallError, Connector, Context, Customizer, Description, Edit,
    Interceptor, Outcome, Scope,
    customizer::edit,
    host::{self, Level},
};

const SCHEMA: &str = r#"{
    "type": "object",
    "additionalProperties": false,
    "properties": {
        "do": { "type": "string", "minLength": 1 },
        "calls_only": { "description": "Behave as a customizer", "type": "boolean" }
    }
}"#;

#[derive(Deserialize)]
struct Hostile {
    #[serde(default, rename = "do")]
    act: String,
    #[serde(default)]
    calls_only: bool,
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

impl Interceptor for Hostile {
    const SCHEMA: &'static str = SCHEMA;

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config)
    }

    fn before(&self, context: &Context, arguments: &str) -> Outcome {
        match self.act.as_str() {
            "proceed" => Before::Proceed.into(),
            "replace" => Before::Replace(format!(r#"{{"was":{arguments}}}"#)).into(),
            "refuse" => Before::Refuse(format!("not for {}", context.user)).into(),
            "state" => {
                let state = Some(arguments.as_bytes().to_vec());
                Outcome { decision: Before::Proceed, state }
            }
            "huge_state" => {
                Outcome { decision: Before::Proceed, state: Some(vec![0; (64 << 10) + 1]) }
            }
            "context" => Before::Answer(told(context)).into(),
            _ => Before::Answer(self.act()).into(),
        }
    }

    fn after(&self, _context: &Context, answer: Answer<'_>, state: Option<&[u8]>) -> After {
        match self.act.as_str() {
            "proceed" => After::Proceed,
            "refuse" => After::Refuse("withheld".into()),
            "replace" => After::Replace(format!(r#"{{"was":{}}}"#, answer.json())),
            "state" => {
                let state = state.map(|state| String::from_utf8_lossy(state).into_owned());
                After::Replace(format!(r#"{{"state":{}}}"#, state.unwrap_or("null".into())))
            }
            _ => After::Replace(self.act()),
        }
    }
}

fn told(context: &Context) -> String {
    tidegate_plugin::serde_json::json!({
        "call_id": context.call_id, "org": context.org, "vmcp": context.vmcp,
        "connector": context.connector, "tool": context.tool, "method": context.method,
        "user": context.user, "groups": context.groups, "client": context.client,
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

impl Connector for Hostile {
    const SCHEMA: &'static str = SCHEMA;

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config)
    }

    fn describe(&self) -> Description {
        Description { title: "Hostile".into(), version: "0".into(), instructions: None }
    }

    fn tools(&self) -> Vec<String> {
        match self.act.as_str() {
            "bad_tools" => vec!["{".into()],
            _ => vec![r#"{"name":"act","inputSchema":{"type":"object"}}"#.into()],
        }
    }

    fn call(&self, _context: &Context, arguments: &str) -> Result<String, CallError> {
        match self.act.as_str() {
            "unknown_tool" => Err(CallError::UnknownTool),
            "invalid" => Err(CallError::InvalidArguments(arguments.into())),
            "failed" => Err(CallError::Failed("out of order".into())),
            "progress" => {
                for step in 1..=3 {
                    host::progress(f64::from(step), Some(3.0), Some("working"));
                }
                Ok("{}".into())
            }
            _ => Ok(self.act()),
        }
    }
}

tidegate_plugin::export!(@configuration Hostile, interceptor);
tidegate_plugin::export!(@event before Hostile);
tidegate_plugin::export!(@event after Hostile);
tidegate_plugin::export!(@event customize Hostile);
tidegate_plugin::export!(@event tools Hostile);
