//! What is particular to `wasm`: a guest per call, and its words as answers.

use bytes::Bytes;
use tidegate_model::{Completion, CompletionOf, Operation, ResourceRef, UserId};
use tidegate_wasm::{
    Binding, CallContext, Grants, GuestConnector, Limits, Reach, Sandbox, Settings,
};

use super::{stand::parts, *};

async fn guest(act: &str) -> Arc<dyn Connector> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests/hostile.wasm");
    let bytes = std::fs::read(file).expect("run `cargo xtask guests` first");
    let sandbox = Sandbox::new(Settings::default()).unwrap();
    let component = sandbox.load(Bytes::from(bytes)).await.unwrap();
    let config = Json::of(&json!({"do": act})).unwrap();
    let grants = Grants::all();
    let limits = Limits { guest_time: Duration::from_millis(200), ..Limits::CONNECTOR };
    let reach = Reach::default();
    let binding =
        Binding { name: "hostile", component: &component, config: &config, grants, limits, reach };
    let guest = Arc::new(GuestConnector::new(&binding).unwrap());
    let component = *component.sha256();
    let guard = GuardSpec::default();
    let spec = ConnectorSpec::Wasm(WasmSpec {
        component,
        config,
        grants,
        reach: [0; 32],
        limits,
        guest,
        guard,
    });
    assert_eq!(spec, spec.clone());
    open(ConnectorId::new("crm").unwrap(), &spec, &parts(&[])).unwrap()
}

#[tokio::test]
async fn tools_are_listed() {
    let list = guest("count").await.list(&proof()).await.unwrap();
    assert_eq!(list.offer.tools.len(), 1);
    assert_eq!(list.offer.tools[0].name.as_str(), "act");
    assert_eq!(list.offer.tools[0].connector.as_str(), "crm");
    for act in ["bad_tools", "no_description"] {
        let bad = guest(act).await.list(&proof()).await.unwrap_err();
        assert_eq!(bad.code(), RefusalCode::ConnectorProtocol, "{act}");
    }
}

#[tokio::test]
async fn words_become_answers() {
    let is_error =
        |text: &str| json!({"content": [{"type": "text", "text": text}], "isError": true});
    for (act, expected) in [
        ("count", Answer::Result(Json::of(&json!({"count": 1})).unwrap())),
        ("failed", Answer::Result(Json::of(&is_error("out of order")).unwrap())),
        ("invalid", Answer::Result(Json::of(&is_error(r#"invalid arguments: {"a":1}"#)).unwrap())),
        (
            "unknown_tool",
            Answer::Error(
                Json::of(&json!({"code": -32602, "message": "unknown tool: act"})).unwrap(),
            ),
        ),
    ] {
        let connector = guest(act).await;
        for _ in 0..2 {
            let answer = call(&connector, "act", r#"{"a":1}"#).await.unwrap();
            assert_eq!(value(&answer), value(&expected), "{act}");
            assert_eq!(matches!(answer, Answer::Error(_)), matches!(expected, Answer::Error(_)));
        }
        assert_eq!(connector.health().state, HealthState::Up);
    }
}

#[tokio::test]
async fn progress_arrives_as_notifications() {
    let connector = guest("progress").await;
    let (tx, mut rx) = mpsc::channel(8);
    let user = UserId::new("ae@example.com").unwrap();
    let armed = armed(&connector, "act", "{}", Duration::from_secs(20));
    let context = CallContext::new(armed.call(), &user, Arc::from([]), None);
    let exchange = Exchange { progress: true, events: Some(tx), ..Exchange::default() };
    connector.call(armed.told(context), exchange).await.unwrap();
    let mut seen = Vec::new();
    while let Some(Event::Notification(note)) = rx.recv().await {
        seen.push(note.params.read::<Value>().unwrap());
    }
    assert_eq!(seen.len(), 3);
    let last = json!({"progressToken": 0, "progress": 3, "total": 3, "message": "working"});
    assert_eq!(seen[2], last);
}

#[tokio::test]
async fn a_guest_that_fails_fails_its_call_only() {
    for act in ["trap", "loop", "memory", "recursion", "huge", "not_json", "not_an_object"] {
        let connector = guest(act).await;
        let error = call(&connector, "act", "{}").await.unwrap_err();
        assert_eq!(error.code(), RefusalCode::ConnectorProtocol, "{act}: {error:?}");
        assert_eq!(error.refusal("crm").message, "`crm` failed");
        assert_eq!(connector.health().state, HealthState::Failing, "{act}");
    }
}

#[tokio::test]
async fn a_guest_that_runs_on_ends_with_its_deadline() {
    let connector = guest("loop").await;
    let late = call_within(&connector, "act", "{}", Duration::from_millis(30)).await;
    assert!(matches!(late, Err(ConnectorError::Deadline)), "{late:?}");
}

#[tokio::test]
async fn what_components_do_not_offer_is_not_known() {
    let connector = guest("count").await;
    let uri = ResourceRef { connector: connector.id().clone(), uri: "note://one".into() };
    let completion = Completion {
        of: CompletionOf::Template(uri),
        argument: Json::of(&json!({"name": "city", "value": "K"})).unwrap(),
        context: None,
    };
    let call = Call { operation: Operation::Complete(completion), ..a_call("crm", "act", "{}") };
    let answer = connector.call(arm(&connector, call), Exchange::default()).await.unwrap();
    assert!(matches!(&answer, Answer::Error(_)));
    let expected = json!({"code": -32601, "message": "completion/complete is not known here"});
    assert_eq!(value(&answer), expected);
    assert_eq!(connector.health().state, HealthState::Up, "an error is an answer");
}

#[tokio::test]
async fn resources_are_read() {
    let connector = guest("count").await;
    let list = connector.list(&proof()).await.unwrap();
    assert!(list.offer.features.prompts && list.offer.features.resources);
    let uri = ResourceRef { connector: connector.id().clone(), uri: "note://one".into() };
    let call = Call { operation: Operation::ReadResource(uri), ..a_call("crm", "act", "{}") };
    let answer = connector.call(arm(&connector, call), Exchange::default()).await.unwrap();
    let expected = json!({"contents": [{"uri": "note://one", "text": "a note for Eve"}]});
    assert_eq!(value(&answer), expected);
}
