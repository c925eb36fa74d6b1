//! What goes through and comes back, in both eras.

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

use crate::machine::{Events, call, delete, get, machine, modern, post, text};

#[tokio::test]
async fn concurrent_calls_keep_their_ids_apart() {
    let machine = machine(&["modern"], &[]);
    // The same id from everybody, and ids of both kinds.
    let ids = (0..100).map(|n| if n % 2 == 0 { json!(7) } else { json!(format!("a\"{n}")) });
    let calls = ids.enumerate().map(|(n, id)| {
        let machine = &machine;
        async move {
            let params = json!({"name": "echo", "arguments": {"n": n}});
            let answer = machine.send(modern(&id, "tools/call", params)).await.json().await;
            assert_eq!(answer["id"], id);
            assert_eq!(text(&answer), json!({"n": n}));
        }
    });
    join_all(calls).await;
    // Answers come in another order than requests.
    let held = (0..5).map(|n| machine.send(call(n, "hold", json!({}))));
    let release = async {
        machine.until(|health| health["under_way"] == 5).await;
        machine.called(call(9, "release", json!({}))).await
    };
    let (held, released) = futures_util::join!(join_all(held), release);
    assert_eq!(released, 5);
    for (n, reply) in held.into_iter().enumerate() {
        let answer = reply.json().await;
        assert_eq!((&answer["id"], text(&answer)), (&json!(n), json!("released")));
    }
    assert_eq!(machine.health().await["starts"], 1);
}

#[tokio::test]
async fn what_is_sent_is_what_the_child_reads() {
    let machine = machine(&["modern"], &[]);
    let params = json!({"name": "message", "arguments": {"a": 1.50, "big": "é\u{1f600}\n"},
        "_meta": {"vendor/x": [1, {"y": null}]}});
    let read = machine.called(modern(&json!("c"), "tools/call", params.clone())).await;
    assert_eq!(read["params"]["arguments"], params["arguments"]);
    assert_eq!(read["params"]["_meta"]["vendor/x"], params["_meta"]["vendor/x"]);
    assert_eq!(read["method"], "tools/call");
    assert!(read["id"].is_u64());
}

#[tokio::test]
async fn errors_have_the_status_of_their_era() {
    let machine = machine(&["modern"], &[]);
    let reply = machine.send(modern(&json!(1), "no/such", json!({}))).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.json().await["error"]["code"], -32601);
    let legacy = self::machine(&["legacy"], &[]);
    let session = legacy.session(json!({}), None).await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "no/such"});
    let reply = legacy.send(post(&message).with("mcp-session-id", &session)).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json().await["error"]["code"], -32601);
    // The probe of a gateway that does not know the era yet.
    let reply = legacy.send(modern(&json!(1), "server/discover", json!({}))).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_no_message_is_refused_before_the_child_sees_it() {
    let machine = machine(&["modern"], &["--request-limit", "4096"]);
    let body = |body: &str| {
        let mut sending = post(&json!({}));
        sending.body = body.to_owned().into();
        sending
    };
    let response = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    let plain = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for (sending, expected) in [
        (body("{"), StatusCode::BAD_REQUEST),
        (body("[]"), StatusCode::BAD_REQUEST),
        (body(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#), StatusCode::BAD_REQUEST),
        (body(&"x".repeat(5_000)), StatusCode::PAYLOAD_TOO_LARGE),
        (post(&response), StatusCode::BAD_REQUEST),
        (post(&plain), StatusCode::BAD_REQUEST),
        (post(&plain).with("mcp-session-id", "nobodys"), StatusCode::NOT_FOUND),
        (get("/mcp"), StatusCode::METHOD_NOT_ALLOWED),
        (get("/mcp").with("mcp-session-id", "nobodys"), StatusCode::NOT_FOUND),
        (delete("/mcp").with("mcp-session-id", "nobodys"), StatusCode::NOT_FOUND),
        (get("/else"), StatusCode::NOT_FOUND),
        (call(1, "pid", json!({})).with("x-tidegate-env", "e30="), StatusCode::BAD_REQUEST),
    ] {
        let what = format!("{} {:?}", sending.method, sending.body);
        assert_eq!(machine.send(sending).await.status, expected, "{what}");
    }
    assert_eq!(machine.health().await["starts"], 0);
}

#[tokio::test]
async fn progress_reaches_the_call_that_asked_for_it() {
    let machine = machine(&["modern"], &[]);
    let calls = (0..8).map(|n| {
        let machine = &machine;
        async move {
            let params = json!({"name": "progress", "arguments": {"steps": n + 1},
                "_meta": {"progressToken": "same"}});
            let reply = machine.send(modern(&json!(n), "tools/call", params)).await;
            let events = reply.events().await;
            let (answer, told) = events.split_last().unwrap();
            assert_eq!((&answer["id"], text(answer)), (&json!(n), json!("done")));
            assert_eq!(told.len(), n + 1);
            for (at, note) in told.iter().enumerate() {
                let expected = json!({"progressToken": "same", "progress": at + 1, "total": n + 1});
                assert_eq!(note["params"], expected);
            }
        }
    });
    join_all(calls).await;
}

#[tokio::test]
async fn a_lost_connection_cancels_a_modern_call() {
    let machine = machine(&["modern"], &[]);
    {
        let mut waiting = Box::pin(machine.send(call(1, "hold", json!({}))));
        let begun = machine.until(|health| health["under_way"] == 1);
        let either = futures_util::future::select(&mut waiting, Box::pin(begun)).await;
        assert!(matches!(either, futures_util::future::Either::Right(_)));
    }
    crate::machine::eventually(async || {
        let heard = machine.called(call(2, "heard", json!({}))).await;
        let cancelled = &heard["heard"][0];
        cancelled["method"] == "notifications/cancelled" && cancelled["params"]["requestId"] == 1
    })
    .await;
    assert_eq!(machine.health().await["under_way"], 0);
}

#[tokio::test]
async fn a_large_result_comes_through_whole() {
    let machine = machine(&["modern"], &["--answer-limit", "9000000"]);
    let size = 5 << 20;
    let big = call(1, "big", json!({"size": size}));
    let (big, small) = futures_util::join!(machine.called(big), async {
        machine.called(call(2, "echo", json!({}))).await
    });
    assert_eq!((big.as_str().unwrap().len(), small), (size, json!({})));
    let reply = machine.send(call(3, "big", json!({"size": 9_500_000}))).await;
    assert_eq!(reply.error().await, "the server's answer is larger than allowed");
    assert_eq!(machine.called(call(4, "echo", json!({}))).await, json!({}));
}

#[tokio::test]
async fn a_modern_client_follows_what_the_child_tells() {
    let machine = machine(&["modern"], &[]);
    let listen = json!({"notifications": {"toolsListChanged": true}});
    let mut reply = machine.send(modern(&json!("l"), "subscriptions/listen", listen)).await;
    let mut events = Events::default();
    let tag = "io.modelcontextprotocol/subscriptionId";
    let first = events.next(&mut reply.body).await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["_meta"][tag], "l");
    assert_eq!(machine.called(call(1, "grow", json!({}))).await, "grown");
    let told = events.next(&mut reply.body).await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"][tag], "l");
}

#[tokio::test]
async fn sessions_share_a_child_that_was_opened_once() {
    let machine = machine(&["legacy"], &[]);
    let first = machine.session(json!({}), None).await;
    let second = machine.session(json!({"roots": {}}), None).await;
    assert_ne!(first, second);
    let heard = machine.called(machine.legacy(&first, 1, "heard", json!({}))).await;
    assert_eq!(heard["initialized"], 1);
    // One handshake, which declared all that can be carried, and one that it is over.
    let methods: Vec<_> =
        heard["heard"].as_array().unwrap().iter().map(|it| it["method"].clone()).collect();
    assert_eq!(methods, ["initialize", "notifications/initialized"]);
    let declared = &heard["heard"][0]["params"]["capabilities"];
    assert!(["roots", "sampling", "elicitation"].iter().all(|it| declared[it].is_object()));
    let pids = [&first, &second].map(|session| machine.legacy(session, 2, "pid", json!({})));
    let [one, two] = pids.map(|sending| machine.called(sending));
    assert_eq!(one.await, two.await);
    // Ended is ended, and the other goes on.
    let ended = machine.send(delete("/mcp").with("mcp-session-id", &first)).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    let gone = machine.send(machine.legacy(&first, 3, "pid", json!({}))).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let goes_on = machine.send(machine.legacy(&second, 3, "pid", json!({}))).await;
    assert_eq!(goes_on.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_cancels_its_own_requests_alone() {
    let machine = machine(&["legacy"], &[]);
    let first = machine.session(json!({}), None).await;
    let second = machine.session(json!({}), None).await;
    let cancel = |session: &str| {
        let message = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": 5, "reason": "r"}});
        post(&message).with("mcp-session-id", session)
    };
    let held = machine.send(machine.legacy(&first, 5, "hold", json!({})));
    let meanwhile = async {
        machine.until(|health| health["under_way"] == 1).await;
        assert_eq!(machine.send(cancel(&second)).await.status, StatusCode::ACCEPTED);
        let heard = machine.called(machine.legacy(&second, 6, "heard", json!({}))).await;
        assert_eq!(heard["heard"].as_array().unwrap().len(), 2, "{heard}");
        assert_eq!(machine.send(cancel(&first)).await.status, StatusCode::ACCEPTED);
        let heard = machine.called(machine.legacy(&second, 7, "heard", json!({}))).await;
        let told = &heard["heard"][2];
        assert_eq!(told["method"], "notifications/cancelled");
        assert_eq!(told["params"]["reason"], "r");
        assert!(told["params"]["requestId"] != 5, "the id is the bridge's own: {told}");
    };
    let (held, ()) = futures_util::join!(held, meanwhile);
    assert_eq!(held.error().await, "the request was cancelled");
}

#[tokio::test]
async fn a_question_goes_to_the_only_client_that_it_can_mean() {
    let machine = machine(&["legacy"], &[]);
    let able = machine.session(json!({"roots": {}}), None).await;
    let unable = machine.session(json!({}), None).await;
    // Asked, answered by the one who was asked and by nobody else.
    let asks = machine.legacy(&able, 1, "ask", json!({"method": "roots/list", "params": {}}));
    let mut reply = machine.send(asks).await;
    let mut events = Events::default();
    let question = events.next(&mut reply.body).await.unwrap();
    assert_eq!((&question["method"], &question["id"]), (&json!("roots/list"), &json!("q")));
    let answer = json!({"jsonrpc": "2.0", "id": "q", "result": {"roots": ["r"]}});
    let from = |session: &str| post(&answer).with("mcp-session-id", session);
    assert_eq!(machine.send(from(&unable)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(machine.send(from(&able)).await.status, StatusCode::ACCEPTED);
    let done = events.next(&mut reply.body).await.unwrap();
    assert_eq!(text(&done)["result"], answer["result"]);
    assert_eq!(machine.send(from(&able)).await.status, StatusCode::BAD_REQUEST);
    // What a client cannot do is refused in its name.
    let asks = machine.legacy(&unable, 2, "ask", json!({"method": "roots/list", "params": {}}));
    let refused = machine.called(asks).await;
    assert_eq!(refused["error"]["code"], -32601);
    // With calls of two clients under way nobody is asked.
    let held = machine.send(machine.legacy(&unable, 3, "hold", json!({})));
    let meanwhile = async {
        machine.until(|health| health["under_way"] == 1).await;
        let asks = machine.legacy(&able, 4, "ask", json!({"method": "roots/list", "params": {}}));
        let refused = machine.called(asks).await;
        assert_eq!(refused["error"]["code"], -32603);
        let logged = machine.send(machine.legacy(&able, 5, "log", json!({}))).await;
        assert_eq!(logged.headers["content-type"], "application/json", "no line of another's");
        machine.called(machine.legacy(&able, 6, "release", json!({}))).await
    };
    let (held, _) = futures_util::join!(held, meanwhile);
    assert_eq!(held.value().await, "released");
    let events = machine.send(machine.legacy(&able, 7, "log", json!({}))).await.events().await;
    assert_eq!(events[0]["params"]["data"], "a line");
}

#[tokio::test]
async fn each_session_hears_what_concerns_it() {
    let machine = machine(&["legacy"], &[]);
    let first = machine.session(json!({}), None).await;
    let second = machine.session(json!({}), None).await;
    let ask = |session: &str, method: &str| {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method,
            "params": {"uri": "test://a"}});
        machine.send(post(&message).with("mcp-session-id", session))
    };
    for session in [&first, &second] {
        assert_eq!(ask(session, "resources/subscribe").await.json().await["result"], json!({}));
    }
    // The one goes, the other still follows: the child must not hear of it.
    assert_eq!(ask(&first, "resources/unsubscribe").await.json().await["result"], json!({}));
    let touch = machine.legacy(&first, 2, "touch", json!({"uri": "test://a"}));
    assert_eq!(machine.called(touch).await, "touched");
    assert_eq!(machine.called(machine.legacy(&first, 3, "grow", json!({}))).await, "grown");
    let open = |session: &str| machine.send(get("/mcp").with("mcp-session-id", session));
    let (mut one, mut two) = (open(&first).await, open(&second).await);
    assert_eq!(open(&first).await.status, StatusCode::CONFLICT);
    let next = async |reply: &mut crate::machine::Reply| -> Value {
        Events::default().next(&mut reply.body).await.unwrap()
    };
    assert_eq!(next(&mut one).await["method"], "notifications/tools/list_changed");
    assert_eq!(next(&mut two).await["method"], "notifications/resources/updated");
    let methods = async |session: &str| {
        let heard = machine.called(machine.legacy(session, 4, "heard", json!({}))).await;
        let heard: Vec<_> = heard["heard"].as_array().unwrap().clone();
        let is_about = |it: &&Value| it["params"]["uri"] == "test://a";
        heard.iter().filter(is_about).map(|it| it["method"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(methods(&first).await, ["resources/subscribe", "resources/subscribe"]);
    // With the last session that follows it the child is told.
    machine.send(delete("/mcp").with("mcp-session-id", &second)).await;
    crate::machine::eventually(async || {
        methods(&first).await.last() == Some(&json!("resources/unsubscribe"))
    })
    .await;
}
