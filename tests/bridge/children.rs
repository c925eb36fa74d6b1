//! A child for each credential: what it sees, whom it serves, how long it stays.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;

use crate::machine::{call, delete, machine, modern, text};

#[tokio::test]
async fn each_key_has_a_child_with_its_own_environment() {
    let machine = machine(&["modern"], &[]);
    let env = |user: &str| json!({"API_KEY": format!("secret of {user}"), "SHARED": user});
    let of = |id, tool, user: &str| call(id, tool, json!({})).child(user, Some(&env(user)));
    for round in 0..3 {
        for user in ["alice", "bob"] {
            let seen = machine.called(of(round, "env", user)).await;
            let expected = json!({"BASE": "machine", "SHARED": user,
                "API_KEY": format!("secret of {user}")});
            assert_eq!(seen, expected);
        }
    }
    let mut pids = BTreeSet::new();
    for user in ["alice", "bob"] {
        let pid = machine.called(of(1, "pid", user)).await;
        // Once it runs, the environment need not come along.
        assert_eq!(machine.called(call(2, "pid", json!({})).child(user, None)).await, pid);
        pids.insert(pid.as_u64());
    }
    let shared = machine.called(call(3, "env", json!({}))).await;
    assert_eq!(shared, json!({"BASE": "machine", "SHARED": "yes"}));
    pids.insert(machine.called(call(4, "pid", json!({}))).await.as_u64());
    assert_eq!(pids.len(), 3);
    assert_eq!(machine.health().await["children"], 2);
    let log = format!("{:?}", machine.stderr.lock().unwrap());
    assert!(!log.contains("secret of"), "{log}");
}

#[tokio::test]
async fn fifty_calls_at_once_start_one_child() {
    let machine = machine(&["modern"], &[]);
    let calls = (0..50).map(|id| {
        machine.called(call(id, "pid", json!({})).child("alice", Some(&json!({"K": "v"}))))
    });
    let pids: BTreeSet<_> = join_all(calls).await.into_iter().map(|pid| pid.as_u64()).collect();
    assert_eq!(pids.len(), 1);
}

#[tokio::test]
async fn a_key_means_one_environment() {
    let machine = machine(&["modern"], &[]);
    let sent = |key: &str, env| call(1, "pid", json!({})).child(key, Some(&env));
    let unknown = machine.send(call(1, "pid", json!({})).child("alice", None)).await;
    assert_eq!(unknown.status, StatusCode::PRECONDITION_REQUIRED);
    assert!(unknown.error().await.contains("send its environment"));
    assert_eq!(machine.send(sent("alice", json!({"K": "1"}))).await.status, StatusCode::OK);
    let other = machine.send(sent("alice", json!({"K": "2"}))).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert_eq!(machine.send(sent("alice", json!({"K": "1"}))).await.status, StatusCode::OK);
    for bad in [json!([]), json!({"K": 1}), json!({"A=B": "x"}), json!({"K": "a\u{0}b"})] {
        let reply = machine.send(sent("bob", bad)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    }
    let broken = call(1, "pid", json!({})).child("bob", None).with("x-tidegate-env", "%");
    assert_eq!(machine.send(broken).await.status, StatusCode::BAD_REQUEST);
    let long = call(1, "pid", json!({})).child(&"k".repeat(129), Some(&json!({})));
    assert_eq!(machine.send(long).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_session_is_of_its_child() {
    let machine = machine(&["legacy"], &[]);
    let alice = machine.session(json!({}), Some(("alice", json!({"WHO": "alice"})))).await;
    let bob = machine.session(json!({}), Some(("bob", json!({"WHO": "bob"})))).await;
    for (session, key, expected) in [
        (&alice, Some("alice"), StatusCode::OK),
        (&bob, Some("bob"), StatusCode::OK),
        (&alice, Some("bob"), StatusCode::NOT_FOUND),
        (&alice, None, StatusCode::NOT_FOUND),
        (&alice, Some("carol"), StatusCode::NOT_FOUND),
    ] {
        let sending = machine.legacy(session, 1, "env", json!({}));
        let sending = match key {
            Some(key) => sending.child(key, None),
            None => sending,
        };
        let reply = machine.send(sending).await;
        assert_eq!(reply.status, expected, "{key:?}");
        if expected == StatusCode::OK {
            assert_eq!(reply.value().await["WHO"], key.unwrap());
        }
    }
}

#[tokio::test]
async fn idle_children_make_room_and_busy_ones_do_not() {
    let machine = machine(&["modern"], &["--children", "2"]);
    let env = json!({});
    let of = |id, tool, key: &str| call(id, tool, json!({})).child(key, Some(&env));
    let oldest = machine.called(of(1, "pid", "a")).await;
    let newer = machine.called(of(1, "pid", "b")).await;
    machine.called(of(1, "pid", "c")).await;
    assert_eq!(machine.health().await["children"], 2);
    // The one that was not used for longest is gone, the other is not.
    assert_eq!(machine.called(of(2, "pid", "b")).await, newer);
    assert_ne!(machine.called(of(2, "pid", "a")).await, oldest);
    let mut held = Vec::new();
    for key in ["a", "b"] {
        let params = json!({"name": "hold", "_meta": {"progressToken": key}});
        let hold = modern(&json!(3), "tools/call", params).child(key, Some(&env));
        // The head comes with the first progress.
        held.push(machine.send(hold).await);
    }
    let busy = machine.send(of(4, "pid", "d")).await;
    assert_eq!(busy.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(busy.headers.contains_key("retry-after"));
    for (key, reply) in ["a", "b"].into_iter().zip(held) {
        assert_eq!(machine.called(of(5, "release", key)).await, 1);
        let events = reply.events().await;
        assert_eq!(text(&events[1]), "released");
    }
    assert!(machine.called(of(6, "pid", "d")).await.is_u64());
}

#[tokio::test]
async fn a_child_that_nobody_uses_is_ended() {
    let machine = machine(&["modern"], &["--child-idle", "0"]);
    let pid = machine.called(call(1, "pid", json!({})).child("a", Some(&json!({})))).await;
    machine.until(|health| health["children"] == 0).await;
    let process = format!("/proc/{pid}");
    crate::machine::eventually(async || !std::path::Path::new(&process).exists()).await;
    // The next call needs its environment again: the bridge has not kept it.
    let reply = machine.send(call(2, "pid", json!({})).child("a", None)).await;
    assert_eq!(reply.status, StatusCode::PRECONDITION_REQUIRED);
}

#[tokio::test]
async fn a_revoked_credential_ends_its_child_at_once() {
    let machine = machine(&["modern"], &[]);
    let pid = machine.called(call(1, "pid", json!({})).child("a", Some(&json!({})))).await;
    let end = || delete("/children").with("x-tidegate-child", "a");
    assert_eq!(machine.send(end()).await.status, StatusCode::NO_CONTENT);
    let process = format!("/proc/{pid}");
    crate::machine::eventually(async || !std::path::Path::new(&process).exists()).await;
    assert_eq!(machine.send(end()).await.status, StatusCode::NOT_FOUND);
    assert_eq!(machine.send(delete("/children")).await.status, StatusCode::BAD_REQUEST);
}
