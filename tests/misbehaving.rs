//! Upstreams of both eras that break the protocol, met by clients of both eras.
//!
//! Owns the table of what a server can send in place of an answer and beside one. Each time:
//! a clear failure or the answer, an audit row, nothing sent twice, and the next call fine.
//! How failures of a connection are told apart is for `upstream`.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    Client, Era, Mock, MockTool, Received, Reply, Rpc, Session, Setup, TestGateway, eventually,
};

/// A client of either era.
enum Asker {
    Modern(Client),
    Legacy(Session),
}

impl Asker {
    async fn both(gateway: &TestGateway) -> [Self; 2] {
        let client = gateway.client("alice", "main");
        let session = client.session("2025-11-25").await;
        [Self::Modern(client), Self::Legacy(session)]
    }

    fn era(&self) -> &'static str {
        match self {
            Self::Modern(_) => "modern",
            Self::Legacy(_) => "legacy",
        }
    }

    async fn call(&self, tool: &str) -> Rpc {
        let can = json!({ "elicitation": {} });
        let mut params =
            json!({ "name": tool, "arguments": {}, "_meta": { "progressToken": "mine" } });
        match self {
            Self::Modern(client) => {
                params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = can;
                client.request("tools/call", params).await
            }
            Self::Legacy(session) => session.request("tools/call", params).await,
        }
    }
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// This refusal.
    Refused(&'static str),
    /// An answer with this text.
    Text(&'static str),
}

use End::{Refused, Text};

const PROTOCOL: End = Refused("connector_protocol");
const GONE: End = Refused("connector_unavailable");
const LATE: End = Refused("deadline_exceeded");

/// Content of a result.
const CONTENT: &str = r#""content":[{"type":"text","text":"x"}]"#;

type Script = fn(&Received) -> Reply;

struct Misdeed {
    what: &'static str,
    script: Script,
    modern: End,
    legacy: End,
}

fn misdeed(what: &'static str, script: Script, end: End) -> Misdeed {
    Misdeed { what, script, modern: end, legacy: end }
}

fn own_id(received: &Received) -> String {
    received.message["id"].to_string()
}

fn answer(id: &str, text: &str) -> String {
    let content = format!(r#"[{{"type":"text","text":"{text}"}}]"#);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":{content}}}}}"#)
}

fn body(text: String) -> Reply {
    Reply::Raw(200, "application/json", text.into())
}

fn result(received: &Received, members: &str) -> Reply {
    body(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{{members}}}}}"#, own_id(received)))
}

/// An event stream of these messages, whole.
fn stream(messages: &[String]) -> Reply {
    Reply::Raw(200, "text/event-stream", events(messages))
}

fn events(messages: &[String]) -> Bytes {
    messages.iter().map(|message| format!("data: {message}\n\n")).collect::<String>().into()
}

fn note(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
}

fn progress(token: Value) -> String {
    note("notifications/progress", &json!({ "progressToken": token, "progress": 1 }))
}

fn asked(id: &Value, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

/// What stands in place of the answer.
fn in_place_of_an_answer() -> Vec<Misdeed> {
    vec![
        misdeed("no answer", |_| Reply::Hang, LATE),
        misdeed(
            "a stream without an answer",
            |_| Reply::StreamUntil(vec![], Arc::new(Notify::new()), Value::Null),
            LATE,
        ),
        misdeed("another id", |_| body(answer("4242", "x")), PROTOCOL),
        misdeed("another id on a stream", |_| stream(&[answer("4242", "x")]), PROTOCOL),
        misdeed("its id as text", |it| body(answer(&format!("\"{}\"", own_id(it)), "x")), PROTOCOL),
        misdeed("a result for nobody", |_| body(answer("null", "x")), PROTOCOL),
        misdeed("a result for nobody on a stream", |_| stream(&[answer("null", "x")]), PROTOCOL),
        misdeed("a batch", |it| body(format!("[{}]", answer(&own_id(it), "x"))), PROTOCOL),
        misdeed("two bodies", |it| body(answer(&own_id(it), "x").repeat(2)), PROTOCOL),
        misdeed(
            "an error that is none",
            |it| body(format!(r#"{{"jsonrpc":"2.0","id":{},"error":"no"}}"#, own_id(it))),
            PROTOCOL,
        ),
        misdeed(
            "the request itself",
            |it| body(String::from_utf8(it.body.to_vec()).unwrap()),
            PROTOCOL,
        ),
        misdeed("a notification", |_| body(note("notifications/message", &json!({}))), PROTOCOL),
        misdeed("nothing but thanks", |_| Reply::Raw(202, "text/plain", Bytes::new()), PROTOCOL),
        misdeed("no json on a stream", |_| stream(&["{".to_owned()]), PROTOCOL),
        misdeed(
            "no text on a stream",
            |_| Reply::Raw(200, "text/event-stream", Bytes::from_static(b"data: \xff\xfe\n\n")),
            PROTOCOL,
        ),
        misdeed(
            "a giant event",
            |it| stream(&[answer(&own_id(it), &"x".repeat(2 << 20))]),
            PROTOCOL,
        ),
        misdeed(
            "a line without end",
            |_| Reply::Raw(200, "text/event-stream", "y".repeat(2 << 20).into()),
            PROTOCOL,
        ),
        // The word means nothing in a legacy answer.
        Misdeed {
            legacy: Text("x"),
            ..misdeed(
                "input required, and said not which",
                |it| result(it, &format!(r#""resultType":"input_required",{CONTENT}"#)),
                PROTOCOL,
            )
        },
        Misdeed {
            legacy: Text("x"),
            ..misdeed(
                "input required, and nothing in it",
                |it| {
                    let asks = r#""resultType":"input_required","inputRequests":{}"#;
                    result(it, &format!("{asks},{CONTENT}"))
                },
                PROTOCOL,
            )
        },
        Misdeed {
            legacy: Text("x"),
            ..misdeed(
                "a result of a type that nobody knows",
                |it| result(it, &format!(r#""resultType":"later",{CONTENT}"#)),
                PROTOCOL,
            )
        },
        Misdeed {
            legacy: Text("x"),
            ..misdeed(
                "a type of result that is no text",
                |it| result(it, &format!(r#""resultType":7,{CONTENT}"#)),
                PROTOCOL,
            )
        },
    ]
}

/// A connection that ends too early.
fn cut_off() -> Vec<Misdeed> {
    const HALF: &str = r#"{"jsonrpc":"2.0","id":"#;
    vec![
        misdeed("a body that is cut off", |_| Reply::Cut("application/json", HALF.into()), GONE),
        misdeed(
            "an event that is cut off",
            |_| Reply::Cut("text/event-stream", format!("data: {HALF}").into()),
            GONE,
        ),
        misdeed(
            "a stream that ends",
            |_| Reply::Raw(200, "text/event-stream", ": so long\n\n".into()),
            GONE,
        ),
        misdeed(
            "a stream that ends after an event",
            |_| stream(&[note("notifications/message", &json!({ "level": "info", "data": 1 }))]),
            GONE,
        ),
        // A legacy stream with ids is picked up again; this server has nothing more to say.
        Misdeed {
            legacy: LATE,
            ..misdeed(
                "a stream that ends after an id",
                |_| Reply::Raw(200, "text/event-stream", "id: 7\ndata:\n\n".into()),
                GONE,
            )
        },
    ]
}

/// What comes beside a good answer.
fn beside_the_answer() -> Vec<Misdeed> {
    vec![
        misdeed(
            "two answers",
            |it| stream(&[answer(&own_id(it), "first"), answer(&own_id(it), "second")]),
            Text("first"),
        ),
        misdeed(
            "an answer and then nonsense",
            |it| stream(&[answer(&own_id(it), "first"), "{".to_owned()]),
            Text("first"),
        ),
        misdeed(
            "progress of others",
            |it| {
                let id = it.message["id"].as_u64().unwrap();
                let tokens = [json!(id + 1), json!(id - 1), json!("mine"), json!(0), Value::Null];
                let mut all: Vec<_> = tokens.into_iter().map(progress).collect();
                all.push(answer(&own_id(it), "done"));
                stream(&all)
            },
            Text("done"),
        ),
        misdeed(
            "requests that nobody answers",
            |it| {
                let say = json!({ "name": "echo", "arguments": {} });
                stream(&[
                    asked(&json!("a"), "tools/call", &say),
                    asked(&it.message["id"], "x/y", &json!({})),
                    asked(&json!(-1), "sampling/createMessage", &json!({ "messages": [] })),
                    asked(&json!("a"), "roots/list", &json!({})),
                    asked(&json!("b"), "initialize", &json!({})),
                    answer(&own_id(it), "done"),
                ])
            },
            Text("done"),
        ),
        misdeed(
            "a storm of notifications",
            |it| {
                let line = note("notifications/message", &json!({ "level": "error", "data": "x" }));
                let odd = note("notifications/tools/list_changed", &json!({ "x": 1 }));
                let mut all = vec![line, odd, progress(json!("mine"))];
                all = all.iter().cycle().take(3_000).cloned().collect();
                all.push(answer(&own_id(it), "done"));
                stream(&all)
            },
            Text("done"),
        ),
        misdeed(
            "the end of what is under way",
            |it| {
                let end = json!({ "requestId": it.message["id"], "reason": "no" });
                stream(&[note("notifications/cancelled", &end), answer(&own_id(it), "done")])
            },
            Text("done"),
        ),
    ]
}

fn code(answer: &Rpc) -> Option<&str> {
    answer.message.pointer("/result/_meta/tidegate~1refusal/code").and_then(Value::as_str)
}

async fn start(era: Era, misdeeds: &[Misdeed]) -> (Mock, TestGateway) {
    let tools = misdeeds.iter().enumerate().map(|(n, misdeed)| {
        let definition = json!({ "name": format!("bad-{n}"), "inputSchema": { "type": "object" } });
        MockTool::new(definition, misdeed.script)
    });
    let mock = Mock::start(era, tools.chain([MockTool::echo("echo")]).collect()).await;
    let gateway = Setup::new()
        .remote("up", &mock, "[limits]\nanswer = 1048576")
        .vmcp("main", &["up"])
        .key("alice", &["staff"])
        .policy("all", "permit (principal, action, resource);")
        .settings("[limits]\ncall_ms = 1500")
        .start()
        .await;
    (mock, gateway)
}

async fn check(misdeeds: &[Misdeed]) {
    for era in [Era::Modern, Era::Legacy] {
        let (mock, gateway) = start(era, misdeeds).await;
        for asker in Asker::both(&gateway).await {
            for (n, misdeed) in misdeeds.iter().enumerate() {
                let what = format!("{} ({era:?} to {})", misdeed.what, asker.era());
                let tool = format!("bad-{n}");
                let before = mock.calls(&tool).len();
                let met = asker.call(&tool).await;
                let end = if era == Era::Modern { misdeed.modern } else { misdeed.legacy };
                match end {
                    Refused(expected) => {
                        assert_eq!(code(&met), Some(expected), "{what}: {met:?}");
                        assert!(met.is_tool_error() && !met.text().is_empty(), "{what}: {met:?}");
                    }
                    Text(expected) => assert_eq!(met.text(), expected, "{what}: {met:?}"),
                }
                let heard: Vec<_> = met.before.iter().map(|note| &note["method"]).collect();
                assert!(
                    heard.iter().all(|one| *one == "notifications/message"),
                    "{what}: {heard:?}"
                );
                assert_eq!(mock.calls(&tool).len(), before + 1, "{what}: a call was repeated");
                let rows = gateway.audit().await;
                let row = rows.iter().rfind(|row| row["tool"] == tool.as_str()).unwrap();
                match end {
                    Refused(code) => assert_eq!(row["code"], code, "{what}: {row}"),
                    Text(_) => assert_eq!(row["status"], "ok", "{what}: {row}"),
                }
                assert_eq!(asker.call("echo").await.text(), "{}", "{what}: the next call");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_clear_failure() {
    check(&in_place_of_an_answer()).await;
}

#[tokio::test]
async fn what_is_cut_off_is_a_clear_failure() {
    check(&cut_off()).await;
}

#[tokio::test]
async fn what_comes_beside_an_answer_does_it_no_harm() {
    check(&beside_the_answer()).await;
}

/// Escapes change nothing about what a result says, so nothing about what is done with it.
#[tokio::test]
async fn a_result_means_the_same_however_it_is_spelled() {
    let spelled = |text: &'static str| move |received: &Received| result(received, text);
    let tool = |name: &str, text: &'static str| {
        MockTool::new(json!({ "name": name, "inputSchema": { "type": "object" } }), spelled(text))
    };
    let form = r#"{"method":"elicitation/create","params":{"message":"Who?","requestedSchema":{"type":"object","properties":{}}}}"#;
    let asks: &'static str = Box::leak(
        format!(
            r#""resultType":"input\u005frequired","inputRequests":{{"who":{form}}},"requestState":"its own""#
        )
        .into_boxed_str(),
    );
    let mock = Mock::start(
        Era::Modern,
        vec![
            tool("asks", asks),
            tool("typed", r#""result\u0054ype":"complete","content":[]"#),
            tool(
                "task",
                r#""content":[],"_meta":{"io.modelcontextprotocol\/related-task":{"task\u0049d":"bare"}}"#,
            ),
        ],
    )
    .await;
    let gateway = Setup::simple(&mock).start().await;
    let [modern, legacy] = Asker::both(&gateway).await;
    let asked = modern.call("asks").await;
    assert_eq!(asked.result()["resultType"], "input_required");
    assert_ne!(asked.result()["requestState"], "its own", "the state is sealed");
    let rows = gateway.audit().await;
    let questions = rows.iter().filter(|row| row["method"] == "elicitation/create").count();
    assert_eq!(questions, 1, "what was asked is on record");
    for asker in [&modern, &legacy] {
        let typed = asker.call("typed").await;
        let expected = matches!(asker, Asker::Modern(_)).then(|| json!("complete"));
        assert_eq!(typed.result().get("resultType"), expected.as_ref(), "{typed:?}");
        let task = asker.call("task").await;
        assert!(!task.message.to_string().contains("bare"), "{task:?}");
    }
}

#[tokio::test]
async fn a_type_of_result_from_a_legacy_server_is_not_taken_for_one() {
    let text = r#""resultType":"later","content":[{"type":"text","text":"x"}]"#;
    let definition = json!({ "name": "odd", "inputSchema": { "type": "object" } });
    let odd = MockTool::new(definition, move |received| result(received, text));
    let mock = Mock::start(Era::Legacy, vec![odd]).await;
    let gateway = Setup::simple(&mock).start().await;
    let [modern, legacy] = Asker::both(&gateway).await;
    assert_eq!(modern.call("odd").await.result()["resultType"], "complete");
    assert_eq!(legacy.call("odd").await.result().get("resultType"), None);
}

#[tokio::test]
async fn a_server_may_forget_its_sessions_and_change_its_era() {
    let tools = || vec![MockTool::echo("echo")];
    let mock = Mock::start(Era::Legacy, tools()).await;
    let address = mock.address;
    let gateway = Setup::simple(&mock).start().await;
    let askers = Asker::both(&gateway).await;
    for _ in 0..3 {
        for asker in &askers {
            mock.forget_sessions();
            assert_eq!(asker.call("echo").await.text(), "{}", "{}", asker.era());
        }
    }
    let mut mock = mock;
    for era in [Era::Modern, Era::Legacy, Era::Both, Era::Modern] {
        drop(mock);
        mock = Mock::start_at(address, era, tools()).await;
        for asker in &askers {
            let what = format!("{} at a server that became {era:?}", asker.era());
            eventually(&what, || async {
                let answer = asker.call("echo").await;
                let is_clear = code(&answer).is_some() || answer.text() == "{}";
                assert!(is_clear, "{what}: {answer:?}");
                (answer.text() == "{}").then_some(())
            })
            .await;
        }
        assert!(!mock.calls("echo").is_empty());
    }
}
