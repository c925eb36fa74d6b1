//! Servers of both eras ask a modern client mid-call, and the client answers by asking again.
//!
//! Owns everything about `input_required` as a client sees it: what is asked, what a repeated
//! request must be like, what a changed, foreign or used state gets, and what becomes of a
//! call that waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    Client, Era, Mock, MockTool, Received, Reply, Rpc, Setup, TestGateway, eventually,
    modern_params,
};

const INVALID_PARAMS: i64 = -32602;

/// A tool that is open about what it does, of no particular class.
fn tool(name: &str, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> MockTool {
    MockTool::new(json!({ "name": name, "inputSchema": { "type": "object" } }), script)
}

fn done(text: &str) -> Reply {
    Reply::Text(text.to_owned())
}

fn form(message: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    json!({ "mode": "form", "message": message, "requestedSchema": schema })
}

/// A question of a legacy server, with an id of its own: the mock tells answers by it.
fn question(method: &str, params: Value) -> Value {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let id = format!("q-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// How many answers to its questions a legacy server has got.
fn answers(mock: &Mock) -> usize {
    let is_answer = |one: &&Received| {
        one.method().is_empty() && one.message["id"].as_str().is_some_and(|id| id.starts_with("q-"))
    };
    mock.received().iter().filter(is_answer).count()
}

/// Asks for a name, and greets in the round after.
fn greet(received: &Received) -> Reply {
    let params = &received.message["params"];
    let Some(responses) = params.get("inputResponses") else {
        let request = json!({ "method": "elicitation/create", "params": form("Who?") });
        let result = json!({
            "resultType": "input_required",
            "inputRequests": { "who": request },
            "requestState": "the server's own",
        });
        return Reply::Result(result);
    };
    let state = params["requestState"].as_str().unwrap_or("none");
    done(&format!("{} by {state}", responses["who"]["content"]["name"].as_str().unwrap_or("?")))
}

async fn modern_server() -> Mock {
    let tools = vec![tool("greet", greet), tool("greet_too", greet), MockTool::echo("echo")];
    Mock::start(Era::Modern, tools).await
}

/// A legacy server whose tools ask one thing, and three things one after the other.
async fn legacy_server() -> Mock {
    let visit = json!({
        "mode": "url", "message": "Look", "url": "https://a.example/", "elicitationId": "e-1",
    });
    let sample = json!({
        "messages": [{ "role": "user", "content": { "type": "text", "text": "Hi" } }],
        "maxTokens": 10,
    });
    let three = move || {
        vec![
            question("elicitation/create", visit.clone()),
            question("sampling/createMessage", sample.clone()),
            question("roots/list", json!({})),
        ]
    };
    let tools = vec![
        tool("ask", move |_| Reply::Ask(vec![question("elicitation/create", form("Who?"))])),
        tool("ask_too", |_| done("asked nothing")),
        tool("three", move |_| Reply::Ask(three())),
        MockTool::echo("echo"),
    ];
    Mock::start(Era::Legacy, tools).await
}

/// A client that can be asked everything.
fn able(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({
        "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {},
    });
    modern_params(params)
}

async fn call(client: &Client, tool: &str) -> Rpc {
    client.request("tools/call", able(json!({ "name": tool, "arguments": {} }))).await
}

/// The same request again, with this state and these responses.
async fn again(client: &Client, tool: &str, state: &str, responses: Value) -> Rpc {
    let params = json!({
        "name": tool, "arguments": {}, "requestState": state, "inputResponses": responses,
    });
    client.request("tools/call", able(params)).await
}

fn state(asked: &Rpc) -> &str {
    assert_eq!(asked.result()["resultType"], "input_required", "{asked:?}");
    asked.result()["requestState"].as_str().unwrap()
}

/// The only thing that is asked: its name, method and parameters.
fn only(asked: &Rpc) -> (&str, &str, &Value) {
    let requests = asked.result()["inputRequests"].as_object().unwrap();
    assert_eq!(requests.len(), 1, "{asked:?}");
    let (name, request) = requests.iter().next().unwrap();
    (name, request["method"].as_str().unwrap(), &request["params"])
}

fn accept(name: &str) -> Value {
    json!({ "action": "accept", "content": { "name": name } })
}

fn count(rows: &[Value], method: &str, status: &str) -> usize {
    rows.iter().filter(|row| row["method"] == method && row["status"] == status).count()
}

async fn given_up(mock: &Mock) {
    eventually("the cancellation upstream", || async {
        let told = mock.received();
        told.iter().any(|one| one.method() == "notifications/cancelled").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_modern_server_asks_a_modern_client() {
    let mock = modern_server().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let asked = call(&client, "greet").await;
    let (name, method, params) = only(&asked);
    assert_eq!((name, method), ("who", "elicitation/create"));
    assert_eq!(params["requestedSchema"], form("Who?")["requestedSchema"]);
    assert!(!asked.message.to_string().contains("the server's own"), "its state is sealed");

    let answered = again(&client, "greet", state(&asked), json!({ "who": accept("Ada") })).await;
    assert_eq!(answered.text(), "Ada by the server's own");
    let calls = mock.calls("greet");
    assert_eq!(calls.len(), 2);
    let can = &calls[0].message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert!(can["elicitation"]["form"].is_object() && can["roots"].is_object(), "{can}");
    let rows = gateway.audit().await;
    assert_eq!(count(&rows, "elicitation/create", "ok"), 1);
    let row = rows.iter().find(|row| row["method"] == "elicitation/create").unwrap();
    assert_eq!((&row["connector"], &row["vmcp"]), (&json!("up"), &json!("main")));

    // Without a state of ours the server decides, which may do without.
    let params = json!({ "name": "greet", "inputResponses": { "who": accept("Bo") } });
    let stateless = client.request("tools/call", able(params)).await;
    assert_eq!(stateless.text(), "Bo by none");
}

#[tokio::test]
async fn a_legacy_server_asks_a_modern_client_in_as_many_rounds_as_it_likes() {
    let mock = legacy_server().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let first = call(&client, "three").await;
    let (name, method, params) = only(&first);
    assert_eq!((method, params["mode"].as_str()), ("elicitation/create", Some("url")));
    assert_eq!(params.get("elicitationId"), None, "the modern era has none: {params}");

    let second = again(&client, "three", state(&first), json!({ name: { "action": "accept" } }));
    let second = second.await;
    let (name, method, params) = only(&second);
    assert_eq!((method, &params["maxTokens"]), ("sampling/createMessage", &json!(10)));
    let sampled = json!({ "role": "assistant", "content": { "type": "text", "text": "Ho" } });
    let third = again(&client, "three", state(&second), json!({ name: sampled })).await;
    let (name, method, _) = only(&third);
    assert_eq!(method, "roots/list");
    let last = again(&client, "three", state(&third), json!({ name: { "roots": [] } })).await;
    let answers: Value = serde_json::from_str(last.text()).unwrap();
    assert_eq!(answers, json!([{ "action": "accept" }, sampled, { "roots": [] }]));
    assert_eq!(mock.calls("three").len(), 1, "one call all along");

    let rows = gateway.audit().await;
    for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
        assert_eq!(count(&rows, method, "ok"), 1, "{method}");
    }
    let calls = rows.iter().filter(|row| row["method"] == "tools/call" && row["status"] == "ok");
    assert_eq!(calls.count(), 4, "each request has its row: {rows:#?}");
}

#[tokio::test]
async fn what_was_not_answered_is_asked_again() {
    let mock = legacy_server().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let mut asked = call(&client, "ask").await;
    for wrong in [json!({}), json!({ "other": accept("x") }), json!({ "question-1": "yes" })] {
        let same = again(&client, "ask", state(&asked), wrong.clone()).await;
        assert_eq!(only(&same).0, only(&asked).0, "{wrong}");
        assert_ne!(state(&same), state(&asked));
        let used = again(&client, "ask", state(&asked), json!({ "question-1": accept("x") }));
        assert_eq!(used.await.code(), INVALID_PARAMS, "a state is good for once");
        asked = same;
    }
    let responses = json!({ only(&asked).0: accept("Ada"), "other": 7 });
    let answered = again(&client, "ask", state(&asked), responses).await;
    assert_eq!(serde_json::from_str::<Value>(answered.text()).unwrap(), json!([accept("Ada")]));
    let replay = again(&client, "ask", state(&asked), json!({ "question-1": accept("x") })).await;
    assert_eq!(replay.code(), INVALID_PARAMS);
    assert_eq!(mock.calls("ask").len(), 1);
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_is_not() {
    let mock = legacy_server().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let answer = client.call("ask", json!({})).await;
    let errors: Value = serde_json::from_str(answer.text()).unwrap();
    assert_eq!(errors[0]["code"], -32601, "{errors}");
    assert_eq!(count(&gateway.audit().await, "elicitation/create", "ok"), 0);
}

#[tokio::test]
async fn no_byte_of_a_state_can_be_changed() {
    let mock = legacy_server().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let asked = call(&client, "ask").await;
    let good = state(&asked).to_owned();
    let responses = json!({ only(&asked).0: accept("Ada") });
    for place in 0..good.len() {
        let new = if good.as_bytes()[place] == b'A' { "B" } else { "A" };
        let mut changed = good.clone();
        changed.replace_range(place..=place, new);
        let refused = again(&client, "ask", &changed, responses.clone()).await;
        assert_eq!(refused.code(), INVALID_PARAMS, "character {place}");
    }
    let answered = again(&client, "ask", &good, responses).await;
    assert_eq!(serde_json::from_str::<Value>(answered.text()).unwrap(), json!([accept("Ada")]));
    assert_eq!(mock.calls("ask").len(), 1, "nothing of it went upstream");
}

#[tokio::test]
async fn a_state_is_of_one_person_one_place_and_one_request() {
    for (mock, own, other) in
        [(legacy_server().await, "ask", "ask_too"), (modern_server().await, "greet", "greet_too")]
    {
        let setup = Setup::simple(&mock).key("bob", &["staff"]).vmcp("side", &["up"]);
        let gateway = setup.start().await;
        let alice = gateway.client("alice", "main");
        let asked = call(&alice, own).await;
        let responses = json!({ only(&asked).0: accept("Ada") });
        let before = mock.calls(own).len() + mock.calls(other).len();
        let with = |tool: &str, arguments: Value| {
            let (state, responses) = (state(&asked), responses.clone());
            let params = json!({
                "name": tool, "arguments": arguments, "requestState": state,
                "inputResponses": responses,
            });
            able(params)
        };
        for (who, client, params) in [
            ("another person", gateway.client("bob", "main"), with(own, json!({}))),
            ("another virtual MCP", gateway.client("alice", "side"), with(own, json!({}))),
            ("another tool", alice.clone(), with(other, json!({}))),
            ("other arguments", alice.clone(), with(own, json!({ "a": 1 }))),
        ] {
            let refused = client.request("tools/call", params).await;
            assert_eq!(refused.code(), INVALID_PARAMS, "{who}");
        }
        let after = mock.calls(own).len() + mock.calls(other).len();
        assert_eq!(after, before, "none of it went upstream");
        let good = again(&alice, own, state(&asked), responses).await;
        assert!(good.text().contains("Ada"), "it is good all the while: {good:?}");
    }
}

#[tokio::test]
async fn a_state_is_good_once_whichever_server_asked() {
    let mock = modern_server().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let asked = call(&client, "greet").await;
    let first = again(&client, "greet", state(&asked), json!({ "who": accept("Ann") })).await;
    assert_eq!(first.text(), "Ann by the server's own");
    let met = mock.calls("greet").len();
    let second = again(&client, "greet", state(&asked), json!({ "who": accept("Bob") })).await;
    assert_eq!(second.code(), INVALID_PARAMS, "{second:?}");
    assert_eq!(mock.calls("greet").len(), met, "the server heard of it");
    // Another round has another state.
    let asked = call(&client, "greet").await;
    let third = again(&client, "greet", state(&asked), json!({ "who": accept("Cem") })).await;
    assert_eq!(third.text(), "Cem by the server's own");
}

#[tokio::test]
async fn a_repeated_request_is_judged_anew() {
    let mock = legacy_server().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let asked = call(&client, "ask").await;
    gateway.write(
        "policies/all.cedar",
        "permit (principal, action, resource) unless { action == Action::\"up/ask\" };",
    );
    eventually("the policy to be in force", || async {
        let names = client.tool_names().await;
        (!names.contains(&"ask".to_owned())).then_some(())
    })
    .await;
    let responses = json!({ only(&asked).0: accept("Ada") });
    let refused = again(&client, "ask", state(&asked), responses.clone()).await;
    assert!(refused.message.get("error").is_some() || refused.is_tool_error(), "{refused:?}");
    assert_eq!(answers(&mock), 0, "the server hears nothing of it");

    gateway.write("policies/all.cedar", "permit (principal, action, resource);");
    eventually("the policy to be gone", || async {
        client.tool_names().await.contains(&"ask".to_owned()).then_some(())
    })
    .await;
    let answered = again(&client, "ask", state(&asked), responses).await;
    assert_eq!(serde_json::from_str::<Value>(answered.text()).unwrap(), json!([accept("Ada")]));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_parked_call_alone_and_ends_a_running_one() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let ask = || question("elicitation/create", form("Who?"));
    let tools = vec![
        tool("ask", move |_| Reply::Ask(vec![ask()])),
        // The gate never opens: after its question this call runs until it is cancelled.
        tool("stuck", move |_| Reply::StreamUntil(vec![ask()], Arc::clone(&held), json!({}))),
    ];
    let mock = Mock::start(Era::Legacy, tools).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");

    // Every request of these tests has a connection of its own, gone with its answer.
    let parked = call(&client, "ask").await;
    let running = call(&client, "stuck").await;
    let params = json!({
        "name": "stuck", "arguments": {}, "requestState": state(&running),
        "inputResponses": { only(&running).0: accept("Ada") },
    });
    let task = tokio::spawn({
        let client = client.clone();
        async move { client.request("tools/call", able(params)).await }
    });
    eventually("the answer upstream", || async { (answers(&mock) == 1).then_some(()) }).await;
    task.abort();
    given_up(&mock).await;
    let twice = again(&client, "stuck", state(&running), json!({})).await;
    assert_eq!(twice.code(), INVALID_PARAMS);

    let responses = json!({ only(&parked).0: accept("Ada") });
    let answered = again(&client, "ask", state(&parked), responses).await;
    assert_eq!(serde_json::from_str::<Value>(answered.text()).unwrap(), json!([accept("Ada")]));
}

#[tokio::test]
async fn a_question_that_its_client_cannot_be_asked_is_no_answer_on_record_either() {
    let mock = modern_server().await;
    let gateway = Setup::simple(&mock).start().await;
    let params = modern_params(json!({ "name": "greet", "arguments": {} }));
    let refused = gateway.client("alice", "main").request("tools/call", params).await;
    let code = &refused.result()["_meta"]["tidegate/refusal"]["code"];
    assert_eq!(code, "connector_protocol", "{refused:?}");
    let rows = gateway.audit().await;
    assert_eq!(count(&rows, "tools/call", "refused"), 1, "{rows:#?}");
    assert_eq!(count(&rows, "tools/call", "input_required"), 0, "{rows:#?}");
    assert_eq!(count(&rows, "elicitation/create", "ok"), 0, "{rows:#?}");
}

#[tokio::test]
async fn a_stopping_gateway_waits_for_nobody_who_cannot_come_back() {
    let mock = legacy_server().await;
    let gateway = Setup::simple(&mock).settings("[limits]\ndrain_seconds = 300").start().await;
    let asked = call(&gateway.client("alice", "main"), "ask").await;
    state(&asked);
    // Far less than the drain, or the test runs into its patience.
    let (ended, setup) = tokio::time::timeout(Duration::from_secs(60), gateway.stop())
        .await
        .expect("a parked call holds up the end");
    assert!(ended);
    let output = setup.cli(&["audit", "tail", "--json"]).await;
    let rows: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(count(&rows, "tools/call", "abandoned"), 1, "{rows:#?}");
    let row = rows.iter().find(|row| row["status"] == "abandoned").unwrap();
    assert_eq!(row["code"], "cancelled");
}

#[tokio::test]
async fn a_demand_for_urls_becomes_a_question() {
    let entry = json!({
        "mode": "url", "url": "https://a.example/in", "message": "Sign in", "elicitationId": "e",
    });
    let error = json!({
        "code": -32042, "message": "sign in first", "data": { "elicitations": [entry] },
    });
    let tried = AtomicUsize::new(0);
    let tools = vec![tool("fetch", move |_| match tried.fetch_add(1, Ordering::SeqCst) {
        0..3 => Reply::Error(error.clone()),
        _ => done("fetched"),
    })];
    let mock = Mock::start(Era::Legacy, tools).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");

    let plain = client.call("fetch", json!({})).await;
    assert_eq!(plain.text(), "sign in first", "a client without URLs gets the error");
    let asked = call(&client, "fetch").await;
    let (name, method, params) = only(&asked);
    assert_eq!(method, "elicitation/create");
    let expected = json!({ "mode": "url", "message": "Sign in", "url": "https://a.example/in" });
    assert_eq!(params, &expected);
    let declined = again(&client, "fetch", state(&asked), json!({ name: { "action": "decline" } }));
    let declined = declined.await;
    assert!(declined.is_tool_error() && declined.text() == "sign in first", "{declined:?}");
    assert_eq!(mock.calls("fetch").len(), 2);

    let accepted = || json!({ name: { "action": "accept" } });
    let more = again(&client, "fetch", state(&asked), accepted()).await;
    let last = again(&client, "fetch", state(&more), accepted()).await;
    assert_eq!(last.text(), "fetched");
}

#[tokio::test]
async fn a_client_without_events_is_asked_as_well() {
    let mock = legacy_server().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let params = able(json!({ "name": "ask", "arguments": {} }));
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let mut headers = Client::modern_headers("tools/call", &params);
    headers.push(("accept", "application/json"));
    let asked = client.send(hyper::Method::POST, &headers, body.to_string()).await.rpc();
    assert_eq!(only(&asked).1, "elicitation/create");
}

#[tokio::test]
async fn one_person_has_sixteen_calls_waiting_and_no_more() {
    let mock = legacy_server().await;
    let gateway = Setup::simple(&mock).key("bob", &["staff"]).start().await;
    let alice = gateway.client("alice", "main");
    let parked = futures_util::future::join_all((0..16).map(|_| call(&alice, "ask"))).await;
    let one_more = call(&alice, "ask").await;
    assert!(one_more.text().contains("too many calls wait"), "{one_more:?}");
    state(&call(&gateway.client("bob", "main"), "ask").await);
    for asked in &parked[..2] {
        let responses = json!({ only(asked).0: accept("Ada") });
        again(&alice, "ask", state(asked), responses).await.result();
    }
    state(&call(&alice, "ask").await);
}

#[tokio::test]
async fn the_stream_of_a_request_holds_what_it_asked_for() {
    let note = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "method": method, "params": params });
    let line = |level: &str| note("notifications/message", json!({ "level": level, "data": "x" }));
    let notes = vec![
        note("notifications/elicitation/complete", json!({ "elicitationId": "e" })),
        note("notifications/tools/list_changed", json!({})),
        note("notifications/prompts/list_changed", json!({})),
        note("notifications/resources/updated", json!({ "uri": "doc://a" })),
        note("notifications/cancelled", json!({ "requestId": 1 })),
        line("debug"),
        line("error"),
        note("notifications/com.example/own", json!({ "y": 2 })),
    ];
    let result = json!({ "content": [{ "type": "text", "text": "done" }] });
    let mock = Mock::start(
        Era::Legacy,
        vec![tool("chat", move |_| Reply::Stream(notes.clone(), result.clone()))],
    )
    .await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let quiet = client.call("chat", json!({})).await;
    assert_eq!(quiet.text(), "done");
    let methods = |rpc: &Rpc| {
        let method = |one: &Value| one["method"].as_str().unwrap().to_owned();
        rpc.before.iter().map(method).collect::<Vec<_>>()
    };
    assert_eq!(methods(&quiet), ["notifications/com.example/own"]);
    let meta = json!({ "io.modelcontextprotocol/logLevel": "warning" });
    let loud = able(json!({ "name": "chat", "_meta": meta }));
    let loud = client.request("tools/call", loud).await;
    assert_eq!(methods(&loud), ["notifications/message", "notifications/com.example/own"]);
    assert_eq!(loud.before[0]["params"]["level"], "error");
}

/// Held to what it says of itself: a call per person, none of another's.
#[tokio::test]
async fn answers_reach_the_call_that_asked() {
    let mock = legacy_server().await;
    let gateway = Setup::simple(&mock).key("bob", &["staff"]).start().await;
    let (alice, bob) = (gateway.client("alice", "main"), gateway.client("bob", "main"));
    let ask = |gateway: &TestGateway, who: &str| {
        let client = gateway.client(who, "main");
        async move { call(&client, "three").await }
    };
    let (hers, his) = (ask(&gateway, "alice").await, ask(&gateway, "bob").await);
    let say = |action: &str| json!({ only(&hers).0: { "action": action } });
    let his = again(&bob, "three", state(&his), say("decline")).await;
    let hers = again(&alice, "three", state(&hers), say("accept")).await;
    assert_eq!(only(&his).1, "sampling/createMessage");
    assert_eq!(only(&hers).1, "sampling/createMessage");
}
