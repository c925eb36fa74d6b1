//! Upstreams that misbehave: what the caller is told, and that nobody else notices.

use std::sync::Arc;

use futures_util::future::{Either, select};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{Client, Era, Mock, MockTool, Reply, Rpc, Setup, TestGateway, eventually};

fn code(answer: &Rpc) -> &str {
    let code = answer.message.pointer("/result/_meta/tidegate~1refusal/code");
    code.and_then(Value::as_str).unwrap_or("none")
}

fn done(text: &str) -> Value {
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
}

/// `bad` with one tool that answers so, and `good` beside it.
struct Pair {
    bad: Mock,
    good: Mock,
    gateway: TestGateway,
}

async fn pair(bad: MockTool, limits: &str) -> Pair {
    let bad = Mock::start(Era::Modern, vec![bad]).await;
    let good = Mock::start(Era::Modern, vec![MockTool::echo("good")]).await;
    let gateway = Setup::new()
        .remote("bad", &bad, limits)
        .remote("good", &good, "")
        .vmcp("main", &["bad", "good"])
        .key("alice", &[])
        .policy("all", "permit (principal, action, resource);")
        .settings("[limits]\ncall_ms = 2000")
        .start()
        .await;
    Pair { bad, good, gateway }
}

impl Pair {
    fn client(&self) -> Client {
        self.gateway.client("alice", "main")
    }

    async fn check_good(&self, what: &str) {
        let answer = self.client().call("good", json!({ "message": "hi" })).await;
        assert_eq!(answer.text(), r#"{"message":"hi"}"#, "{what}");
    }
}

/// A tool that answers with this text around the request's id (where the text says `ID`).
fn raw(status: u16, kind: &'static str, body: &str) -> MockTool {
    let body = body.to_owned();
    let definition = json!({ "name": "bad", "inputSchema": { "type": "object" } });
    MockTool::new(definition, move |received| {
        let id = received.message["id"].to_string();
        Reply::Raw(status, kind, body.replace("ID", &id).into())
    })
}

fn json_body(members: &str) -> MockTool {
    raw(200, "application/json", &format!(r#"{{"jsonrpc":"2.0","id":ID,{members}}}"#))
}

fn misdeeds() -> Vec<(&'static str, MockTool, &'static str)> {
    let answering = |reply| MockTool::answering("bad", reply);
    let deep = format!(r#""result":{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let half = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n";
    vec![
        ("hangs", answering(Reply::Hang), "deadline_exceeded"),
        ("resets", answering(Reply::Reset), "connector_unavailable"),
        ("no JSON", raw(200, "application/json", "hello"), "connector_protocol"),
        ("an empty object", raw(200, "application/json", "{}"), "connector_protocol"),
        ("nothing", raw(200, "application/json", ""), "connector_protocol"),
        ("a page", raw(200, "text/html", "<html>canary-page</html>"), "connector_protocol"),
        (
            "another id",
            raw(200, "application/json", r#"{"jsonrpc":"2.0","id":"other","result":{}}"#),
            "connector_protocol",
        ),
        ("a key twice", json_body(r#""result":{"a":1,"a":2}"#), "connector_protocol"),
        ("nesting", json_body(&deep), "connector_protocol"),
        (
            "a result and an error",
            json_body(r#""result":{},"error":{"code":1,"message":"m"}"#),
            "connector_protocol",
        ),
        ("a result that is a number", json_body(r#""result":7"#), "connector_protocol"),
        ("a stream that ends early", raw(200, "text/event-stream", half), "connector_unavailable"),
        (
            "a stream of nonsense",
            raw(200, "text/event-stream", "data: {\n\n"),
            "connector_protocol",
        ),
        ("500", raw(500, "text/plain", "canary-page"), "connector_unavailable"),
        ("401", raw(401, "text/plain", "canary-page"), "connector_unavailable"),
        ("302", raw(302, "text/plain", "canary-page"), "connector_unavailable"),
    ]
}

#[tokio::test]
async fn each_misdeed_has_its_code_and_stays_with_its_connector() {
    for (what, tool, expected) in misdeeds() {
        let pair = pair(tool, "").await;
        let answer = pair.client().call("bad", json!({})).await;
        assert_eq!(code(&answer), expected, "{what}: {answer:?}");
        assert!(answer.text().contains("`bad`") || what == "hangs", "{what}: {answer:?}");
        assert!(!answer.message.to_string().contains("canary-page"), "{what}: {answer:?}");
        assert_eq!(pair.bad.calls("bad").len(), 1, "{what}: a call was repeated");
        pair.check_good(what).await;
        let rows = pair.gateway.audit().await;
        let row = rows.iter().rfind(|row| row["tool"] == "bad").unwrap();
        assert_eq!((&row["status"], &row["code"]), (&json!("refused"), &json!(expected)), "{what}");
    }
}

#[tokio::test]
async fn what_an_upstream_says_is_passed_on_even_when_it_is_large_or_an_error() {
    let large = "x".repeat(10 << 20);
    let pair = pair(MockTool::answering("bad", Reply::Text(large.clone())), "").await;
    assert_eq!(pair.client().call("bad", json!({})).await.text().len(), large.len());
    let answers: [(Reply, &str); 2] = [
        (Reply::Error(json!({ "code": -32042, "message": "own words", "data": [1] })), "own words"),
        (
            Reply::Result(
                json!({ "resultType": "complete", "isError": true, "content": [{ "type": "text", "text": "no such file" }] }),
            ),
            "no such file",
        ),
    ];
    for (reply, text) in answers {
        pair.bad.set_tools(vec![MockTool::answering("bad", reply)]);
        let answer = pair.client().call("bad", json!({})).await;
        assert_eq!((answer.text(), code(&answer)), (text, "none"));
    }
    let error = pair.client().call("bad", json!({})).await;
    assert!(error.is_tool_error());
    let rows = pair.gateway.audit().await;
    let statuses: Vec<_> = rows.iter().filter_map(|row| row["status"].as_str()).collect();
    assert_eq!(statuses, ["ok", "upstream_error", "tool_error", "tool_error"]);
}

#[tokio::test]
async fn an_answer_larger_than_allowed_is_cut_off() {
    let pair = pair(
        MockTool::answering("bad", Reply::Text("x".repeat(3 << 20))),
        "[limits]\nanswer = 2097152",
    )
    .await;
    let answer = pair.client().call("bad", json!({})).await;
    assert_eq!(code(&answer), "connector_protocol", "{answer:?}");
    assert!(answer.text().contains("larger than 2 MiB"), "{answer:?}");
    pair.check_good("a large answer").await;
}

#[tokio::test]
async fn a_connector_may_have_less_patience_than_the_gateway() {
    let pair = pair(MockTool::answering("bad", Reply::Hang), "[limits]\ntimeout_ms = 200").await;
    let answer = pair.client().call("bad", json!({})).await;
    assert_eq!(code(&answer), "deadline_exceeded", "{answer:?}");
    assert!(answer.text().contains("`bad` did not answer in time"), "{answer:?}");
    eventually("the upstream to be told", || async { (pair.bad.abandoned() > 0).then_some(()) })
        .await;
    pair.check_good("a short patience").await;
}

#[tokio::test]
async fn a_connector_that_keeps_failing_is_left_alone_and_comes_back() {
    let pair = pair(MockTool::answering("bad", Reply::Reset), "").await;
    let client = pair.client();
    eventually("the breaker to open", || async {
        let answer = client.call("bad", json!({})).await;
        answer.text().contains("unavailable after repeated failures").then_some(())
    })
    .await;
    let asked = pair.bad.calls("bad").len();
    assert_eq!(code(&client.call("bad", json!({})).await), "connector_unavailable");
    assert_eq!(pair.bad.calls("bad").len(), asked, "an open breaker lets calls through");
    assert_eq!(client.tool_names().await, ["bad", "good"]);
    pair.check_good("an open breaker").await;
    pair.bad.set_tools(vec![MockTool::answering("bad", Reply::Result(done("back")))]);
    eventually("the connector to come back", || async {
        (code(&client.call("bad", json!({})).await) == "none").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connector_that_is_gone_keeps_its_tools_listed_and_recovers() {
    let mock = Mock::start(Era::Legacy, vec![MockTool::echo("echo")]).await;
    let address = mock.address;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    client.call("echo", json!({})).await.result();
    drop(mock);
    let answer = client.call("echo", json!({})).await;
    assert_eq!(code(&answer), "connector_unavailable", "{answer:?}");
    assert_eq!(client.tool_names().await, ["echo"]);

    // Also over a restart: what is on record is served while the connector is still down.
    let (ended, setup) = gateway.stop().await;
    assert!(ended, "the gateway did not end well");
    let gateway = setup.start().await;
    let client = gateway.client("alice", "main");
    assert_eq!(client.tool_names().await, ["echo"]);
    assert_eq!(code(&client.call("echo", json!({})).await), "connector_unavailable");

    let _mock = Mock::start_at(address, Era::Legacy, vec![MockTool::echo("echo")]).await;
    eventually("the connector to recover", || async {
        (code(&client.call("echo", json!({})).await) == "none").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_slow_connector_has_a_cap_and_a_queue_of_its_own() {
    let go_on = Arc::new(Notify::new());
    let slow = MockTool::answering("bad", Reply::After(Arc::clone(&go_on), done("at last")));
    let pair = pair(slow, "[limits]\nconcurrency = 1\nqueue = 1").await;
    let call = || {
        let client = pair.client();
        tokio::spawn(async move { client.call("bad", json!({})).await })
    };
    let first = call();
    eventually("the first call", || async { (pair.bad.calls("bad").len() == 1).then_some(()) })
        .await;
    // Of two more, one waits and one is turned away; nobody else notices.
    let (refused, waiting) = match select(call(), call()).await {
        Either::Left((answer, other)) | Either::Right((answer, other)) => (answer.unwrap(), other),
    };
    assert_eq!(code(&refused), "connector_busy", "{refused:?}");
    pair.check_good("a full queue").await;
    go_on.notify_one();
    assert_eq!(first.await.unwrap().text(), "at last");
    eventually("the next call", || async { (pair.bad.calls("bad").len() == 2).then_some(()) })
        .await;
    go_on.notify_one();
    assert_eq!(waiting.await.unwrap().text(), "at last");
    assert_eq!(pair.good.calls("good").len(), 1);
}

#[tokio::test]
async fn tools_that_change_under_a_session_are_taken_over() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("old"), MockTool::echo("both")]).await;
    let gateway = Setup::simple(&mock).start().await;
    let session = gateway.client("alice", "main").session("2025-11-25").await;
    assert_eq!(session.tool_names().await, ["old", "both"]);
    mock.set_tools(vec![MockTool::echo("both"), MockTool::echo("new")]);
    // Not noticed yet: the upstream itself says that the tool is gone.
    assert_eq!(session.call("old", json!({})).await.code(), -32602);
    assert_eq!(session.call("both", json!({})).await.text(), "{}");
    let url = mock.url();
    gateway.write(
        "connectors/up.toml",
        &format!(
            "kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n[limits]\nqueue = 7\n"
        ),
    );
    eventually("the new tools", || async {
        (session.tool_names().await == ["both", "new"]).then_some(())
    })
    .await;
    assert_eq!(session.call("new", json!({})).await.text(), "{}");
    assert_eq!(session.call("old", json!({})).await.code(), -32602);
}

#[tokio::test]
async fn programs_that_are_none_take_nothing_down() {
    let good = Mock::start(Era::Modern, vec![MockTool::echo("good")]).await;
    let hosted = |command: &str| format!("kind = \"hosted\"\ncommand = {command:?}\n");
    let gateway = Setup::new()
        .file("connectors/missing.toml", &hosted("/nonexistent/program"))
        .file("connectors/ends.toml", &hosted("true"))
        .file("connectors/chatter.toml", &hosted("env"))
        .remote("good", &good, "")
        .vmcp("main", &["missing", "ends", "chatter", "good"])
        .key("alice", &[])
        .policy("all", "permit (principal, action, resource);")
        .start()
        .await;
    let client = gateway.client("alice", "main");
    assert_eq!(client.tool_names().await, ["good"]);
    assert_eq!(client.call("good", json!({})).await.text(), "{}");
    let output = gateway.cli(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(&output.stdout).unwrap();
    for connector in status["connectors"].as_array().unwrap() {
        let is_good = connector["id"] == "good";
        assert_eq!(connector["error"].is_null(), is_good, "{connector}");
    }
}

/// Each hop has a `_meta` of its own; what a server says of its own ends at the gateway.
#[tokio::test]
async fn what_a_server_says_of_its_own_hop_stays_behind() {
    let result = json!({
        "resultType": "complete",
        "content": [],
        "_meta": {
            "io.modelcontextprotocol/serverInfo": { "name": "theirs", "version": "1" },
            "io.modelcontextprotocol/subscriptionId": 7,
            "vendor.example/kept": [1.5],
        },
    });
    for theirs in [Era::Modern, Era::Legacy] {
        let result = result.clone();
        let definition = json!({ "name": "odd", "inputSchema": { "type": "object" } });
        let odd = MockTool::new(definition, move |_| Reply::Result(result.clone()));
        let mock = Mock::start(theirs, vec![odd]).await;
        let gateway = Setup::simple(&mock).start().await;
        let client = gateway.client("alice", "main");
        let modern = client.call("odd", json!({})).await;
        let legacy = client.session("2025-11-25").await.call("odd", json!({})).await;
        for answer in [modern, legacy] {
            let kept = json!({ "vendor.example/kept": [1.5] });
            assert_eq!(answer.result()["_meta"], kept, "{theirs:?}: {answer:?}");
        }
    }
}
