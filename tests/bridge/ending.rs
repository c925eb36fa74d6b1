//! Ends: of the child, of the bridge, and what is told of them.

use http::StatusCode;
use serde_json::json;

use crate::machine::{Events, call, get, machine, modern};

#[tokio::test]
async fn a_crash_is_told_to_all_who_wait_and_the_next_call_starts_anew() {
    let machine = machine(&["modern"], &[]);
    let before = machine.called(call(1, "pid", json!({}))).await;
    let held = machine.send(call(2, "hold", json!({})));
    let crash = async {
        machine.until(|health| health["under_way"] == 1).await;
        machine.send(call(3, "die", json!({"status": 3}))).await
    };
    let (held, died) = futures_util::join!(held, crash);
    for reply in [held, died] {
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
        let said = reply.error().await;
        assert!(said.contains("ended before it answered (exit status: 3)"), "{said}");
    }
    let after = machine.called(call(4, "pid", json!({}))).await;
    assert_ne!(before, after);
    assert_eq!(machine.health().await["starts"], 2);
}

#[tokio::test]
async fn a_child_that_keeps_ending_has_to_wait() {
    let machine = machine(&["modern"], &[]);
    let mut refused = None;
    // The first restart comes at once, further ones do not.
    for _ in 0..3 {
        let reply = machine.send(call(1, "die", json!({}))).await;
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            refused = Some(reply);
            break;
        }
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    }
    let reply = refused.expect("a pause");
    assert!(reply.headers.contains_key("retry-after"));
    let said = reply.error().await;
    assert!(said.contains("failed 2 times in a row (exit status: 0)"), "{said}");
    let health = machine.health().await;
    assert_eq!((&health["state"], &health["failures"]), (&json!("failed"), &json!(2)));
    crate::machine::eventually(async || {
        machine.send(call(2, "pid", json!({}))).await.status == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let machine = machine(&["/no/such/program"], &[]);
    let reply = machine.send(call(1, "pid", json!({}))).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.error().await.contains("`/no/such/program` was not found"));
}

#[tokio::test]
async fn a_legacy_session_ends_with_its_child() {
    let machine = machine(&["legacy"], &[]);
    let session = machine.session(json!({}), None).await;
    let mut stream = machine.send(get("/mcp").with("mcp-session-id", &session)).await;
    let died = machine.send(machine.legacy(&session, 1, "die", json!({"status": 1}))).await;
    assert_eq!(died.status, StatusCode::BAD_GATEWAY);
    assert_eq!(Events::default().next(&mut stream.body).await, None);
    let gone = machine.send(machine.legacy(&session, 2, "pid", json!({}))).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let again = machine.session(json!({}), None).await;
    let heard = machine.called(machine.legacy(&again, 3, "heard", json!({}))).await;
    assert_eq!(heard["initialized"], 1, "the new child has had its own handshake");
}

#[tokio::test]
async fn stderr_is_kept_apart_and_without_control_characters() {
    let machine = machine(&["modern"], &[]);
    let text = "a \u{1b}[31mred line\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
    assert_eq!(machine.called(call(1, "stderr", json!({"text": text}))).await, "written");
    let is = |line: &serde_json::Value, message: &str| {
        line["target"] == "tidegate::connector::stderr" && line["message"] == message
    };
    machine.logged(|line| is(line, "a \\u{1b}[31mred line")).await;
    machine.logged(|line| is(line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}")).await;
    assert_eq!(machine.health().await["junk_lines"], 0);
}

#[tokio::test]
async fn a_bridge_that_is_told_to_end_finishes_what_is_under_way() {
    for by_signal in [true, false] {
        let mut machine = machine(&["modern"], &[]);
        let listen = json!({"notifications": {}});
        let mut stream = machine.send(modern(&json!("l"), "subscriptions/listen", listen)).await;
        let mut events = Events::default();
        assert!(events.next(&mut stream.body).await.is_some());
        let pid = machine.called(call(1, "pid", json!({}))).await;
        if by_signal {
            machine.terminate();
        } else {
            // Whoever started it is gone.
            drop(machine.stdin.take());
        }
        assert_eq!(events.next(&mut stream.body).await, None, "streams end at once");
        assert!(machine.ended().await);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        assert!(!machine.socket.exists());
    }
}

#[tokio::test]
async fn a_child_that_does_not_end_is_killed_with_its_group() {
    let script = "trap '' TERM; sleep 1000 & echo \"$! $$\" >&2; while :; do wait; done";
    let mut machine = machine(&["/bin/sh", "-c", script], &[]);
    let waiting = machine.send(call(1, "pid", json!({})));
    let meanwhile = async {
        machine.logged(|line| line["target"] == "tidegate::connector::stderr").await;
        machine.terminate();
    };
    let (reply, ()) = futures_util::join!(waiting, meanwhile);
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    let said = {
        let log = machine.stderr.lock().unwrap();
        let line = log.iter().find(|line| line["target"] == "tidegate::connector::stderr");
        line.unwrap()["message"].as_str().unwrap().to_owned()
    };
    assert!(machine.ended().await);
    for pid in said.split(' ') {
        let process = format!("/proc/{pid}");
        crate::machine::eventually(async || !std::path::Path::new(&process).exists()).await;
    }
}
