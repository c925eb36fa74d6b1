//! Every operation, towards every kind of server.

use tidegate_model::{
    Completion, CompletionOf, Given, Operation, Prompt, PromptCall, PromptName, ResourceRef,
    TaskCall, TaskMethod, ToolCall,
};
use tidegate_wire::client::ClientCan;

use super::{
    stand::{
        Speaks, at,
        mock::{Act, Mock},
        parts, serve,
    },
    *,
};

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn prompt(name: &str) -> Arc<Prompt> {
    Arc::new(Prompt {
        connector: ConnectorId::new("crm").unwrap(),
        name: PromptName::new(name).unwrap(),
        definition: json("{}"),
    })
}

fn resource(uri: &str) -> ResourceRef {
    ResourceRef { connector: ConnectorId::new("crm").unwrap(), uri: uri.into() }
}

fn task(method: TaskMethod, more: &[(&str, &str)]) -> Operation {
    let Operation::CallTool(call) = a_call("crm", "echo", "{}").operation else { unreachable!() };
    let more = more.iter().map(|(name, value)| ((*name).into(), json(value))).collect();
    Operation::Task(TaskCall { tool: call.tool, method, id: "t-1".into(), more })
}

/// Operations, the `params` that a server has to see, and what `Mcp-Name` says.
fn table() -> Vec<(Operation, Value, Option<&'static str>)> {
    let arguments = Some(json(r#"{"who":"é"}"#));
    let completion = |of, context| {
        let argument = json(r#"{"name":"who","value":"a"}"#);
        Operation::Complete(Completion { of, argument, context })
    };
    let argument = json!({"name": "who", "value": "a"});
    vec![
        (
            Operation::GetPrompt(PromptCall { prompt: prompt("gréet"), arguments }),
            json!({"name": "gréet", "arguments": {"who": "é"}}),
            Some("=?base64?Z3LDqWV0?="),
        ),
        (
            Operation::GetPrompt(PromptCall { prompt: prompt("greet"), arguments: None }),
            json!({"name": "greet"}),
            Some("greet"),
        ),
        (
            Operation::ReadResource(resource("test://one?\"q\"")),
            json!({"uri": "test://one?\"q\""}),
            Some("test://one?\"q\""),
        ),
        (
            completion(CompletionOf::Prompt(prompt("gr\"eet")), None),
            json!({"ref": {"type": "ref/prompt", "name": "gr\"eet"}, "argument": argument}),
            None,
        ),
        (
            completion(
                CompletionOf::Template(resource("test://{id}")),
                Some(json(r#"{"arguments":{}}"#)),
            ),
            json!({"ref": {"type": "ref/resource", "uri": "test://{id}"}, "argument": argument,
                "context": {"arguments": {}}}),
            None,
        ),
        (task(TaskMethod::Get, &[]), json!({"taskId": "t-1"}), Some("t-1")),
        (task(TaskMethod::Result, &[]), json!({"taskId": "t-1"}), None),
        (
            task(
                TaskMethod::Update,
                &[("inputResponses", "{}"), ("taskId", "\"other\""), ("x", "[1]")],
            ),
            json!({"taskId": "t-1", "inputResponses": {}, "x": [1]}),
            Some("t-1"),
        ),
        (task(TaskMethod::Cancel, &[]), json!({"taskId": "t-1"}), Some("t-1")),
    ]
}

#[tokio::test]
async fn operations_arrive_as_their_protocol_writes_them() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        for (operation, expected, mirrored) in table() {
            let method = operation.method();
            let call = Call { operation, ..a_call("crm", "echo", "{}") };
            let call = arm(&stand.connector, call);
            let answer = stand.connector.call(call, Exchange::default()).await.unwrap();
            let mut echo = value(&answer)["echo"].take();
            echo.as_object_mut().unwrap().remove("_meta");
            assert_eq!(echo, expected, "{kind:?} {method}");
            if let Some(mock) = &stand.mock {
                let seen = mock.seen().pop().unwrap();
                let modern = !kind.is_legacy();
                assert_eq!(seen.header("mcp-name"), mirrored.filter(|_| modern), "{method}");
                assert_eq!(seen.header("mcp-method"), modern.then_some(method));
            }
        }
    }
}

#[tokio::test]
async fn members_of_other_hands_stay_out_of_a_tool_call() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        stand.connector.list(&proof()).await.unwrap();
        let mut call = a_call("crm", "mirror", "{}");
        let Operation::CallTool(tool_call) = &mut call.operation else { unreachable!() };
        let more = ["task", "vendor", "name", "_meta", "requestState", "arguments"];
        tool_call.more = more.map(|name| (name.into(), json(r#"{"ttl":1}"#))).into();
        let call = arm(&stand.connector, call);
        let answer = stand.connector.call(call, Exchange::default()).await.unwrap();
        let mut params = value(&answer)["params"].take();
        params.as_object_mut().unwrap().remove("_meta");
        let mut expected = json!({"name": "mirror", "arguments": {}, "vendor": {"ttl": 1}});
        if kind.is_legacy() {
            expected["task"] = json!({"ttl": 1});
        }
        assert_eq!(params, expected, "{kind:?}");
    }
}

#[tokio::test]
async fn what_a_modern_client_gives_goes_along() {
    for kind in KINDS.into_iter().filter(|kind| !kind.is_legacy()) {
        let stand = Stand::open(kind).await;
        let given = Given { responses: Some(json(r#"{"a":{}}"#)), state: Some("s".into()) };
        let call = Call { given: Some(given), ..a_call("crm", "mirror", "{}") };
        let exchange = Exchange { relays_input: true, ..Exchange::default() };
        let call = arm(&stand.connector, call);
        let answer = value(&stand.connector.call(call, exchange).await.unwrap());
        assert_eq!(answer["params"]["inputResponses"], json!({"a": {}}), "{kind:?}");
        assert_eq!(answer["params"]["requestState"], "s", "{kind:?}");
    }
}

#[tokio::test]
async fn only_extensions_that_are_carried_are_declared() {
    for (carried, expected) in [
        (vec!["io.modelcontextprotocol/tasks"], json!({"io.modelcontextprotocol/tasks": {"a": 1}})),
        (vec!["com.example/secret"], json!({"com.example/secret": {}})),
        (vec![], Value::Null),
    ] {
        let mock = serve(Speaks::Modern).await;
        let extensions = carried.iter().map(|name| (*name).to_owned()).collect();
        let spec = ConnectorSpec::Remote(RemoteSpec { extensions, ..at(&mock) });
        let connector = open(ConnectorId::new("crm").unwrap(), &spec, &parts(&[])).unwrap();
        let declared =
            [("io.modelcontextprotocol/tasks", r#"{"a":1}"#), ("com.example/secret", "{}")];
        let extensions = declared.map(|(name, value)| (name.into(), json(value))).into();
        let can = ClientCan { extensions, ..ClientCan::default() };
        let exchange = Exchange { can, ..Exchange::default() };
        let call = arm(&connector, a_call("crm", "mirror", "{}"));
        let answer = value(&connector.call(call, exchange).await.unwrap());
        let key = "io.modelcontextprotocol/clientCapabilities";
        assert_eq!(answer["params"]["_meta"][key]["extensions"], expected);
        let features = connector.list(&proof()).await.unwrap().offer.features;
        assert_eq!(features.extensions.len(), carried.len(), "{carried:?}");
    }
}

/// A modern server whose tool wants its argument mirrored as `header`, and looks at it.
async fn particular(header: &'static str) -> Mock {
    Mock::start(move |seen, _| {
        let result = |result: &str| {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, seen.at("/id"));
            vec![Act::json(200, &body)]
        };
        match seen.at("/method").as_str() {
            Some("server/discover") => result(r#"{"supportedVersions":["2026-07-28"]}"#),
            Some("tools/list") => result(&format!(
                r#"{{"tools":[{{"name":"echo","inputSchema":{{"properties":{{"a":{{"type":"string","x-mcp-header":"{header}"}}}}}}}}]}}"#
            )),
            Some("tools/call") if seen.header("mcp-param-a") == Some("x") => result("{}"),
            Some(_) => {
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32020,"message":"no"}}}}"#,
                    seen.at("/id")
                );
                vec![Act::json(400, &body)]
            }
            None => vec![Act::reply(405, &[], "")],
        }
    })
    .await
}

#[tokio::test]
async fn headers_that_do_not_fit_are_made_anew_once() {
    for (header, works) in [("A", true), ("B", false)] {
        let mock = particular(header).await;
        let spec = ConnectorSpec::Remote(at(&mock));
        let connector = open(ConnectorId::new("crm").unwrap(), &spec, &parts(&[])).unwrap();
        let mut changes = connector.changes();
        connector.list(&proof()).await.unwrap();
        changes.borrow_and_update();
        // The definition that this call was judged by knows of no header.
        let outcome = call(&connector, "echo", r#"{"a":"x"}"#).await;
        assert_eq!(outcome.is_ok(), works, "{outcome:?}");
        changes.changed().await.unwrap();
        let calls = mock.methods().iter().filter(|method| *method == "tools/call").count();
        assert_eq!(calls, 2);
        if let Err(error) = outcome {
            assert_eq!(error.code(), RefusalCode::ConnectorProtocol);
            assert!(error.nothing_sent());
        }
        assert_ne!(connector.health().state, HealthState::Failing, "it is not unwell");

        // The same definition as before: no reason to try again.
        let tool = connector.list(&proof()).await.unwrap().offer.tools[0].clone();
        let operation = Operation::CallTool(ToolCall {
            tool,
            arguments: json(r#"{"a":"y"}"#),
            more: Vec::new(),
        });
        let call = Call { operation, ..a_call("crm", "echo", "{}") };
        let outcome = connector.call(arm(&connector, call), Exchange::default()).await;
        assert!(matches!(
            outcome,
            Err(ConnectorError::Peer(tidegate_wire::client::PeerError::HeaderMismatch(_)))
        ));
        let calls = mock.methods().iter().filter(|method| *method == "tools/call").count();
        assert_eq!(calls, 3);
    }
}
