//! A server that speaks stdio and tells what it was given: for the tests of the bridge.
//!
//! `env_echo legacy|modern`. Tools are steps of a script: they tell environment and process
//! id, wait for one another, ask, report progress, grow large, write to stderr, or end the
//! process.

use std::io::{self, BufRead as _, Write as _};

use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let modern = std::env::args().nth(1).as_deref() != Some("legacy");
    let mut server = Server { modern, ..Server::default() };
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        for said in server.take(&message) {
            match said {
                Said::Message(message) => writeln!(out, "{message}")?,
                Said::End(status) => std::process::exit(status),
            }
        }
        out.flush()?;
    }
    Ok(())
}

enum Said {
    Message(Value),
    End(i32),
}

#[derive(Default)]
struct Server {
    modern: bool,
    /// Everything that was received without an answer of its own.
    heard: Vec<Value>,
    /// Requests that wait for `release`.
    held: Vec<Value>,
    /// The request that waits for the answer to a question.
    asked: Option<Value>,
    listening: Option<Value>,
    initialized: u32,
}

impl Server {
    fn take(&mut self, message: &Value) -> Vec<Said> {
        let id = at(message, "/id").clone();
        match at(message, "/method").as_str() {
            Some("initialize") if !self.modern => {
                self.initialized += 1;
                let capabilities = json!({"tools": {"listChanged": true}, "logging": {}});
                let version = at(message, "/params/protocolVersion");
                self.heard.push(message.clone());
                done(
                    &id,
                    json!({"protocolVersion": version, "capabilities": capabilities,
                        "serverInfo": {"name": "env-echo", "version": "1"}}),
                )
            }
            Some("server/discover") if self.modern => done(
                &id,
                json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": {"tools": {"listChanged": true}}, "ttlMs": 0, "cacheScope": "private"}),
            ),
            Some("tools/list") => {
                let names = ["env", "pid", "echo"];
                let tool = |name| json!({"name": name, "inputSchema": {"type": "object"}});
                done(&id, json!({"resultType": "complete", "tools": names.map(tool)}))
            }
            Some("subscriptions/listen") if self.modern => {
                let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
                self.listening = Some(id);
                let method = "notifications/subscriptions/acknowledged";
                notify(method, json!({"_meta": meta, "notifications": {}}))
            }
            Some("resources/subscribe" | "resources/unsubscribe") => {
                self.heard.push(message.clone());
                done(&id, json!({}))
            }
            Some("tools/call") => self.call(message, &id),
            Some(_) if !id.is_null() => {
                let error = json!({"code": -32601, "message": "method not found"});
                vec![Said::Message(json!({"jsonrpc": "2.0", "id": id, "error": error}))]
            }
            None if self.asked.is_some() => {
                let call = self.asked.take().unwrap_or_default();
                content(&call, message)
            }
            _ => {
                self.heard.push(message.clone());
                vec![]
            }
        }
    }

    fn call(&mut self, message: &Value, id: &Value) -> Vec<Said> {
        let arguments = at(message, "/params/arguments");
        let number = |name: &str| arguments.get(name).and_then(Value::as_u64).unwrap_or_default();
        match at(message, "/params/name").as_str() {
            Some("echo") => content(id, arguments),
            Some("message") => content(id, message),
            Some("env") => {
                let env: serde_json::Map<_, _> = environment().collect();
                content(id, &Value::Object(env))
            }
            Some("pid") => content(id, &json!(std::process::id())),
            Some("heard") => {
                content(id, &json!({"heard": self.heard, "initialized": self.initialized}))
            }
            Some("hold") => {
                self.held.push(id.clone());
                let token = at(message, "/params/_meta/progressToken");
                match token.is_null() {
                    true => vec![],
                    false => notify(
                        "notifications/progress",
                        json!({"progressToken": token, "progress": 0}),
                    ),
                }
            }
            Some("release") => {
                let held = std::mem::take(&mut self.held);
                let mut said: Vec<_> =
                    held.iter().rev().flat_map(|id| content(id, &json!("released"))).collect();
                said.extend(content(id, &json!(held.len())));
                said
            }
            Some("progress") => {
                let token = at(message, "/params/_meta/progressToken");
                let steps = number("steps");
                let step = |step| json!({"progressToken": token, "progress": step, "total": steps});
                let mut said: Vec<_> =
                    (1..=steps).flat_map(|at| notify("notifications/progress", step(at))).collect();
                said.extend(content(id, &json!("done")));
                said
            }
            Some("log") => {
                let mut said =
                    notify("notifications/message", json!({"level": "info", "data": "a line"}));
                said.extend(content(id, &json!("logged")));
                said
            }
            Some("grow") => {
                let tag = json!({"io.modelcontextprotocol/subscriptionId": self.listening});
                let params =
                    if self.listening.is_some() { json!({"_meta": tag}) } else { json!({}) };
                let mut said = notify("notifications/tools/list_changed", params);
                said.extend(content(id, &json!("grown")));
                said
            }
            Some("touch") => {
                let mut said = notify(
                    "notifications/resources/updated",
                    json!({"uri": at(arguments, "/uri")}),
                );
                said.extend(content(id, &json!("touched")));
                said
            }
            Some("ask") => {
                self.asked = Some(id.clone());
                let method = at(arguments, "/method").as_str().unwrap_or("roots/list");
                let params = at(arguments, "/params");
                let question =
                    json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params});
                vec![Said::Message(question)]
            }
            Some("big") => {
                let size = usize::try_from(number("size")).unwrap_or_default();
                content(id, &json!("x".repeat(size)))
            }
            Some("stderr") => {
                let text = at(arguments, "/text").as_str().unwrap_or_default();
                // A closed stderr is no reason to end.
                let _ = writeln!(io::stderr(), "{text}");
                content(id, &json!("written"))
            }
            Some("die") => vec![Said::End(i32::try_from(number("status")).unwrap_or(1))],
            _ => content(id, &json!(null)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "telling its environment is what it is for")]
fn environment() -> impl Iterator<Item = (String, Value)> {
    std::env::vars().map(|(name, value)| (name, Value::String(value)))
}

/// The value at a place; null where there is none.
fn at<'v>(value: &'v Value, place: &str) -> &'v Value {
    value.pointer(place).unwrap_or(&Value::Null)
}

fn content(id: &Value, value: &Value) -> Vec<Said> {
    let content = json!([{"type": "text", "text": value.to_string()}]);
    done(id, json!({"resultType": "complete", "content": content}))
}

fn done(id: &Value, result: Value) -> Vec<Said> {
    vec![Said::Message(json!({"jsonrpc": "2.0", "id": id, "result": result}))]
}

fn notify(method: &str, params: Value) -> Vec<Said> {
    vec![Said::Message(json!({"jsonrpc": "2.0", "method": method, "params": params}))]
}
