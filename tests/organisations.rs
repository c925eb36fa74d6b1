//! Organisations in one process: nothing of one is seen, reached or disturbed by another.
//!
//! All of them have connectors, virtual MCPs, plugins, keys and people of the same names, so
//! that whatever is keyed by a name alone would show.

mod commands;
mod living;
mod states;

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    guests::guest,
    support::{CliOutput, Client, Era, Mock, MockTool, Reply, Rpc, Setup, TestGateway, eventually},
};

const ORGS: [&str; 3] = ["", "acme", "beta"];
const ALL: &str = "permit (principal, action, resource);";

/// An upstream that answers with its own name, takes tasks and echoes.
async fn upstream(name: &'static str) -> Mock {
    let result = json!({ "resultType": "complete", "content": [{ "type": "text", "text": name }] });
    let task = json!({
        "resultType": "task", "taskId": "t-1", "status": "working", "ttlMs": null,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z",
    });
    let tools = vec![
        MockTool::echo("echo"),
        MockTool::answering("long", Reply::Result(task)),
        MockTool::answering("who", Reply::Result(result)),
    ];
    let mock = Mock::start(Era::Modern, tools).await;
    mock.set_tasks();
    mock.set_resources(&["doc://a"]);
    mock
}

/// The hostile guest as a plugin that answers `echo` with what it finds.
fn plugin(act: &str, vmcp: &str) -> String {
    format!(
        "component = {:?}\nbind = [{{ vmcp = \"{vmcp}\", tool = \"up/echo\" }}]\n\
         grants = [\"clock\", \"facts\", \"log\", \"random\", \"state\"]\n\
         [config]\ncalls_only = true\ndo = \"{act}\"\n",
        guest("hostile")
    )
}

/// One organisation as all of them are; what its plugin `noter` does tells them apart.
fn fill(setup: Setup, mock: &Mock, noter: &str) -> Setup {
    setup
        .remote("up", mock, "")
        .vmcp("main", &["up"])
        .vmcp("notes", &["up"])
        .vmcp("spoken", &["up"])
        .key("alice", &["staff"])
        .policy("all", ALL)
        .file("plugins/counter.toml", &plugin("state_values", "main"))
        .file("plugins/noter.toml", &plugin(noter, "notes"))
        .file("plugins/talker.toml", &plugin("log", "spoken"))
}

struct Stand {
    gateway: TestGateway,
    mocks: [Mock; 3],
}

impl Stand {
    /// `default` and two others, all alike.
    async fn new() -> Self {
        let mocks = [upstream("default").await, upstream("acme").await, upstream("beta").await];
        let [top, acme, beta] = &mocks;
        let setup = fill(Setup::new(), top, "facts_all").settings("[limits]\npage = 1");
        let setup = setup.organisation("acme", |setup| fill(setup, acme, "facts"));
        let setup = setup.organisation("beta", |setup| fill(setup, beta, "facts_all"));
        Self { gateway: setup.start().await, mocks }
    }

    /// Alice of an organisation, at one of its virtual MCPs.
    fn alice(&self, org: &str, vmcp: &str) -> Client {
        match org {
            "" => self.gateway.client("alice", vmcp),
            org => self.gateway.client_of(org, "alice", vmcp),
        }
    }

    /// A command about an organisation.
    async fn cli(&self, org: &str, args: &[&str]) -> CliOutput {
        cli(&self.gateway, org, args).await
    }
}

async fn cli(gateway: &TestGateway, org: &str, args: &[&str]) -> CliOutput {
    let mut args = args.to_vec();
    if !org.is_empty() {
        args.extend(["--org", org]);
    }
    gateway.cli(&args).await
}

async fn status(gateway: &TestGateway, org: &str) -> Value {
    let output = cli(gateway, org, &["status", "--json"]).await;
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What the plugin of a tool says of what it finds.
async fn echoed(client: &Client) -> Value {
    client.call("echo", json!({})).await.result().clone()
}

fn able(mut params: Value) -> Value {
    let can = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    params["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": can });
    params
}

#[tokio::test]
async fn calls_reach_the_upstream_of_their_own_organisation() {
    let stand = Stand::new().await;
    for org in ORGS {
        let answer = stand.alice(org, "main").call("who", json!({})).await;
        assert_eq!(answer.text(), if org.is_empty() { "default" } else { org });
    }
    for mock in &stand.mocks {
        assert_eq!(mock.calls("who").len(), 1);
    }
    // What one upstream offers now is in the lists of one organisation.
    stand.mocks[1].set_tools(vec![MockTool::echo("acme-only")]);
    stand.mocks[1].tell("notifications/tools/list_changed", json!({}));
    let first = async |org: &str| {
        let list = stand.alice(org, "main").request("tools/list", json!({})).await;
        list.result()["tools"][0]["name"].clone()
    };
    eventually("the changed list", || async { (first("acme").await == "acme-only").then_some(()) })
        .await;
    for org in ["", "beta"] {
        assert_eq!(stand.alice(org, "main").tool_names().await, ["echo", "long", "who"], "{org}");
    }
    let hidden = stand.alice("beta", "main").call("acme-only", json!({})).await;
    assert_eq!(hidden.code(), -32602, "{hidden:?}");
}

#[tokio::test]
async fn a_key_is_good_in_its_own_organisation_alone() {
    let stand = Stand::new().await;
    for of in ORGS {
        let key = stand.alice(of, "main").key.unwrap();
        for at in ORGS {
            let client = match at {
                "" => stand.gateway.anonymous("main").with_key(&key),
                at => stand.gateway.anonymous_of(at, "main").with_key(&key),
            };
            let answer = client.send(Method::POST, &[], "{}").await;
            let is_refused = answer.status == 401;
            assert_eq!(is_refused, of != at, "a key of `{of}` at `{at}`: {answer:?}");
        }
        let nowhere = stand.gateway.anonymous_of("nobody", "main").with_key(&key);
        assert_eq!(nowhere.send(Method::POST, &[], "{}").await.status, 401);
    }
}

#[tokio::test]
async fn what_clients_hold_of_one_organisation_opens_nothing_in_another() {
    let stand = Stand::new().await;
    let (acme, beta) = (stand.alice("acme", "main"), stand.alice("beta", "main"));
    let refused = |answer: Rpc, what: &str| {
        assert_eq!(answer.code(), -32602, "{what}: {answer:?}");
    };

    let first = acme.request("tools/list", json!({})).await;
    let cursor = json!({ "cursor": first.result()["nextCursor"] });
    assert!(acme.request("tools/list", cursor.clone()).await.message.get("result").is_some());
    refused(beta.request("tools/list", cursor).await, "a cursor");

    let begin = able(json!({ "name": "long", "arguments": {} }));
    let begun = acme.request("tools/call", begin.clone()).await;
    let task = begun.result()["taskId"].as_str().unwrap().to_owned();
    let own = beta.request("tools/call", begin).await.result()["taskId"].clone();
    assert_ne!(own, json!(task), "the same task id upstream is another here");
    refused(beta.request("tasks/get", able(json!({ "taskId": task }))).await, "a task");
    assert!(stand.mocks[2].received().iter().all(|one| one.method() != "tasks/get"));

    let session = acme.session("2025-11-25").await;
    let id = session.id.clone().unwrap();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let at = async |client: &Client| {
        client.send(Method::POST, &[("mcp-session-id", &id)], ping).await.status.as_u16()
    };
    assert_eq!((at(&acme).await, at(&beta).await), (200, 404));
    let delete = beta.send(Method::DELETE, &[("mcp-session-id", &id)], "").await;
    assert_eq!(delete.status, 404);
    assert_eq!(at(&acme).await, 200, "nobody else ends it");
    let sessions = async |org: &str| status(&stand.gateway, org).await["sessions"].clone();
    assert_eq!((sessions("acme").await, sessions("beta").await), (json!(1), json!(0)));
}

#[tokio::test]
async fn what_plugins_keep_and_note_is_their_organisations_own() {
    let stand = Stand::new().await;
    let count = async |org: &str| echoed(&stand.alice(org, "main")).await["count"].clone();
    assert_eq!((count("acme").await, count("acme").await), (json!(2), json!(4)));
    assert_eq!((count("beta").await, count("").await), (json!(2), json!(2)));

    let noted = echoed(&stand.alice("acme", "notes")).await;
    assert_eq!(noted["all"], json!(["read:customer-data"]));
    for org in ["beta", ""] {
        assert_eq!(echoed(&stand.alice(org, "notes")).await["all"], json!([]), "{org}");
    }

    // A plugin that has spoken in one organisation is silent in the others.
    echoed(&stand.alice("acme", "spoken")).await;
    let lines = async |org: &str| stand.cli(org, &["plugin", "logs", "talker", "--json"]).await;
    let spoken = lines("acme").await;
    assert!(spoken.ok && spoken.stdout.contains("from the guest"), "{spoken:?}");
    for org in ["beta", ""] {
        let silent = lines(org).await;
        assert!(silent.ok && silent.stdout.is_empty(), "{org}: {silent:?}");
    }

    // And counted apart, for people and for machines.
    let calls = |status: &Value, plugin: &str| -> u64 {
        let plugins = status["plugins"].as_array().unwrap();
        let found = plugins.iter().find(|one| one["id"] == plugin).unwrap();
        found["versions"][0]["calls"].as_u64().unwrap_or_default()
    };
    for (org, counted, talked) in [("acme", 2, 1), ("beta", 1, 0), ("", 1, 0)] {
        let status = status(&stand.gateway, org).await;
        assert_eq!((calls(&status, "counter"), calls(&status, "talker")), (counted, talked));
    }
    let metrics = stand.gateway.ops("/metrics").send(Method::GET, &[], "").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    let hooks = |org: &str, plugin: &str| {
        let begins = format!("tidegate_plugin_hooks_total{{org=\"{org}\",plugin=\"{plugin}\"");
        let line = text.lines().find(|line| line.starts_with(&begins)).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert_eq!((hooks("acme", "counter"), hooks("beta", "counter")), (Some(2), Some(1)));
    assert_eq!((hooks("acme", "talker"), hooks("beta", "talker")), (Some(1), None));
}

#[tokio::test]
async fn the_audit_log_is_searched_within_one_organisation() {
    let stand = Stand::new().await;
    for org in ORGS {
        stand.alice(org, "main").call("who", json!({ "for": org })).await.result();
    }
    let rows = async |org: &str, args: &[&str]| -> Vec<Value> {
        let mut all = vec!["audit", "find", "--json"];
        all.extend(args);
        let found = stand.cli(org, &all).await;
        assert!(found.ok, "{found:?}");
        found.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let mut calls = Vec::new();
    for org in ORGS {
        let found = rows(org, &["--tool", "up/who"]).await;
        let name = if org.is_empty() { "default" } else { org };
        assert!(found.iter().all(|row| row["org"] == name), "{found:?}");
        calls.push(found.last().unwrap()["id"].as_str().unwrap().to_owned());
        let of_alice = rows(org, &["--user", "alice@example.com"]).await;
        assert!(of_alice.iter().all(|row| row["org"] == name), "{of_alice:?}");
        assert!(!of_alice.is_empty());
    }
    for (org, call) in ORGS.iter().zip(&calls) {
        for at in ORGS {
            let found = rows(at, &["--call", call]).await;
            assert_eq!(!found.is_empty(), *org == at, "a call of `{org}` at `{at}`");
        }
    }
    let tail = stand.gateway.cli(&["audit", "tail", "--json", "-n", "1000", "--org", "beta"]).await;
    assert!(tail.stdout.lines().count() > 0);
    assert!(tail.stdout.lines().all(|line| line.contains(r#""org":"beta""#)), "{tail:?}");
}
