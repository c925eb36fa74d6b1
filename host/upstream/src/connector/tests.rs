//! One suite for every kind of connector that speaks MCP, over a scripted server; and what
//! is particular to each kind beside it.

mod hosted;
mod input;
mod machines;
mod news;
mod offers;
mod operations;
mod remote;
pub(crate) mod stand;
mod wasm;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tidegate_model::{Answer, Call, Json, RefusalCode};
use tokio::sync::mpsc;

use super::*;
use crate::{
    Event,
    armed::{Duty, Maintenance},
    tests::a_call,
};
use stand::{KINDS, Stand};

fn proof() -> Maintenance {
    Maintenance::new(Duty::Sync, Instant::now() + Duration::from_secs(20))
}

/// Calls a tool of the scripted server.
async fn call(
    connector: &Arc<dyn Connector>,
    tool: &str,
    arguments: &str,
) -> Result<Answer, ConnectorError> {
    call_within(connector, tool, arguments, Duration::from_secs(20)).await
}

async fn call_within(
    connector: &Arc<dyn Connector>,
    tool: &str,
    arguments: &str,
    within: Duration,
) -> Result<Answer, ConnectorError> {
    connector.call(armed(connector, tool, arguments, within), Exchange::default()).await
}

fn armed(connector: &Arc<dyn Connector>, tool: &str, arguments: &str, within: Duration) -> Armed {
    let mut call = a_call(connector.id().as_str(), tool, arguments);
    call.deadline = Instant::now() + within;
    arm(connector, call)
}

fn arm(connector: &Arc<dyn Connector>, call: Call) -> Armed {
    let injection = connector.credential().inject_now(&call).unwrap();
    Armed::for_test(call, injection)
}

fn value(answer: &Answer) -> Value {
    answer.json().read().unwrap()
}

#[tokio::test]
async fn all_pages_are_listed_and_bad_entries_left_out() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        let list = stand.connector.list(&proof()).await.unwrap();
        let names: Vec<_> = list.offer.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["echo", "progress", "hang", "die"], "{kind:?}");
        let tools = list.dropped.iter().filter(|entry| entry.list == "tools/list");
        let dropped: Vec<_> = tools.map(|entry| entry.name.as_deref()).collect();
        assert_eq!(dropped, [Some("bad"), Some("echo")], "{kind:?}");
        assert!(list.offer.tools[0].class.read_only && !list.offer.tools[1].class.read_only);
        let health = stand.connector.health();
        assert_eq!(health.state, HealthState::Up, "{kind:?}");
        assert!(health.info.is_some(), "{kind:?}");
    }
}

#[tokio::test]
async fn arguments_and_results_pass_unchanged() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        let arguments = r#"{"é": [1, "\u0041", null], "n": 12345678901234567890}"#;
        let answer = call(&stand.connector, "echo", arguments).await.unwrap();
        assert_eq!(value(&answer)["echo"], serde_json::from_str::<Value>(arguments).unwrap());
        let refused = call(&stand.connector, "refuse", "{}").await.unwrap();
        let expected = json!({"code": -32602, "message": "no"});
        assert!(matches!(&refused, Answer::Error(_)), "{kind:?}");
        assert_eq!(value(&refused), expected, "{kind:?}");
        assert_eq!(stand.connector.health().state, HealthState::Up, "an error is an answer");
    }
}

#[tokio::test]
async fn progress_arrives_before_the_answer() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        let (tx, mut rx) = mpsc::channel(8);
        let armed = armed(&stand.connector, "progress", "{}", Duration::from_secs(20));
        let exchange = Exchange { progress: true, events: Some(tx), ..Exchange::default() };
        stand.connector.call(armed, exchange).await.unwrap();
        let mut seen = Vec::new();
        while let Some(Event::Notification(note)) = rx.recv().await {
            assert_eq!(note.method, "notifications/progress");
            seen.push(note.params.read::<Value>().unwrap()["progress"].as_u64().unwrap());
        }
        assert_eq!(seen, [1, 2, 3], "{kind:?}");
    }
}

#[tokio::test]
async fn many_calls_at_once_each_get_their_own_answer() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        let calls: Vec<_> = (0..150)
            .map(|nonce| {
                let connector = Arc::clone(&stand.connector);
                tokio::spawn(async move {
                    let arguments = format!(r#"{{"nonce":{nonce}}}"#);
                    let answer = call(&connector, "echo", &arguments).await.unwrap();
                    assert_eq!(value(&answer)["echo"]["nonce"], nonce);
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_call_past_its_deadline_is_cancelled_upstream() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        call(&stand.connector, "echo", "{}").await.unwrap();
        let late = call_within(&stand.connector, "hang", "{}", Duration::from_millis(50)).await;
        assert!(matches!(late, Err(ConnectorError::Deadline)), "{kind:?}: {late:?}");
        assert_eq!(late.unwrap_err().code(), RefusalCode::DeadlineExceeded);
        stand.until_cancelled().await;
        call(&stand.connector, "echo", "{}").await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_upstream() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        call(&stand.connector, "echo", "{}").await.unwrap();
        let connector = Arc::clone(&stand.connector);
        let hanging = tokio::spawn(async move { call(&connector, "hang", "{}").await });
        stand.until_hanging().await;
        assert_eq!(stand.connector.health().in_flight, 1);
        hanging.abort();
        stand.until_cancelled().await;
        assert_eq!(stand.connector.health().in_flight, 0);
    }
}

#[tokio::test]
async fn a_server_that_dies_fails_the_call_and_is_there_for_the_next() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        call(&stand.connector, "echo", "{}").await.unwrap();
        let error = call(&stand.connector, "die", "{}").await.unwrap_err();
        assert_eq!(error.code(), RefusalCode::ConnectorUnavailable, "{kind:?}: {error:?}");
        assert!(!error.nothing_sent(), "{kind:?}");
        let refusal = error.refusal("crm");
        assert!(refusal.message.starts_with("`crm` "), "{}", refusal.message);
        assert!(refusal.next.unwrap().contains("may have taken effect"));
        assert_eq!(stand.connector.health().state, HealthState::Failing, "{kind:?}");
        assert!(stand.connector.health().last_error.is_some());
        call(&stand.connector, "echo", "{}").await.unwrap();
        assert_eq!(stand.connector.health().state, HealthState::Up, "{kind:?}");
    }
}

#[tokio::test]
async fn questions_are_refused_and_the_call_goes_on() {
    for kind in KINDS.into_iter().filter(|kind| kind.is_legacy()) {
        let stand = Stand::open(kind).await;
        call(&stand.connector, "ask", "{}").await.unwrap();
        let seen = value(&call(&stand.connector, "seen", "{}").await.unwrap());
        let replies = seen["replies"].as_array().unwrap();
        assert_eq!(replies.len(), 2, "{kind:?}: {seen}");
        assert_eq!((&replies[0]["id"], &replies[0]["result"]), (&json!("q1"), &json!({})));
        assert_eq!(replies[1]["error"]["code"], -32601);
    }
}

#[tokio::test]
async fn a_changed_list_ticks() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        let before = stand.connector.list(&proof()).await.unwrap();
        let mut changes = stand.connector.changes();
        changes.borrow_and_update();
        call(&stand.connector, "grow", "{}").await.unwrap();
        changes.changed().await.unwrap();
        let after = stand.connector.list(&proof()).await.unwrap();
        assert_eq!(after.offer.tools.len(), before.offer.tools.len() + 1, "{kind:?}");
    }
}

#[tokio::test]
async fn answers_within_the_limit_pass_and_larger_ones_do_not() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        let answer = call(&stand.connector, "big", r#"{"size":10000000}"#).await.unwrap();
        assert_eq!(
            answer.json().read::<Value>().unwrap()["big"].as_str().unwrap().len(),
            10_000_000
        );
        let error = call(&stand.connector, "big", r#"{"size":17000000}"#).await.unwrap_err();
        assert_eq!(error.code(), RefusalCode::ConnectorProtocol, "{kind:?}: {error:?}");
        call(&stand.connector, "echo", "{}").await.unwrap();
    }
}

#[tokio::test]
async fn wrong_answers_never_reach_a_caller() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        for tool in ["wrong-id", "garbage"] {
            // On a shared channel such a message belongs to nobody: the call ends with its
            // deadline.
            let within = Duration::from_millis(if kind.shares_a_channel() { 50 } else { 20_000 });
            let error = call_within(&stand.connector, tool, "{}", within).await.unwrap_err();
            let fits = match error.code() {
                RefusalCode::ConnectorProtocol => !kind.shares_a_channel(),
                RefusalCode::DeadlineExceeded => kind.shares_a_channel(),
                _ => false,
            };
            assert!(fits, "{kind:?} {tool}: {error:?}");
        }
        let answer = call(&stand.connector, "twice", "{}").await.unwrap();
        assert_eq!(value(&answer)["n"], 1, "{kind:?}");
        for _ in 0..3 {
            let answer = call(&stand.connector, "echo", r#"{"a":1}"#).await.unwrap();
            assert_eq!(value(&answer)["echo"]["a"], 1, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn closing_is_final_for_processes_and_repeatable() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        call(&stand.connector, "echo", "{}").await.unwrap();
        stand.connector.close().await;
        stand.connector.close().await;
        if kind.is_hosted() {
            let error = call(&stand.connector, "echo", "{}").await.unwrap_err();
            assert!(matches!(error, ConnectorError::Closed));
        }
    }
}
