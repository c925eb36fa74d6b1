//! `subscriptions/listen`: what a modern client is told, for as long as it listens.
//!
//! Owns the stream as a client sees it: the acknowledgement, the mark on every message, that
//! nothing comes which was not asked for, and how it ends.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{
    Client, Era, EventStream, Mock, MockTool, Received, Reply, Response, Setup, TestGateway,
    eventually, modern_params,
};

const MARK: &str = "io.modelcontextprotocol/subscriptionId";
const ERAS: [Era; 2] = [Era::Modern, Era::Legacy];

async fn server(era: Era) -> Mock {
    let mock = Mock::start(era, vec![MockTool::echo("echo")]).await;
    mock.set_resources(&["doc://a", "doc://b"]);
    mock
}

fn body(id: &Value, filter: Value) -> (Value, String) {
    let params = modern_params(json!({ "notifications": filter }));
    let body = message(id, &params);
    (params, body)
}

fn message(id: &Value, params: &Value) -> String {
    let method = "subscriptions/listen";
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

async fn listen(client: &Client, id: &Value, filter: Value) -> EventStream {
    let (params, body) = body(id, filter);
    let headers = Client::modern_headers("subscriptions/listen", &params);
    client.stream(Method::POST, &headers, body).await
}

async fn refused(client: &Client, filter: Value, more: &[(&str, &str)]) -> Response {
    let (params, body) = body(&json!(1), filter);
    let mut headers = Client::modern_headers("subscriptions/listen", &params);
    headers.extend(more);
    client.send(Method::POST, &headers, body).await
}

/// The next message, which must be this notification on the stream of this request.
async fn told(stream: &mut EventStream, id: &Value, method: &str) -> Value {
    told_after(stream, id, method, &Value::Null).await
}

/// The same. What was told `before` may come once more first: while the gateway changes over
/// from one stream of a server to the next, it hears what is said on both.
async fn told_after(stream: &mut EventStream, id: &Value, method: &str, before: &Value) -> Value {
    let mut message = stream.next().await.unwrap_or_else(|| panic!("no {method}"));
    if message["params"] == *before {
        message = stream.next().await.unwrap_or_else(|| panic!("no {method}"));
    }
    assert_eq!(message["method"], method, "{message}");
    assert_eq!(&message["params"]["_meta"][MARK], id, "{message}");
    message["params"].clone()
}

/// What was agreed to.
async fn acknowledged(stream: &mut EventStream, id: &Value) -> Value {
    assert_eq!(stream.status, 200);
    let params = told(stream, id, "notifications/subscriptions/acknowledged").await;
    params["notifications"].clone()
}

/// The result that ends the stream.
async fn ended(stream: &mut EventStream, id: &Value) {
    let message = stream.next().await.expect("a result at the end");
    let expected = json!({ "resultType": "complete", "_meta": { MARK: id } });
    assert_eq!((&message["id"], &message["result"]), (id, &expected), "{message}");
    assert_eq!(stream.next().await, None);
}

/// Says something upstream until somebody there hears it.
async fn say(mock: &Mock, method: &str, params: Value) {
    eventually("somebody to listen upstream", || async {
        (mock.tell(method, params.clone()) > 0).then_some(())
    })
    .await;
}

fn everything() -> Value {
    json!({
        "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
        "resourceSubscriptions": ["doc://a", "doc://nowhere/else"],
    })
}

async fn start(mock: &Mock) -> TestGateway {
    Setup::simple(mock).start().await
}

#[tokio::test]
async fn a_client_hears_what_it_asked_for_and_nothing_else() {
    for era in ERAS {
        let mock = server(era).await;
        let gateway = start(&mock).await;
        let client = gateway.client("alice", "main");
        let (all, few) = (json!("all \"of\" it"), json!(7));
        let mut everything = listen(&client, &all, everything()).await;
        let agreed = acknowledged(&mut everything, &all).await;
        let expected = json!({
            "toolsListChanged": true, "resourcesListChanged": true,
            "resourceSubscriptions": ["doc://a"],
        });
        let located = agreed["resourceSubscriptions"] == json!(["doc://a", "doc://nowhere/else"]);
        assert!(agreed == expected || located, "{era:?}: {agreed}");
        let mut little = listen(&client, &few, json!({ "toolsListChanged": true })).await;
        assert_eq!(acknowledged(&mut little, &few).await, json!({ "toolsListChanged": true }));

        eventually("the resource to be followed upstream", || async {
            let subscribed = |text: String| text.contains("doc://a");
            let all = mock.received();
            let found = all.iter().any(|one| match one.method() {
                "resources/subscribe" => subscribed(one.message["params"]["uri"].to_string()),
                "subscriptions/listen" => subscribed(one.message["params"].to_string()),
                _ => false,
            });
            found.then_some(())
        })
        .await;
        say(&mock, "notifications/resources/updated", json!({ "uri": "doc://b" })).await;
        say(&mock, "notifications/resources/updated", json!({ "uri": "doc://a", "x": 1 })).await;
        let update = told(&mut everything, &all, "notifications/resources/updated").await;
        assert_eq!((&update["uri"], &update["x"]), (&json!("doc://a"), &json!(1)), "{era:?}");

        mock.set_tools(vec![MockTool::echo("echo"), MockTool::echo("more")]);
        say(&mock, "notifications/tools/list_changed", json!({})).await;
        let changed = "notifications/tools/list_changed";
        told_after(&mut everything, &all, changed, &update).await;
        told(&mut little, &few, "notifications/tools/list_changed").await;
        assert_eq!(client.tool_names().await, ["echo", "more"], "{era:?}");

        let rows = gateway.audit().await;
        let opened = rows.iter().filter(|row| row["method"] == "subscriptions/listen");
        assert_eq!(opened.count(), 2);
    }
}

#[tokio::test]
async fn the_mark_is_the_id_as_it_was_written() {
    let mock = server(Era::Modern).await;
    let gateway = start(&mock).await;
    let client = gateway.client("alice", "main");
    let ids = ["\"a\\u0041\"", "12345678901234567890123", "-1", "\"\""];
    let streams = ids.map(|id| {
        let client = client.clone();
        tokio::spawn(async move {
            let (params, body) = body(&json!("here"), json!({ "toolsListChanged": true }));
            let headers = Client::modern_headers("subscriptions/listen", &params);
            client.send(Method::POST, &headers, body.replacen("\"here\"", id, 1)).await
        })
    });
    eventually("all streams to be open", || async {
        let rows = gateway.audit().await;
        let open = rows.iter().filter(|row| row["method"] == "subscriptions/listen").count();
        (open == ids.len()).then_some(())
    })
    .await;
    gateway.remove("keys/alice.toml");
    for (id, stream) in ids.into_iter().zip(streams) {
        let body = stream.await.unwrap().body;
        let text = String::from_utf8_lossy(&body);
        // As text: a parser would not tell one spelling from another.
        assert_eq!(text.matches(&format!("\"{MARK}\":{id}")).count(), 2, "{id}: {text}");
        assert!(text.contains(&format!("\"id\":{id}")), "{id}: {text}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_right_to_it() {
    let mock = server(Era::Modern).await;
    let gateway = start(&mock).await;
    let client = gateway.client("alice", "main");
    let id = json!(1);
    let mut stream = listen(&client, &id, everything()).await;
    acknowledged(&mut stream, &id).await;
    gateway.remove("keys/alice.toml");
    ended(&mut stream, &id).await;
}

#[tokio::test]
async fn a_stream_ends_with_the_gateway() {
    let mock = server(Era::Modern).await;
    let gateway = start(&mock).await;
    let client = gateway.client("alice", "main");
    let id = json!("last");
    let mut stream = listen(&client, &id, everything()).await;
    acknowledged(&mut stream, &id).await;
    gateway.terminate();
    ended(&mut stream, &id).await;
    assert!(gateway.ended().await.0);
}

#[tokio::test]
async fn what_cannot_be_listened_to_is_refused() {
    let mock = server(Era::Modern).await;
    let gateway = start(&mock).await;
    let client = gateway.client("alice", "main");
    let json_only = refused(&client, everything(), &[("accept", "application/json")]).await;
    assert_eq!(json_only.status, 406);
    let many: Vec<String> = (0..=1_000).map(|number| format!("doc://{number}")).collect();
    for bad in [
        json!([]),
        json!({ "toolsListChanged": 1 }),
        json!({ "resourceSubscriptions": {} }),
        json!({ "resourceSubscriptions": many }),
    ] {
        let answer = refused(&client, bad.clone(), &[]).await;
        assert_eq!(answer.rpc().code(), -32602, "{bad}");
    }
    let tasks = refused(&client, json!({ "taskIds": ["t"] }), &[]).await;
    assert_eq!((tasks.status.as_u16(), tasks.rpc().code()), (400, -32021));
}

/// A modern server with tools whose calls become tasks of the id that they name.
async fn with_tasks() -> Mock {
    let begun = |received: &Received| {
        Reply::Result(json!({
            "resultType": "task", "taskId": received.message["params"]["arguments"]["id"],
            "status": "working", "ttlMs": null,
            "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z",
        }))
    };
    let tool = |name: &str| {
        MockTool::new(json!({ "name": name, "inputSchema": { "type": "object" } }), begun)
    };
    Mock::start(Era::Modern, vec![tool("long"), tool("longer")]).await
}

/// Parameters of a client that takes tasks.
fn able(mut params: Value) -> Value {
    let can = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": can });
    modern_params(params)
}

/// Begins a task that has this id upstream; its id here.
async fn begin(client: &Client, id: &str) -> String {
    begin_with(client, "long", id).await
}

async fn begin_with(client: &Client, tool: &str, id: &str) -> String {
    let params = able(json!({ "name": tool, "arguments": { "id": id } }));
    let begun = client.request("tools/call", params).await;
    assert_eq!(begun.result()["resultType"], "task", "{begun:?}");
    begun.result()["taskId"].as_str().unwrap().to_owned()
}

/// Listens as a client that takes tasks.
async fn listen_able(client: &Client, id: &Value, filter: Value) -> EventStream {
    let params = able(json!({ "notifications": filter }));
    let headers = Client::modern_headers("subscriptions/listen", &params);
    client.stream(Method::POST, &headers, message(id, &params)).await
}

/// Waits until the last listen request of the gateway names these tasks.
async fn upstream_is_asked_for(mock: &Mock, tasks: &Value) {
    eventually("these tasks to be asked for upstream", || async {
        let all = mock.received();
        let last = all.iter().rfind(|one| one.method() == "subscriptions/listen")?;
        (last.message["params"]["notifications"]["taskIds"] == *tasks).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_task_is_told_of_under_its_published_id_to_whom_it_belongs() {
    let mock = with_tasks().await;
    mock.set_tasks();
    let gateway = Setup::simple(&mock).key("bob", &["staff"]).start().await;
    let (alice, bob) = (gateway.client("alice", "main"), gateway.client("bob", "main"));
    let (hers, his) = (begin(&alice, "t-1").await, begin(&bob, "t-2").await);
    assert!(!hers.contains("t-1") && hers == begin(&alice, "t-1").await);
    let id = json!("mine");
    let filter = json!({ "taskIds": [hers, his, "t-1"], "toolsListChanged": true });
    let mut stream = listen_able(&alice, &id, filter).await;
    let agreed = acknowledged(&mut stream, &id).await;
    assert_eq!(agreed, json!({ "taskIds": [hers], "toolsListChanged": true }));
    upstream_is_asked_for(&mock, &json!(["t-1"])).await;
    // Bob listens too, so that the server tells of his task as well.
    let mut others = listen_able(&bob, &id, json!({ "taskIds": [his] })).await;
    assert_eq!(acknowledged(&mut others, &id).await, json!({ "taskIds": [his] }));
    upstream_is_asked_for(&mock, &json!(["t-1", "t-2"])).await;
    for (task, status) in [("t-3", "working"), ("t-2", "failed"), ("t-1", "completed")] {
        say(&mock, "notifications/tasks", json!({ "taskId": task, "status": status })).await;
    }
    for (stream, task, status) in [(&mut stream, hers, "completed"), (&mut others, his, "failed")] {
        let told = told(stream, &id, "notifications/tasks").await;
        assert_eq!((&told["taskId"], &told["status"]), (&json!(task), &json!(status)));
    }
    drop(stream);
    upstream_is_asked_for(&mock, &json!(["t-2"])).await;
}

#[tokio::test]
async fn a_task_is_told_of_while_its_tool_may_be_known() {
    let mock = with_tasks().await;
    mock.set_tasks();
    let gateway = start(&mock).await;
    let alice = gateway.client("alice", "main");
    let long = begin_with(&alice, "long", "t-1").await;
    let longer = begin_with(&alice, "longer", "t-2").await;
    let filter = || json!({ "taskIds": [long, longer], "toolsListChanged": true });
    let id = json!("both");
    let mut stream = listen_able(&alice, &id, filter()).await;
    assert_eq!(acknowledged(&mut stream, &id).await["taskIds"].as_array().map(Vec::len), Some(2));
    upstream_is_asked_for(&mock, &json!(["t-1", "t-2"])).await;
    gateway.write(
        "policies/all.cedar",
        "permit (principal, action, resource) unless { action == Action::\"up/long\" };",
    );
    told(&mut stream, &id, "notifications/tools/list_changed").await;
    for task in ["t-1", "t-2"] {
        say(&mock, "notifications/tasks", json!({ "taskId": task, "status": "completed" })).await;
    }
    let heard = told(&mut stream, &id, "notifications/tasks").await;
    assert_eq!(heard["taskId"], json!(longer), "the tool of the other is forbidden");
    let id = json!("again");
    let mut again = listen_able(&alice, &id, filter()).await;
    assert_eq!(acknowledged(&mut again, &id).await["taskIds"], json!([longer]));
}

#[tokio::test]
async fn tasks_of_a_server_that_does_not_tell_of_them_are_not_agreed_to() {
    let mock = with_tasks().await;
    let gateway = start(&mock).await;
    let alice = gateway.client("alice", "main");
    let (task, id) = (begin(&alice, "t-1").await, json!(1));
    let filter = json!({ "taskIds": [task], "toolsListChanged": true });
    let mut stream = listen_able(&alice, &id, filter).await;
    assert_eq!(acknowledged(&mut stream, &id).await, json!({ "toolsListChanged": true }));
    upstream_is_asked_for(&mock, &Value::Null).await;
}

#[tokio::test]
async fn one_person_has_thirty_two_streams_and_no_more() {
    let mock = server(Era::Modern).await;
    let gateway = start(&mock).await;
    let client = gateway.client("alice", "main");
    let id = json!(1);
    let mut streams = Vec::new();
    for _ in 0..32 {
        let mut stream = listen(&client, &id, json!({ "toolsListChanged": true })).await;
        acknowledged(&mut stream, &id).await;
        streams.push(stream);
    }
    let over = refused(&client, json!({ "toolsListChanged": true }), &[]).await;
    assert_eq!(over.status, 429);
    drop(streams.pop());
    eventually("the place to be free again", || async {
        let mut stream = listen(&client, &id, json!({})).await;
        if stream.status != 200 {
            return None;
        }
        acknowledged(&mut stream, &id).await;
        Some(())
    })
    .await;
}
