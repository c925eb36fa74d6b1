//! Sessions of legacy clients: whose they are, what they hold, how they end.
//!
//! Owns what a session is bound to and what becomes of the calls within. How a message within
//! one is read is tested in `wire`.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinHandle};

use crate::support::{
    Client, Era, Mock, MockTool, Reply, Response, Session, Setup, TestGateway, eventually,
};

fn done(text: &str) -> Value {
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
}

/// An upstream with `echo`, and `slow`, which waits for the gate.
async fn upstream() -> (Mock, Arc<Notify>) {
    let gate = Arc::new(Notify::new());
    let slow = MockTool::answering("slow", Reply::After(Arc::clone(&gate), done("slow")));
    (Mock::start(Era::Modern, vec![MockTool::echo("echo"), slow]).await, gate)
}

fn message(id: &Value, tool: &str) -> Value {
    let params = json!({ "name": tool, "arguments": {} });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

fn post(session: &Arc<Session>, body: &Value) -> JoinHandle<Response> {
    let (session, body) = (Arc::clone(session), body.to_string());
    tokio::spawn(async move { session.send(Method::POST, body).await })
}

async fn called(mock: &Mock, tool: &str, times: usize) {
    let what = format!("call {times} of `{tool}` upstream");
    eventually(&what, || async { (mock.calls(tool).len() == times).then_some(()) }).await;
}

/// The status that a ping within a session gets from somebody.
async fn ping(client: &Client, session: &str) -> u16 {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    client.send(Method::POST, &[("mcp-session-id", session)], body).await.status.as_u16()
}

async fn delete(client: &Client, session: &str) -> u16 {
    client.send(Method::DELETE, &[("mcp-session-id", session)], "").await.status.as_u16()
}

#[tokio::test]
async fn a_session_is_of_one_person_at_one_virtual_mcp() {
    let (mock, _) = upstream().await;
    let setup = Setup::simple(&mock)
        .vmcp("other", &["up"])
        .key("bob", &["staff"])
        .key("alice-laptop", &["staff"]);
    let file = "keys/alice-laptop.toml";
    let second = std::fs::read_to_string(setup.config().join(file)).unwrap();
    let gateway =
        setup.file(file, &second.replace("alice-laptop@example", "alice@example")).start().await;
    let session = gateway.client("alice", "main").session("2025-11-25").await;
    let id = session.id.clone().unwrap();
    assert!(id.len() >= 20 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    let wrong_end = format!("{}~", &id[..id.len() - 1]);
    let callers = [
        ("alice", "main", &id, 200),
        ("alice-laptop", "main", &id, 200),
        ("bob", "main", &id, 404),
        ("alice", "other", &id, 404),
        ("alice", "main", &wrong_end, 404),
    ];
    for (key, vmcp, id, status) in callers {
        assert_eq!(ping(&gateway.client(key, vmcp), id).await, status, "{key} at {vmcp}: {id}");
    }
    assert_eq!(ping(&gateway.anonymous("main"), &id).await, 401, "a session is no credential");
    // Who may not use it may not end it either, and learns nothing from trying.
    for (key, vmcp) in [("bob", "main"), ("alice", "other")] {
        assert_eq!(delete(&gateway.client(key, vmcp), &id).await, 404, "{key} at {vmcp}");
    }
    let alice = gateway.client("alice-laptop", "main");
    assert_eq!(ping(&alice, &id).await, 200);
    assert!((200..300).contains(&delete(&alice, &id).await));
    assert_eq!(ping(&alice, &id).await, 404);
    assert_eq!(delete(&alice, &id).await, 404);
    let without = gateway.client("alice", "main").send(Method::DELETE, &[], "").await;
    assert_eq!(without.status, 400);
}

#[tokio::test]
async fn every_revision_lists_and_calls() {
    let (mock, _) = upstream().await;
    let gateway = Setup::simple(&mock).start().await;
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = gateway.client("alice", "main").session(revision).await;
        let initialized = &session.initialized;
        assert_eq!(initialized["protocolVersion"], revision);
        assert!(initialized["capabilities"]["tools"].is_object(), "{initialized}");
        let title = initialized["serverInfo"].get("title").and_then(Value::as_str);
        let expected = (revision != "2025-03-26").then_some("main");
        assert_eq!(title, expected, "`title` came with 2025-06-18");
        assert_eq!(session.tool_names().await, ["echo", "slow"], "{revision}");
        let answer = session.call("echo", json!({ "message": revision })).await;
        assert_eq!(answer.text(), json!({ "message": revision }).to_string());
        assert!(answer.result().get("resultType").is_none(), "{revision}: {answer:?}");
        assert_eq!(session.request("ping", json!({})).await.result(), &json!({}), "{revision}");
        let discover = session.request("server/discover", json!({})).await;
        assert_eq!(discover.code(), -32601, "{revision}: a method of another era");
        let rows = gateway.audit().await;
        let row = rows.iter().rev().find(|row| row["method"] == "tools/call").unwrap();
        assert_eq!(row["client"], "tidegate-tests", "{revision}: {row}");
    }
}

#[tokio::test]
async fn an_id_under_way_cannot_be_used_again() {
    let (mock, gate) = upstream().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let session = Arc::new(client.session("2025-11-25").await);
    let elsewhere = Arc::new(client.session("2025-11-25").await);
    let (id, text) = (json!(7), json!("7"));
    let first = post(&session, &message(&id, "slow"));
    called(&mock, "slow", 1).await;
    for tool in ["slow", "echo"] {
        let again = post(&session, &message(&id, tool)).await.unwrap();
        assert_eq!(again.status, 400, "{tool}");
        let again = again.json();
        assert_eq!((&again["id"], &again["error"]["code"]), (&id, &json!(-32600)), "{again}");
    }
    // The same digits as a string, and the same id in another session, are other ids.
    assert_eq!(post(&session, &message(&text, "echo")).await.unwrap().rpc().text(), "{}");
    assert_eq!(post(&elsewhere, &message(&id, "echo")).await.unwrap().rpc().text(), "{}");
    gate.notify_one();
    assert_eq!(first.await.unwrap().rpc().text(), "slow");
    assert_eq!(post(&session, &message(&id, "echo")).await.unwrap().rpc().text(), "{}");
    assert_eq!((mock.calls("slow").len(), mock.calls("echo").len()), (1, 3));
}

async fn abandoned(gateway: &TestGateway, rows: usize) {
    eventually(&format!("{rows} rows of abandoned calls"), || async {
        let all = gateway.audit().await;
        (all.iter().filter(|row| row["status"] == "abandoned").count() == rows).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_session_cancels_what_it_has_under_way() {
    let (mock, gate) = upstream().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let session = Arc::new(client.session("2025-11-25").await);
    let kept = Arc::new(client.session("2025-11-25").await);
    let calls: Vec<_> = (0..3).map(|id| post(&session, &message(&json!(id), "slow"))).collect();
    let other = post(&kept, &message(&json!(0), "slow"));
    called(&mock, "slow", 4).await;
    assert!(session.close().await.status.is_success());
    for call in calls {
        let answer = call.await.unwrap().json();
        assert_eq!(answer["error"]["code"], -32000, "{answer}");
    }
    eventually("the calls upstream to be closed", || async {
        (mock.abandoned() == 3).then_some(())
    })
    .await;
    abandoned(&gateway, 3).await;
    gate.notify_one();
    assert_eq!(other.await.unwrap().rpc().text(), "slow");
}

#[tokio::test]
async fn calls_in_a_batch_are_calls_of_the_session() {
    let (mock, gate) = upstream().await;
    let gateway = Setup::simple(&mock).start().await;
    let session = Arc::new(gateway.client("alice", "main").session("2025-03-26").await);
    let batch = json!([message(&json!("a"), "slow"), message(&json!("b"), "echo")]);

    // One of them is cancelled; the others are answered.
    let answers = post(&session, &batch);
    called(&mock, "slow", 1).await;
    let twice = post(&session, &json!([message(&json!("a"), "echo")])).await.unwrap().json();
    assert_eq!(twice[0]["error"]["code"], -32600, "an id under way: {twice}");
    session.notify("notifications/cancelled", json!({ "requestId": "a" })).await;
    let answers = answers.await.unwrap().json();
    assert_eq!(answers[0]["error"]["code"], -32000, "{answers}");
    assert_eq!(answers[1]["result"]["content"][0]["text"], "{}", "{answers}");
    abandoned(&gateway, 1).await;

    // A lost connection cancels nothing.
    let lost = post(&session, &json!([message(&json!("c"), "slow")]));
    called(&mock, "slow", 2).await;
    lost.abort();
    let again = post(&session, &message(&json!("c"), "echo")).await.unwrap();
    assert_eq!(again.status, 400, "the call is not under way any more");
    gate.notify_one();
    eventually("the row of the call that nobody waits for", || async {
        let rows = gateway.audit().await;
        let is_done = |row: &Value| row["tool"] == "slow" && row["status"] == "ok";
        rows.iter().any(is_done).then_some(())
    })
    .await;
    assert_eq!(post(&session, &message(&json!("c"), "echo")).await.unwrap().rpc().text(), "{}");
}

#[tokio::test]
async fn there_is_room_for_so_many_sessions_and_no_more() {
    let (mock, _) = upstream().await;
    let setup = Setup::simple(&mock).key("bob", &[]).settings("[limits]\nsessions = 2");
    let gateway = setup.start().await;
    let client = gateway.client("alice", "main");
    let first = client.session("2025-11-25").await;
    let second = client.session("2025-06-18").await;
    let open = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "t", "version": "1" },
    }});
    for key in ["alice", "bob"] {
        let full = gateway.client(key, "main").send(Method::POST, &[], open.to_string()).await;
        assert_eq!(full.status, 503, "{full:?}");
        assert!(full.json()["error"]["message"].as_str().unwrap().contains("no room"));
        assert!(full.header("mcp-session-id").is_empty());
    }
    // Who is in stays in, and modern clients need no room.
    assert_eq!(first.call("echo", json!({})).await.text(), "{}");
    assert_eq!(client.call("echo", json!({})).await.text(), "{}");
    assert!(second.close().await.status.is_success());
    let third = client.session("2025-03-26").await;
    assert_eq!(third.call("echo", json!({})).await.text(), "{}");
}

#[tokio::test]
async fn a_gateway_that_was_started_anew_knows_no_old_session() {
    let (mock, _) = upstream().await;
    let gateway = Setup::simple(&mock).start().await;
    let session = gateway.client("alice", "main").session("2025-11-25").await;
    let id = session.id.clone().unwrap();
    let (ended, setup) = gateway.stop().await;
    assert!(ended);
    let gateway = setup.start().await;
    let client = gateway.client("alice", "main");
    assert_eq!(ping(&client, &id).await, 404, "which tells a client to initialize again");
    let again = client.session("2025-11-25").await;
    assert_ne!(again.id, Some(id));
    assert_eq!(again.call("echo", json!({})).await.text(), "{}");
}

#[tokio::test]
async fn a_session_upstream_is_of_one_session_here_and_ends_with_it() {
    let mock = Mock::start(Era::Legacy, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let count = |method: &str| mock.received().iter().filter(|one| one.method() == method).count();
    let ended = || mock.received().iter().filter(|one| one.http == Method::DELETE).count();
    let before = count("initialize");
    let roots = json!({ "roots": { "listChanged": true } });
    let one = Session::open_as(client.clone(), "2025-11-25", roots.clone()).await;
    let other = Session::open_as(client, "2025-11-25", roots).await;
    for session in [&one, &one, &other] {
        assert_eq!(session.call("echo", json!({})).await.text(), "{}");
    }
    assert_eq!(count("initialize") - before, 2, "one for each");

    // What changes at one client is told in its session upstream.
    one.notify("notifications/roots/list_changed", json!({})).await;
    eventually("the changed roots upstream", || async {
        (count("notifications/roots/list_changed") == 1).then_some(())
    })
    .await;

    assert_eq!(ended(), 0);
    assert!(one.close().await.status.is_success());
    eventually("the end of the session upstream", || async { (ended() == 1).then_some(()) }).await;
    assert_eq!(other.call("echo", json!({})).await.text(), "{}");
    assert_eq!((count("initialize") - before, ended()), (2, 1));
}
