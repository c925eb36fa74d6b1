//! Guests that are connectors.

use std::sync::Mutex;

use super::*;
use crate::{CallError, Failure, GuestConnector, Progress, ProgressSink, Trap};

fn connector(component: &Component, act: &str) -> GuestConnector {
    let config = json(&format!(r#"{{"do":"{act}"}}"#));
    let limits = Limits { guest_time: Duration::from_millis(500), ..Limits::CONNECTOR };
    GuestConnector::new(&Binding { limits, ..binding(component, &config) }).unwrap()
}

#[tokio::test]
async fn the_demo_connectors_list_and_answer() {
    let sandbox = Sandbox::new(settings()).unwrap();
    let table = [
        ("crm", 5, "search_contacts", r#"{"query":"nordwind"}"#, "4111 1111 1111 1111"),
        ("contracts", 3, "get_contract", r#"{"contract_id":"ctr-501"}"#, "DE89 3704"),
        ("mail", 4, "search_messages", r#"{"query":"deposit"}"#, "marta.lindqvist@"),
    ];
    for (name, count, tool, arguments, part) in table {
        let component = sandbox.load(guest(name)).await.unwrap();
        let config = json("{}");
        let connector = GuestConnector::new(&Binding {
            name,
            grants: Grants::NONE,
            limits: Limits::CONNECTOR,
            ..binding(&component, &config)
        })
        .unwrap();
        assert_eq!(connector.describe().await.unwrap().title.to_lowercase(), name);
        let tools = connector.list(ListKind::Tools).await.unwrap();
        assert_eq!(tools.len(), count, "{name}");
        let result = connector.call(&context(tool), &json(arguments), None).await.unwrap();
        let result: serde_json::Value = result.read().unwrap();
        let definition: serde_json::Value = tools
            .iter()
            .map(|tool| tool.read::<serde_json::Value>().unwrap())
            .find(|definition| definition["name"] == tool)
            .unwrap();
        let schema = jsonschema::validator_for(&definition["outputSchema"]).unwrap();
        assert!(schema.is_valid(&result["structuredContent"]), "{name}: {result}");
        assert!(result.to_string().contains(part), "{name}: {result}");
        for tool in &tools {
            let tool: serde_json::Value = tool.read().unwrap();
            assert!(jsonschema::validator_for(&tool["inputSchema"]).is_ok(), "{tool}");
            assert!(tool["annotations"]["readOnlyHint"].is_boolean(), "{tool}");
        }
    }
}

#[tokio::test]
async fn progress_is_reported_while_it_runs() {
    let component = load("hostile").await;
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let sink: ProgressSink = {
        let seen = Arc::clone(&seen);
        Arc::new(move |progress| seen.lock().unwrap().push(progress))
    };
    let connector = connector(&component, "progress");
    connector.call(&context("act"), &json("{}"), Some(sink)).await.unwrap();
    let steps: Vec<_> = seen.lock().unwrap().iter().map(|seen| seen.progress).collect();
    assert_eq!(steps, [1.0, 2.0, 3.0]);
    let last = seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!((last.total, last.message.as_deref()), (Some(3.0), Some("working")));
    // Without anybody who listens it is no error.
    connector.call(&context("act"), &json("{}"), None).await.unwrap();
}

#[tokio::test]
async fn errors_of_a_connector_are_told_apart() {
    let component = load("hostile").await;
    type Expected = fn(&CallError) -> bool;
    let table: [(&str, Expected); 6] = [
        ("unknown_tool", |error| matches!(error, CallError::Unknown)),
        ("invalid", |error| matches!(error, CallError::InvalidArguments(text) if text == "{}")),
        ("failed", |error| matches!(error, CallError::Failed(text) if text == "out of order")),
        ("not_json", |error| {
            matches!(error, CallError::Failure(Failure::Trap { trap: Trap::BadOutput(_), .. }))
        }),
        ("trap", |error| {
            matches!(error, CallError::Failure(Failure::Trap { trap: Trap::Trapped(_), .. }))
        }),
        ("loop", |error| {
            matches!(error, CallError::Failure(Failure::Trap { trap: Trap::OutOfTime(_), .. }))
        }),
    ];
    for (act, expected) in table {
        let connector = connector(&component, act);
        let error = connector.call(&context("act"), &json("{}"), None).await.unwrap_err();
        assert!(expected(&error), "{act}: {error:?}");
    }
    let bad = connector(&component, "bad_tools");
    let failure = bad.list(ListKind::Tools).await.unwrap_err();
    assert_eq!(failure.name(), "bad_output");
}

#[tokio::test]
async fn many_calls_share_few_instances() {
    let component = load("hostile").await;
    let connector = Arc::new(connector(&component, "count"));
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let connector = Arc::clone(&connector);
            tokio::spawn(async move {
                connector.call(&context("act"), &json("{}"), None).await.unwrap()
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().as_str(), r#"{"count":1}"#);
    }
    assert_eq!(connector.counts().calls, 64);
}
