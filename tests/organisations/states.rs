//! What a call waits with: states of requests and parked calls of one organisation are nothing
//! in another, though person, virtual MCP, tool and arguments are called the same.

use serde_json::{Value, json};

use super::{ALL, able};
use crate::support::{Client, Era, Mock, MockTool, Received, Reply, Rpc, Setup};

fn question() -> Value {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    json!({ "mode": "form", "message": "Who?", "requestedSchema": schema })
}

/// A server that asks who somebody is, and says what it was told.
async fn asking(era: Era) -> Mock {
    let definition = json!({ "name": "ask", "inputSchema": { "type": "object" } });
    let legacy = |received: &Received| {
        let id = format!("q-{}", received.message["id"]);
        let method = "elicitation/create";
        Reply::Ask(vec![
            json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": question() }),
        ])
    };
    let modern = |received: &Received| match received.message["params"].get("inputResponses") {
        Some(given) => Reply::Text(given.to_string()),
        None => Reply::Result(json!({
            "resultType": "input_required",
            "inputRequests": { "who": { "method": "elicitation/create", "params": question() } },
            "requestState": "the server's own",
        })),
    };
    let tool = match era {
        Era::Legacy => MockTool::new(definition, legacy),
        _ => MockTool::new(definition, modern),
    };
    Mock::start(era, vec![tool]).await
}

/// How many calls and answers a server got.
fn heard(mock: &Mock) -> usize {
    let is_work = |one: &&Received| matches!(one.method(), "" | "tools/call");
    mock.received().iter().filter(is_work).count()
}

/// Calls the tool, the second time with what was asked for.
async fn call(client: &Client, more: Value) -> Rpc {
    let mut params = json!({ "name": "ask", "arguments": {} });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut params = able(params);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({ "elicitation": { "form": {} } });
    client.request("tools/call", params).await
}

#[tokio::test]
async fn a_state_of_one_organisation_is_refused_in_another() {
    for era in [Era::Legacy, Era::Modern] {
        let mocks = [asking(era).await, asking(era).await];
        let fill = |setup: Setup, mock: &Mock| {
            let setup = setup.remote("up", mock, "").vmcp("main", &["up"]);
            setup.key("alice", &["staff"]).policy("all", ALL)
        };
        let gateway = Setup::new()
            .organisation("acme", |setup| fill(setup, &mocks[0]))
            .organisation("beta", |setup| fill(setup, &mocks[1]))
            .start()
            .await;
        let alice = |org: &str| gateway.client_of(org, "alice", "main");
        let (acme, beta) = (alice("acme"), alice("beta"));
        let asked = call(&acme, json!({})).await;
        assert_eq!(asked.result()["resultType"], "input_required", "{era:?}: {asked:?}");
        let state = asked.result()["requestState"].clone();
        let requests = asked.result()["inputRequests"].as_object().unwrap();
        let answers: serde_json::Map<String, Value> = requests
            .keys()
            .map(|name| {
                let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
                (name.clone(), answer)
            })
            .collect();
        let again = json!({ "requestState": state, "inputResponses": answers });
        let met = heard(&mocks[0]);
        // Also while a call of its own waits there.
        for waiting in [false, true] {
            if waiting {
                let own = call(&beta, json!({})).await;
                assert_ne!(own.result()["requestState"], state, "{era:?}");
            }
            let before = heard(&mocks[1]);
            let refused = call(&beta, again.clone()).await;
            assert_eq!(refused.code(), -32602, "{era:?} {waiting}: {refused:?}");
            assert_eq!(heard(&mocks[1]), before, "{era:?}: it went upstream");
        }
        assert_eq!(heard(&mocks[0]), met, "{era:?}: it reached the other one's");
        // It is good all the while where it is from.
        let good = call(&acme, again).await;
        assert!(good.text().contains("Ada"), "{era:?}: {good:?}");
    }
}
