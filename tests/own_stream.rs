//! The stream of a legacy session that belongs to no request.
//!
//! Owns who gets one, what is told on it, and how it ends. Resuming a stream by event id is
//! `resuming`'s; the same news for modern clients are `listening`'s.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{
    Era, EventStream, Mock, MockTool, Reply, Session, Setup, TestGateway, eventually,
};

const TOOLS: &str = "notifications/tools/list_changed";

fn tools(names: &[&str]) -> Vec<MockTool> {
    names.iter().map(|name| MockTool::echo(name)).collect()
}

async fn start() -> (Mock, TestGateway) {
    let mock = Mock::start(Era::Modern, tools(&["a", "b", "c"])).await;
    let gateway = Setup::simple(&mock).key("bob", &["staff"]).start().await;
    (mock, gateway)
}

/// Publishes only these tools from now on.
fn publish(gateway: &TestGateway, names: &[&str]) {
    let only: Vec<_> = names.iter().map(|name| format!("up/{name}")).collect();
    let text = format!("title = \"main\"\nconnectors = [\"up\"]\nonly = {only:?}\n");
    gateway.write("vmcps/main.toml", &text);
}

async fn lists(session: &Session, names: &[&str]) {
    eventually(&format!("the list {names:?}"), || async {
        (session.tool_names().await == names).then_some(())
    })
    .await;
}

async fn next(stream: &mut EventStream) -> Value {
    stream.next().await.unwrap_or_else(|| panic!("the stream has ended"))
}

#[tokio::test]
async fn a_changed_list_is_told_in_every_revision() {
    let (_mock, gateway) = start().await;
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        publish(&gateway, &["a", "b", "c"]);
        let session = gateway.client("alice", "main").session(revision).await;
        lists(&session, &["a", "b", "c"]).await;
        let mut stream = session.listen(None).await;
        assert_eq!(stream.status, 200, "{revision}");
        assert_eq!(stream.headers["content-type"], "text/event-stream");
        if revision == "2025-11-25" {
            let first = stream.next_event().await.unwrap();
            assert!(first.message.is_none() && first.id.is_some(), "{first:?}");
        }
        publish(&gateway, &["a", "b"]);
        assert_eq!(next(&mut stream).await, json!({ "jsonrpc": "2.0", "method": TOOLS }));
        assert!(stream.last.is_some(), "{revision}: no id");
        assert_eq!(session.tool_names().await, ["a", "b"], "{revision}: told too early");
    }
}

#[tokio::test]
async fn there_is_one_and_what_was_missed_comes_later() {
    let (_mock, gateway) = start().await;
    let session = gateway.client("alice", "main").session("2025-11-25").await;
    lists(&session, &["a", "b", "c"]).await;
    let mut first = session.listen(None).await;
    assert!(first.next_event().await.unwrap().message.is_none());
    let mut second = session.listen(None).await;
    assert_eq!(first.next().await, None, "a later one takes over");
    publish(&gateway, &["a", "b"]);
    assert_eq!(next(&mut second).await["method"], TOOLS);
    let last = second.last.clone().unwrap();
    drop(second);

    // While nobody listens.
    publish(&gateway, &["a"]);
    lists(&session, &["a"]).await;
    let mut third = session.listen(Some(&last)).await;
    assert_eq!(next(&mut third).await["method"], TOOLS);
    let seen = third.last.clone().unwrap();
    // What was sent is sent again to who says that it did not arrive, and goes on live.
    let mut fourth = session.listen(Some(&last)).await;
    assert_eq!(next(&mut fourth).await["method"], TOOLS);
    assert_eq!(fourth.last.as_deref(), Some(seen.as_str()));
    publish(&gateway, &["b"]);
    assert_eq!(next(&mut fourth).await["method"], TOOLS);
    assert_ne!(fourth.last.as_deref(), Some(seen.as_str()));
}

#[tokio::test]
async fn who_may_not_have_it_gets_none() {
    let (_mock, gateway) = start().await;
    let alice = gateway.client("alice", "main");
    let session = alice.session("2025-11-25").await;
    let id = session.id.clone().unwrap();
    let mine = ("mcp-session-id", id.as_str());
    let table = [
        ("alice", vec![], 405),
        ("alice", vec![mine, ("accept", "application/json")], 406),
        ("alice", vec![mine, ("mcp-protocol-version", "2026-07-28")], 400),
        ("alice", vec![mine, ("last-event-id", "")], 400),
        ("alice", vec![("mcp-session-id", "AAAAAAAAAAAAAAAAAAAAAA")], 404),
        ("alice", vec![("mcp-session-id", "not visible ascii")], 400),
        ("bob", vec![mine], 404),
    ];
    for (who, headers, status) in table {
        let answer = gateway.client(who, "main").send(Method::GET, &headers, "").await;
        assert_eq!(answer.status, status, "{who} {headers:?}: {answer:?}");
    }
    let nobody = gateway.anonymous("main").send(Method::GET, &[mine], "").await;
    assert_eq!(nobody.status, 401);
    assert_eq!(session.listen(None).await.status, 200);
}

#[tokio::test]
async fn it_ends_with_the_session_the_right_and_the_process() {
    let (_mock, gateway) = start().await;
    let alice = gateway.client("alice", "main").session("2025-11-25").await;
    let mut stream = alice.listen(None).await;
    stream.next_event().await.unwrap();
    assert!(alice.close().await.status.is_success());
    assert_eq!(stream.next().await, None);
    assert_eq!(alice.listen(stream.last.as_deref()).await.status, 404);

    let bob = gateway.client("bob", "main").session("2025-06-18").await;
    let mut stream = bob.listen(None).await;
    gateway.remove("keys/bob.toml");
    assert_eq!(stream.next().await, None, "the key is gone");
    assert_eq!(bob.listen(None).await.status, 401);

    let alice = gateway.client("alice", "main").session("2025-11-25").await;
    let mut stream = alice.listen(None).await;
    stream.next_event().await.unwrap();
    gateway.terminate();
    assert_eq!(stream.next().await, None, "the gateway stops");
    let (good, _) = gateway.ended().await;
    assert!(good, "nothing held the gateway up");
}

#[tokio::test]
async fn resources_are_followed_by_who_may_read_them() {
    for era in [Era::Legacy, Era::Modern] {
        let mock = Mock::start(era, tools(&["a"])).await;
        mock.set_resources(&["test://one", "test://two", "test://secret"]);
        let setup = Setup::new()
            .remote("up", &mock, "")
            .vmcp("main", &["up"])
            .key("alice", &["staff"])
            .key("bob", &["staff"])
            .policy(
                "all",
                "permit (principal, action, resource);\n\
                 forbid (principal, action == Action::\"read_resource\", resource)\n\
                 when { [\"test://secret\", \"test://absent\"].contains(resource.uri) };",
            );
        let gateway = setup.start().await;
        let session = gateway.client("alice", "main").session("2025-11-25").await;
        eventually("the resources", || async {
            let list = session.request("resources/list", json!({})).await;
            let count = list.message["result"]["resources"].as_array().map(Vec::len);
            (count == Some(2)).then_some(())
        })
        .await;
        let bob = gateway.client("bob", "main").session("2025-11-25").await;
        let (mut stream, mut of_bob) = (session.listen(None).await, bob.listen(None).await);
        stream.next_event().await.unwrap();
        of_bob.next_event().await.unwrap();

        let subscribe = |uri: &str| session.request("resources/subscribe", json!({ "uri": uri }));
        for uri in ["test://one", "test://two", "test://one"] {
            assert_eq!(subscribe(uri).await.result(), &json!({}), "{era:?} {uri}");
        }
        let refused = [subscribe("test://secret").await, subscribe("test://absent").await];
        for answer in &refused {
            assert_eq!(answer.code(), -32602, "{era:?}: {answer:?}");
        }
        let words = refused.map(|one| one.text().replace("secret", "").replace("absent", ""));
        assert_eq!(words[0], words[1], "{era:?}: hidden and missing look the same");
        let two = json!({ "uri": "test://two" });
        assert_eq!(
            session.request("resources/unsubscribe", two.clone()).await.result(),
            &json!({})
        );
        assert_eq!(session.request("resources/unsubscribe", two).await.result(), &json!({}));

        eventually(&format!("{era:?}: the subscription upstream"), || async {
            let told = |one: &str| json!({ "uri": one });
            for uri in ["test://secret", "test://two", "test://one"] {
                mock.tell("notifications/resources/updated", told(uri));
            }
            let received = mock.received();
            let followed = received.iter().any(|one| match era {
                Era::Legacy => one.method() == "resources/subscribe",
                _ => {
                    let filter = &one.message["params"]["notifications"];
                    filter["resourceSubscriptions"] == json!(["test://one"])
                }
            });
            followed.then_some(())
        })
        .await;
        mock.tell("notifications/resources/updated", json!({ "uri": "test://one", "x": 1 }));
        loop {
            let told = next(&mut stream).await;
            assert_eq!(told["method"], "notifications/resources/updated", "{era:?}: {told}");
            assert_eq!(told["params"]["uri"], "test://one", "{era:?}: {told}");
            assert!(!told.to_string().contains("subscriptionId"), "{era:?}: {told}");
            if told["params"]["x"] == 1 {
                break;
            }
        }
        // Bob subscribed to nothing: the first thing he hears is the end.
        assert!(bob.close().await.status.is_success());
        assert_eq!(of_bob.next().await, None, "{era:?}");
    }
}

#[tokio::test]
async fn a_task_is_told_of_to_who_has_it() {
    let definition = json!({
        "name": "long",
        "inputSchema": { "type": "object" },
        "execution": { "taskSupport": "optional" },
    });
    let state = |status: &str| {
        let at = "2026-01-01T00:00:00Z";
        json!({ "taskId": "their-own", "status": status, "createdAt": at, "lastUpdatedAt": at,
            "ttl": 60_000 })
    };
    let long =
        MockTool::new(definition, move |_| Reply::Result(json!({ "task": state("working") })));
    let mock = Mock::start(Era::Legacy, vec![long]).await;
    let gateway = Setup::simple(&mock).key("bob", &["staff"]).start().await;
    let session = gateway.client("alice", "main").session("2025-11-25").await;
    let bob = gateway.client("bob", "main").session("2025-11-25").await;
    let (mut stream, mut of_bob) = (session.listen(None).await, bob.listen(None).await);
    let params = json!({ "name": "long", "arguments": {}, "task": { "ttl": 60_000 } });
    let created = session.request("tools/call", params).await;
    let published = created.result()["task"]["taskId"].as_str().unwrap().to_owned();
    assert_ne!(published, "their-own");
    eventually("somebody who listens upstream", || async {
        (mock.tell("notifications/tasks/status", state("working")) > 0).then_some(())
    })
    .await;
    mock.tell("notifications/tasks/status", state("completed"));
    let mut states = Vec::new();
    while states.last().is_none_or(|last| last != "completed") {
        let told = next(&mut stream).await;
        assert_eq!(told["method"], "notifications/tasks/status", "{told}");
        assert_eq!(told["params"]["taskId"], published, "{told}");
        assert!(!told.to_string().contains("their-own"), "{told}");
        states.push(told["params"]["status"].clone());
    }
    // It is over: nothing more is told of it, and nothing of it to anybody else.
    mock.tell("notifications/tasks/status", state("failed"));
    for (session, stream) in [(&session, &mut stream), (&bob, &mut of_bob)] {
        assert!(session.close().await.status.is_success());
        assert_eq!(stream.next().await, None);
    }
}
