//! What the scripted server of the connector tests says, whichever way it is reached.
//!
//! Shared by the child process of the `hosted` tests and by the HTTP mock of the `remote`
//! tests, so that every kind is held to the same behaviour.

use std::collections::VecDeque;

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
    /// What follows waits for the answer to this question.
    Answered(String),
    /// The server goes away.
    Die,
    /// Nothing more, and no answer.
    Hang,
}

/// What comes once a question is answered, where answers and messages share one channel.
#[derive(Debug, Default)]
pub(crate) struct Later(Vec<(String, VecDeque<Step>)>);

impl Later {
    /// What happens now that `message` was taken with these steps.
    pub(crate) fn now(&mut self, message: &Value, steps: Vec<Step>) -> Vec<Step> {
        let mut steps = VecDeque::from(steps);
        let is_reply = message.get("method").is_none();
        let id = member(message, "id");
        while let Some(at) = self.0.iter().position(|(asked, _)| is_reply && id == asked.as_str()) {
            steps.extend(self.0.swap_remove(at).1);
        }
        let mut now = Vec::new();
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Answered(id) => self.0.push((id, std::mem::take(&mut steps))),
                step => now.push(step),
            }
        }
        now
    }
}

/// The server's memory.
#[derive(Debug)]
pub(crate) struct Server {
    era: Era,
    cancelled: Vec<Value>,
    replies: Vec<Value>,
    grown: bool,
    calls: u64,
    hanging: u64,
}

impl Server {
    pub(crate) fn new(era: Era) -> Self {
        Self { era, cancelled: Vec::new(), replies: Vec::new(), grown: false, calls: 0, hanging: 0 }
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
                json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": self.capabilities()}),
            )],
            (Some("initialize"), Era::Legacy) => vec![result(
                id,
                json!({"protocolVersion": "2025-11-25", "capabilities": self.capabilities(),
                    "serverInfo": {"name": "scripted", "version": "1"}}),
            )],
            (Some("tools/list"), _) => vec![result(id, self.page(member(params, "cursor")))],
            (Some("tools/call"), _) => self.call(id, params),
            (Some("prompts/list"), _) => vec![result(id, prompts(member(params, "cursor")))],
            (Some("resources/list"), _) => vec![result(id, resources())],
            (Some("resources/templates/list"), _) => vec![result(id, templates())],
            (Some("prompts/get" | "resources/read"), _)
                if member(params, "name") == "needy" || member(params, "uri") == "needy:" =>
            {
                vec![needs(id, params, &["roots/list"])]
            }
            (
                Some(
                    "prompts/get"
                    | "resources/read"
                    | "completion/complete"
                    | "tasks/get"
                    | "tasks/result"
                    | "tasks/update"
                    | "tasks/cancel",
                ),
                _,
            ) => vec![result(id, json!({"echo": params}))],
            (Some("resources/subscribe"), Era::Legacy) => {
                let told = std::iter::once(result(id, json!({})));
                told.chain(tells(&json!({}), &[member(params, "uri").clone()])).collect()
            }
            (Some("resources/unsubscribe" | "logging/setLevel"), Era::Legacy) => {
                vec![result(id, json!({}))]
            }
            (Some("subscriptions/listen"), Era::Modern) => listen(id, params),
            _ => vec![error(id, -32601)],
        }
    }

    fn capabilities(&self) -> Value {
        let mut all = json!({
            "tools": {"listChanged": true},
            "prompts": {"listChanged": true},
            "resources": {"listChanged": true, "subscribe": true},
            "completions": {},
            "extensions": {
                "io.modelcontextprotocol/tasks": {"x": 1},
                "com.example/secret": {},
            },
        });
        if let (Era::Legacy, Some(all)) = (self.era, all.as_object_mut()) {
            all.insert("tasks".to_owned(), json!({"requests": {"tools": {"call": {}}}}));
        }
        all
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
        self.calls += 1;
        let token = params.pointer("/_meta/progressToken").unwrap_or(&Value::Null);
        match params.get("name").and_then(Value::as_str) {
            Some("echo") => {
                vec![result(id, json!({"content": [], "echo": member(params, "arguments")}))]
            }
            Some("mirror") => vec![result(id, json!({"content": [], "params": params}))],
            Some("consult") => vec![
                ask("c1", "elicitation/create", json!({"message": "Which?"})),
                Step::Answered("c1".to_owned()),
                result(id, json!({"content": []})),
            ],
            Some("needy") => {
                let methods = member(params, "arguments").get("methods").and_then(Value::as_array);
                let methods: Vec<_> =
                    methods.into_iter().flatten().filter_map(Value::as_str).collect();
                vec![needs(id, params, &methods)]
            }
            Some("endless") => {
                vec![result(id, json!({"resultType": "input_required", "requestState": "s"}))]
            }
            Some("vague") => vec![result(id, json!({"resultType": "input_required"}))],
            Some("progress") => (1..=3)
                .map(|at| {
                    let params = json!({"progressToken": token, "progress": at});
                    notify("notifications/progress", params)
                })
                .chain([result(id, json!({"content": []}))])
                .collect(),
            Some("ask") => vec![
                Step::Say(json!({"jsonrpc": "2.0", "id": "q1", "method": "ping"})),
                Step::Answered("q1".to_owned()),
                Step::Say(json!({"jsonrpc": "2.0", "id": "q2", "method": "elicitation/create"})),
                Step::Answered("q2".to_owned()),
                result(id, json!({"content": []})),
            ],
            Some("seen") => vec![result(
                id,
                json!({"content": [], "cancelled": self.cancelled, "replies": self.replies,
                    "calls": self.calls, "hanging": self.hanging}),
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
            Some("hang") => {
                self.hanging += 1;
                vec![Step::Hang]
            }
            _ => vec![error(id, -32602)],
        }
    }
}

/// Asks for input until it is given, then says what it was given.
fn needs(id: &Value, params: &Value, methods: &[&str]) -> Step {
    if let Some(given) = params.get("inputResponses") {
        let state = member(params, "requestState");
        return result(id, json!({"content": [], "given": given, "state": state}));
    }
    let request = |(at, method): (usize, &&str)| {
        let params = json!({"message": "Which?", "at": at});
        (format!("k{at}"), json!({"method": method, "params": params}))
    };
    let requests: serde_json::Map<_, _> = methods.iter().enumerate().map(request).collect();
    let state = "opaque \"state\"";
    let asks =
        json!({"resultType": "input_required", "inputRequests": requests, "requestState": state});
    result(id, asks)
}

/// Agrees to everything; where tasks and single resources are followed, all there is to tell
/// comes at once.
fn listen(id: &Value, params: &Value) -> Vec<Step> {
    let tag = json!({"io.modelcontextprotocol/subscriptionId": id});
    let filter = member(params, "notifications");
    let ack = json!({"_meta": tag, "notifications": filter});
    let uris = filter.get("resourceSubscriptions").and_then(Value::as_array).cloned();
    let mut steps = vec![notify("notifications/subscriptions/acknowledged", ack)];
    for task in filter.get("taskIds").and_then(Value::as_array).into_iter().flatten() {
        steps.push(notify("notifications/tasks", json!({"_meta": tag, "taskId": task})));
    }
    if let Some(uris) = uris {
        steps.extend(tells(&json!({"_meta": tag}), &uris));
    }
    steps.push(Step::Hang);
    steps
}

/// Everything that a server tells of its own accord.
pub(crate) fn tells(tag: &Value, uris: &[Value]) -> Vec<Step> {
    let lists = ["tools", "prompts", "resources"];
    let changed =
        lists.map(|list| notify(&format!("notifications/{list}/list_changed"), tag.clone()));
    let updated = uris.iter().map(|uri| {
        let meta = member(tag, "_meta");
        let params =
            if meta.is_null() { json!({"uri": uri}) } else { json!({"_meta": meta, "uri": uri}) };
        notify("notifications/resources/updated", params)
    });
    changed.into_iter().chain(updated).collect()
}

fn prompts(cursor: &Value) -> Value {
    if cursor.is_null() {
        let arguments = json!([{"name": "who", "required": true}]);
        return json!({"prompts": [{"name": "greet", "arguments": arguments, "_meta": {"n": 1}}, {"name": 7}],
            "nextCursor": "2"});
    }
    json!({"prompts": [{"name": "greet"}, {"name": "needy"}]})
}

fn resources() -> Value {
    json!({"resources": [
        {"uri": "test://one", "name": "one", "mimeType": "text/plain"},
        {"uri": "test://one", "name": "again"},
        {"name": "without"},
    ]})
}

fn templates() -> Value {
    json!({"resourceTemplates": [{"uriTemplate": "test://{id}/data", "name": "data"}]})
}

fn ask(id: &str, method: &str, params: Value) -> Step {
    Step::Say(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
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
