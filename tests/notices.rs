//! What connectors offer and tell, kept and handed on by a running gateway.
//!
//! Owns what lies between the two ends: that offers outlive the process and the connector's
//! absence, that what is followed outlives a reload, and that a change of rights is a change
//! of lists. The streams themselves are the business of `listening` and `own_stream`.

use std::sync::{Arc, Mutex};

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    Client, Era, EventStream, Mock, MockTool, Setup, TestGateway, eventually, modern_params,
};

const ERAS: [Era; 2] = [Era::Modern, Era::Legacy];

/// Everything that came on a stream so far.
struct Heard {
    all: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Heard {
    fn on(mut stream: EventStream) -> Self {
        let all = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&all);
        let task = tokio::spawn(async move {
            while let Some(message) = stream.next().await {
                into.lock().unwrap().push(message);
            }
        });
        Self { all, task }
    }

    /// The params of all notifications of this kind.
    fn told(&self, method: &str) -> Vec<Value> {
        let all = self.all.lock().unwrap();
        let of = all.iter().filter(|message| message["method"] == method);
        of.map(|message| message["params"].clone()).collect()
    }

    /// All that has come is of this kind.
    fn only(&self, method: &str) -> bool {
        self.all.lock().unwrap().iter().all(|message| message["method"] == method)
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A modern client's stream, after its acknowledgement.
async fn listen(client: &Client, filter: Value) -> Heard {
    let params = modern_params(json!({ "notifications": filter }));
    let headers = Client::modern_headers("subscriptions/listen", &params);
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params,
    });
    let mut stream = client.stream(Method::POST, &headers, body.to_string()).await;
    let first = stream.next().await.expect("an acknowledgement");
    assert_eq!(first["params"]["notifications"], filter, "{first}");
    Heard::on(stream)
}

/// All entries of a list, from all its pages.
async fn all(client: &Client, method: &str, member: &str) -> Vec<Value> {
    let (mut entries, mut params) = (Vec::new(), json!({}));
    loop {
        let page = client.request(method, params).await;
        let result = page.result();
        entries.extend(result[member].as_array().expect("a list").iter().cloned());
        match &result["nextCursor"] {
            Value::Null => return entries,
            cursor => params = json!({ "cursor": cursor }),
        }
    }
}

/// Two connectors behind one virtual MCP, the first of them with resources.
async fn two(era: Era) -> (Mock, Mock, TestGateway) {
    let docs = Mock::start(era, vec![MockTool::echo("find")]).await;
    docs.set_resources(&["doc://a", "doc://b"]);
    let mail = Mock::start(era, vec![MockTool::echo("send")]).await;
    let gateway = Setup::new()
        .remote("docs", &docs, "")
        .remote("mail", &mail, "")
        .vmcp("main", &["docs", "mail"])
        .key("alice", &["staff"])
        .policy("all", "permit (principal, action, resource);")
        .start()
        .await;
    (docs, mail, gateway)
}

#[tokio::test]
async fn a_connector_that_is_down_keeps_what_it_offered() {
    for era in ERAS {
        let mock = Mock::start(era, vec![MockTool::echo("find")]).await;
        let uris: Vec<String> = (0..10_000).map(|at| format!("doc://shelf/{at}")).collect();
        mock.set_resources(&uris.iter().map(String::as_str).collect::<Vec<_>>());
        let gateway = Setup::simple(&mock).start().await;
        let client = gateway.client("alice", "main");
        let before = all(&client, "resources/list", "resources").await;
        let listed: Vec<&str> = before.iter().map(|one| one["uri"].as_str().unwrap()).collect();
        assert_eq!(listed, uris, "{era:?}");

        let (good, setup) = gateway.stop().await;
        assert!(good);
        drop(mock);
        let gateway = setup.start().await;
        let client = gateway.client("alice", "main");
        let after = all(&client, "resources/list", "resources").await;
        assert!(after == before, "{era:?}: {} resources are left", after.len());
        assert_eq!(client.tool_names().await, ["find"], "{era:?}");
    }
}

#[tokio::test]
async fn what_is_followed_is_followed_on_when_the_connector_is_replaced() {
    for era in ERAS {
        let (docs, _mail, gateway) = two(era).await;
        let client = gateway.client("alice", "main");
        let filter = json!({ "resourceSubscriptions": ["mcp+docs:doc://a"] });
        let modern = listen(&client, filter).await;
        let session = client.session("2025-11-25").await;
        let legacy = Heard::on(session.listen(None).await);
        let uri = json!({ "uri": "mcp+docs:doc://a" });
        assert_eq!(session.request("resources/subscribe", uri).await.result(), &json!({}));

        for round in ["before", "after"] {
            let is_told = |heard: &Heard| {
                let told = heard.told("notifications/resources/updated");
                told.iter().any(|params| {
                    assert_eq!(params["uri"], "mcp+docs:doc://a", "{era:?}: {params}");
                    params["round"] == round
                })
            };
            eventually(&format!("{era:?}: the update {round} the reload"), || async {
                for uri in ["doc://b", "doc://a"] {
                    let params = json!({ "uri": uri, "round": round });
                    docs.tell("notifications/resources/updated", params);
                }
                (is_told(&modern) && is_told(&legacy)).then_some(())
            })
            .await;
            if round == "before" {
                let seen = docs.received().len();
                let text = format!(
                    "kind = \"remote\"\nurl = \"{}\"\nallow = [\"loopback\"]\n[limits]\n\
                     timeout_ms = 59000\nanswer = 1000000\n",
                    docs.url()
                );
                gateway.write("connectors/docs.toml", &text);
                eventually("the new connector to ask for the lists", || async {
                    let new = docs.received().split_off(seen);
                    new.iter().any(|one| one.method() == "tools/list").then_some(())
                })
                .await;
            }
        }
    }
}

#[tokio::test]
async fn a_change_of_rights_is_a_change_of_lists() {
    let (_docs, _mail, gateway) = two(Era::Modern).await;
    let client = gateway.client("alice", "main");
    let filter = json!({ "toolsListChanged": true, "resourcesListChanged": true });
    let heard = listen(&client, filter).await;
    let changed = "notifications/resources/list_changed";
    let narrowed = "permit (principal, action, resource);\n\
        forbid (principal, action == Action::\"read_resource\", resource == Resource::\"docs/doc://b\");";
    for (round, policy) in
        [narrowed, "permit (principal, action, resource);"].into_iter().enumerate()
    {
        gateway.write("policies/all.cedar", policy);
        eventually("the change to be told", || async {
            (heard.told(changed).len() > round).then_some(())
        })
        .await;
        let uris = all(&client, "resources/list", "resources").await.len();
        assert_eq!(uris, if round == 0 { 1 } else { 2 });
    }
    assert!(heard.only(changed), "the tools are as they were");
}
