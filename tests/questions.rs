//! Questions of servers to legacy clients, in the middle of a call.
//!
//! Owns what a client is asked, by which of its answers a server is reached, and what becomes
//! of a question that nobody waits for any more. Modern clients are asked in another way.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{
    Client, Era, EventStream, Mock, MockTool, Received, Reply, Session, Setup, TestGateway,
    eventually,
};

/// Everything that a client can be asked.
fn everything() -> Value {
    json!({
        "elicitation": { "form": {}, "url": {} },
        "sampling": { "tools": {}, "context": {} },
        "roots": { "listChanged": true },
    })
}

fn form() -> Value {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    json!({ "message": "what is your name?", "requestedSchema": schema })
}

fn url() -> Value {
    json!({ "mode": "url", "message": "sign in", "url": "https://sign-in.example/" })
}

fn sampling() -> Value {
    let text = json!({ "type": "text", "text": "hello" });
    json!({ "messages": [{ "role": "user", "content": text }], "maxTokens": 10 })
}

/// A tool that asks these questions one after the other and answers with what it got.
fn asking(name: &str, questions: Vec<(&'static str, Value)>) -> MockTool {
    let definition = json!({ "name": name, "inputSchema": { "type": "object" } });
    MockTool::new(definition, move |received: &Received| {
        let own = &received.message["id"];
        let asked = questions.iter().enumerate().map(|(place, (method, params))| {
            let id = format!("q-{own}-{place}");
            json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
        });
        Reply::Ask(asked.collect())
    })
}

/// A tool of the modern era that needs these answers before it can work.
fn needing(name: &str, questions: Vec<(&'static str, Value)>) -> MockTool {
    let definition = json!({ "name": name, "inputSchema": { "type": "object" } });
    MockTool::new(definition, move |received: &Received| {
        let params = &received.message["params"];
        match params.get("inputResponses") {
            Some(given) => Reply::Text(json!([given, params["requestState"]]).to_string()),
            None => {
                let each = questions.iter().enumerate();
                let each = each.map(|(place, (method, params))| {
                    (format!("k{place}"), json!({ "method": method, "params": params }))
                });
                let requests: serde_json::Map<String, Value> = each.collect();
                Reply::Result(json!({
                    "resultType": "input_required",
                    "inputRequests": requests,
                    "requestState": "a state",
                }))
            }
        }
    })
}

async fn start(era: Era, tools: Vec<MockTool>) -> (Mock, TestGateway) {
    let mock = Mock::start(era, tools).await;
    let gateway = Setup::simple(&mock).key("bob", &["staff"]).start().await;
    (mock, gateway)
}

async fn open(client: Client, revision: &str, capabilities: Value) -> Arc<Session> {
    Arc::new(Session::open_as(client, revision, capabilities).await)
}

async fn call(session: &Session, tool: &str) -> EventStream {
    session.request_stream("tools/call", json!({ "name": tool })).await
}

/// The text of the answer at the end of a stream.
async fn text(stream: &mut EventStream) -> Value {
    let answer = stream.next().await.unwrap();
    let text = answer["result"]["content"][0]["text"].as_str();
    let text = text.unwrap_or_else(|| panic!("no text: {answer}"));
    assert_eq!(stream.next().await, None);
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_server_of_either_era_is_answered_by_the_client() {
    let questions = || {
        vec![
            ("elicitation/create", form()),
            ("sampling/createMessage", sampling()),
            ("roots/list", json!({})),
        ]
    };
    let answers = [
        json!({ "action": "accept", "content": { "name": "Ada" } }),
        json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "hi" } }),
        json!({ "roots": [{ "uri": "file:///work", "name": "work" }] }),
    ];
    for era in [Era::Legacy, Era::Modern] {
        let tools = vec![match era {
            Era::Legacy => asking("ask", questions()),
            _ => needing("ask", questions()),
        }];
        let (_mock, gateway) = start(era, tools).await;
        let session = open(gateway.client("alice", "main"), "2025-11-25", everything()).await;
        let mut stream = call(&session, "ask").await;
        let mut ids = Vec::new();
        for ((method, params), answer) in questions().into_iter().zip(&answers) {
            let question = stream.next().await.unwrap();
            assert_eq!(question["method"], method, "{era:?}: {question}");
            assert_eq!(question["params"], params, "{era:?}: {question}");
            assert!(!ids.contains(&question["id"]), "{era:?}: {question}");
            ids.push(question["id"].clone());
            let taken = session.answer(&question, json!({ "result": answer })).await;
            assert_eq!((taken.status.as_u16(), taken.body.len()), (202, 0), "{era:?}");
        }
        let got = text(&mut stream).await;
        let expected = match era {
            Era::Legacy => json!(answers),
            _ => {
                let [one, two, three] = &answers;
                json!([{ "k0": one, "k1": two, "k2": three }, "a state"])
            }
        };
        assert_eq!(got, expected, "{era:?}");
        for (method, _) in questions() {
            let rows = gateway.audit().await;
            let row = rows.iter().find(|row| row["method"] == method);
            let row = row.unwrap_or_else(|| panic!("{era:?}: no row of {method}"));
            assert_eq!(row["caller"]["user"], "alice@example.com", "{era:?}: {row}");
        }
    }
}

#[tokio::test]
async fn an_error_of_the_client_is_an_answer() {
    let (_mock, gateway) =
        start(Era::Legacy, vec![asking("ask", vec![("elicitation/create", form())])]).await;
    let session = open(gateway.client("alice", "main"), "2025-11-25", everything()).await;
    let table = [
        (json!({ "error": { "code": -1, "message": "the user said no", "data": [1] } }), -1),
        (json!({ "result": "no object" }), -32603),
    ];
    for (outcome, code) in table {
        let mut stream = call(&session, "ask").await;
        let question = stream.next().await.unwrap();
        session.answer(&question, outcome.clone()).await;
        let got = text(&mut stream).await;
        assert_eq!(got[0]["code"], code, "{got}");
        if code == -1 {
            assert_eq!(got[0], outcome["error"]);
        }
    }
}

#[tokio::test]
async fn only_the_client_that_was_asked_can_answer() {
    let (_mock, gateway) =
        start(Era::Legacy, vec![asking("ask", vec![("roots/list", json!({})); 2])]).await;
    let asked = open(gateway.client("alice", "main"), "2025-11-25", everything()).await;
    let second = open(gateway.client("alice", "main"), "2025-11-25", everything()).await;
    let bob = open(gateway.client("bob", "main"), "2025-11-25", everything()).await;
    let mut stream = call(&asked, "ask").await;
    let question = stream.next().await.unwrap();
    let wrong = json!({ "result": { "roots": [], "wrong": true } });

    // Who was asked nothing, and what was never asked: taken, and nothing comes of it.
    for other in [&second, &bob] {
        assert_eq!(other.answer(&question, wrong.clone()).await.status, 202);
    }
    let number = question["id"].as_u64().unwrap();
    for id in [json!(number + 1), json!(0), json!(number.to_string()), json!("q"), json!(-1)] {
        let taken = asked.answer(&json!({ "id": id }), wrong.clone()).await;
        assert_eq!(taken.status, 202, "{id}");
    }
    // Not even a session of one's own helps where it is named by somebody else.
    let id = asked.id.clone().unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": number, "result": wrong["result"] }).to_string();
    let headers = [("mcp-session-id", id.as_str())];
    let foreign = gateway.client("bob", "main").send(Method::POST, &headers, body).await;
    assert_eq!(foreign.status, 404);
    // What is no answer at all is refused as such.
    for bad in [
        json!({ "jsonrpc": "2.0", "id": number, "result": {}, "error": { "code": 1, "message": "" } }),
        json!({ "jsonrpc": "2.0", "result": {} }),
        json!({ "jsonrpc": "2.0", "id": null, "result": {} }),
        json!({ "jsonrpc": "2.0", "id": number, "error": "no" }),
    ] {
        assert_eq!(asked.send(Method::POST, bad.to_string()).await.status, 400, "{bad}");
    }

    let right = json!({ "result": { "roots": [{ "uri": "file:///right" }] } });
    asked.answer(&question, right.clone()).await;
    let again = stream.next().await.unwrap();
    assert_ne!(again["id"], question["id"]);
    // An answer counts once, and not for the next question.
    asked.answer(&question, wrong.clone()).await;
    asked.answer(&again, right.clone()).await;
    assert_eq!(text(&mut stream).await, json!([right["result"], right["result"]]));
}

#[tokio::test]
async fn a_client_is_asked_only_what_it_can_be_asked() {
    let all = [
        ("elicitation/create", form()),
        ("elicitation/create", url()),
        ("sampling/createMessage", sampling()),
        ("roots/list", json!({})),
    ];
    let (_mock, gateway) = start(Era::Legacy, vec![asking("ask", all.to_vec())]).await;
    let sampling = json!({ "sampling": {} });
    let url_alone = json!({ "elicitation": { "url": {} } });
    // Which of the four reach the client.
    let table = [
        ("2025-11-25", everything(), [true, true, true, true]),
        ("2025-11-25", json!({ "elicitation": {} }), [true, false, false, false]),
        ("2025-11-25", url_alone.clone(), [false, true, false, false]),
        ("2025-11-25", sampling.clone(), [false, false, true, false]),
        ("2025-11-25", json!({}), [false; 4]),
        ("2025-06-18", everything(), [true, false, true, true]),
        ("2025-06-18", url_alone.clone(), [true, false, false, false]),
        ("2025-03-26", everything(), [false, false, true, true]),
        ("2025-03-26", url_alone, [false; 4]),
        ("2025-03-26", sampling, [false, false, true, false]),
    ];
    for (revision, capabilities, expected) in table {
        let who = format!("{revision} {capabilities}");
        let client = gateway.client("alice", "main");
        let session = open(client, revision, capabilities).await;
        if !expected.contains(&true) {
            // Nothing comes before the answer.
            let got = session.call("ask", json!({})).await;
            assert!(got.before.is_empty(), "{who}: {got:?}");
            assert_eq!(got.text().matches("-32601").count(), 4, "{who}: {got:?}");
            continue;
        }
        let mut stream = call(&session, "ask").await;
        for ((method, params), _) in all.iter().zip(expected).filter(|(_, reaches)| *reaches) {
            let question = stream.next().await.unwrap();
            assert_eq!(question["method"], *method, "{who}: {question}");
            if params["mode"] == "url" {
                let id = question["params"]["elicitationId"].as_str();
                assert!(id.is_some_and(|id| !id.is_empty()), "{who}: {question}");
            }
            session.answer(&question, json!({ "result": {} })).await;
        }
        let got = text(&mut stream).await;
        let reached = got.as_array().unwrap().iter().map(|one| one.get("code").is_none());
        assert_eq!(reached.collect::<Vec<_>>(), expected, "{who}: {got}");
    }
}

#[tokio::test]
async fn who_gets_the_answer_alone_is_not_asked() {
    let (mock, gateway) =
        start(Era::Legacy, vec![asking("ask", vec![("roots/list", json!({}))])]).await;
    let session = open(gateway.client("alice", "main"), "2025-03-26", everything()).await;
    let id = session.id.clone().unwrap();
    let message = |id| {
        let params = json!({ "name": "ask" });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
    };
    let headers = [("mcp-session-id", id.as_str()), ("accept", "application/json")];
    let client = gateway.client("alice", "main");
    let alone = client.send(Method::POST, &headers, message(1).to_string()).await;
    assert_eq!(alone.header("content-type"), "application/json");
    assert!(alone.rpc().text().contains("-32601"), "{alone:?}");
    let batch = session.send(Method::POST, json!([message(2)]).to_string()).await.json();
    let text = batch[0]["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("-32601"), "{batch}");
    // The server was told so when it met the client.
    let met = mock.received();
    let met = met.iter().rfind(|one| one.method() == "initialize").unwrap();
    assert_eq!(met.message["params"]["capabilities"], json!({}));
}

#[tokio::test]
async fn a_question_is_withdrawn_when_its_call_ends() {
    for end in ["cancelled", "session"] {
        let (mock, gateway) =
            start(Era::Legacy, vec![asking("ask", vec![("elicitation/create", form())])]).await;
        let session = open(gateway.client("alice", "main"), "2025-11-25", everything()).await;
        let params = json!({ "name": "ask" });
        let body = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params });
        let mut stream = session.send_stream(body.to_string()).await;
        let question = stream.next().await.unwrap();
        assert_eq!(question["method"], "elicitation/create");
        match end {
            "cancelled" => {
                session.notify("notifications/cancelled", json!({ "requestId": "c" })).await;
            }
            _ => assert!(session.close().await.status.is_success()),
        }
        let withdrawn = stream.next().await.unwrap();
        assert_eq!(withdrawn["method"], "notifications/cancelled", "{end}: {withdrawn}");
        assert_eq!(withdrawn["params"]["requestId"], question["id"], "{end}: {withdrawn}");
        let rows = gateway.audit().await;
        let asked = rows.iter().find(|row| row["method"] == "elicitation/create").unwrap();
        assert_eq!(asked["connector"], "up", "who asked is on record: {asked}");
        let answer = stream.next().await.unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("c"), &json!(-32000)));
        assert_eq!(stream.next().await, None, "{end}");
        let late = session.answer(&question, json!({ "result": {} })).await;
        assert_eq!(late.status, if end == "session" { 404 } else { 202 }, "{end}");
        eventually(&format!("{end}: the call to be given up upstream"), || async {
            (mock.abandoned() >= 1).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_gateway_that_stops_waits_for_no_answer() {
    let questions = vec![("roots/list", json!({})), ("elicitation/create", form())];
    let (_mock, gateway) = start(Era::Legacy, vec![asking("ask", questions)]).await;
    let session = open(gateway.client("alice", "main"), "2025-11-25", everything()).await;
    let mut stream = call(&session, "ask").await;
    let question = stream.next().await.unwrap();
    gateway.terminate();
    let withdrawn = stream.next().await.unwrap();
    assert_eq!(withdrawn["method"], "notifications/cancelled", "{withdrawn}");
    assert_eq!(withdrawn["params"]["requestId"], question["id"]);
    // The call goes on without either answer, and is not cut off.
    let got = text(&mut stream).await;
    assert_eq!((&got[0]["code"], &got[1]["code"]), (&json!(-32603), &json!(-32603)), "{got}");
    let (good, _) = gateway.ended().await;
    assert!(good);
}
