//! What the scripted server of the connector tests says, whichever way it is reached.
//!
//! Shared by the child process of the `hosted` tests and by the HTTP mock of the `remote`
//! tests, so that every kind is held to the same behaviour.

use serde_json::{Value, json};

/// Which era it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// This message is sent.
    Say(Value),
    /// This text is sent as if it were a message.
    Junk(String),
    /// The server goes away.
    Die,
    /// Nothing more, and no answer.
    Hang,
}

/// The server's memory.
#[derive(Debug)]
pub(crate) struct Server {
    era: Era,
    cancelled: Vec<Value>,
    replies: Vec<Value>,
    grown: bool,
}

impl Server {
    pub(crate) fn new(era: Era) -> Self {
        Self { era, cancelled: Vec::new(), replies: Vec::new(), grown: false }
    }

    /// Takes a message and says what happens.
    pub(crate) fn take(&mut self, message: &Value) -> Vec<Step> {
        let id = member(message, "id");
        let params = member(message, "params");
        match (message.get("method").and_then(Value::as_str), self.era) {
            (None, _) => {
                self.replies.push(message.clone());
                vec![]
            }
            (Some("notifications/cancelled"), _) => {
                self.cancelled.push(member(params, "requestId").clone());
                vec![]
            }
            (Some(method), _) if method.starts_with("notifications/") => vec![],
            (Some("server/discover"), Era::Modern) => vec![result(
                id,
                json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}),
            )],
            (Some("initialize"), Era::Legacy) => vec![result(
                id,
                json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": true}},
                    "serverInfo": {"name": "scripted", "version": "1"}}),
            )],
            (Some("tools/list"), _) => vec![result(id, self.page(member(params, "cursor")))],
            (Some("tools/call"), _) => self.call(id, params),
            _ => vec![error(id, -32601)],
        }
    }

    fn page(&self, cursor: &Value) -> Value {
        let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
        if cursor.is_null() {
            let hints = json!({"readOnlyHint": true});
            let echo =
                json!({"name": "echo", "inputSchema": {"type": "object"}, "annotations": hints});
            return json!({"tools": [echo, {"name": "bad"}, tool("progress")], "nextCursor": "2"});
        }
        let mut tools = vec![tool("hang"), tool("echo"), tool("die")];
        if self.grown {
            tools.push(tool("new"));
        }
        json!({"tools": tools})
    }

    fn call(&mut self, id: &Value, params: &Value) -> Vec<Step> {
        let token = params.pointer("/_meta/progressToken").unwrap_or(&Value::Null);
        match params.get("name").and_then(Value::as_str) {
            Some("echo") => {
                vec![result(id, json!({"content": [], "echo": member(params, "arguments")}))]
            }
            Some("progress") => (1..=3)
                .map(|at| {
                    let params = json!({"progressToken": token, "progress": at});
                    notify("notifications/progress", params)
                })
                .chain([result(id, json!({"content": []}))])
                .collect(),
            Some("ask") => vec![
                Step::Say(json!({"jsonrpc": "2.0", "id": "q1", "method": "ping"})),
                Step::Say(json!({"jsonrpc": "2.0", "id": "q2", "method": "elicitation/create"})),
                result(id, json!({"content": []})),
            ],
            Some("seen") => vec![result(
                id,
                json!({"content": [], "cancelled": self.cancelled, "replies": self.replies}),
            )],
            Some("grow") => {
                self.grown = true;
                let changed = notify("notifications/tools/list_changed", json!({}));
                vec![changed, result(id, json!({"content": []}))]
            }
            Some("big") => {
                let size = params.pointer("/arguments/size").and_then(Value::as_u64).unwrap_or(0);
                let text = "x".repeat(usize::try_from(size).unwrap_or(0));
                vec![result(id, json!({"content": [], "big": text}))]
            }
            Some("twice") => {
                let answer = |n: u32| result(id, json!({"content": [], "n": n}));
                vec![answer(1), answer(2)]
            }
            Some("wrong-id") => vec![result(&json!(424_242), json!({"content": []}))],
            Some("garbage") => vec![Step::Junk("{]".to_owned())],
            Some("refuse") => vec![error(id, -32602)],
            Some("die") => vec![Step::Die],
            Some("hang") => vec![Step::Hang],
            _ => vec![error(id, -32602)],
        }
    }
}

fn member<'a>(object: &'a Value, name: &str) -> &'a Value {
    object.get(name).unwrap_or(&Value::Null)
}

fn result(id: &Value, result: Value) -> Step {
    Step::Say(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn error(id: &Value, code: i64) -> Step {
    Step::Say(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no"}}))
}

fn notify(method: &str, params: Value) -> Step {
    Step::Say(json!({"jsonrpc": "2.0", "method": method, "params": params}))
}
