//! The same chain on every transport and kind of connector, for clients of both eras.
//!
//! One table: what a plugin does, to which event, and what the client gets. The upstreams
//! differ in what they are and in the names of what they offer, in nothing else.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Child;

use super::{
    GRANTS,
    caller::{Caller, Ended},
};
use crate::{
    conformance::Fixture,
    guests::guest,
    peers,
    support::{Setup, TestGateway, eventually},
};

/// What an upstream is asked for one event: the method and its parameters.
#[derive(Debug, Clone)]
struct Sample {
    event: &'static str,
    method: &'static str,
    params: Value,
}

/// An upstream and what it offers. `swap` is what a plugin puts in the place of `Ada` on the
/// way in, and finds in what comes back.
struct Upstream {
    name: &'static str,
    connector: String,
    swap: &'static str,
    samples: Vec<Sample>,
    /// Whoever serves it.
    _kept: (Option<Fixture>, Option<Child>),
}

fn sample(event: &'static str, params: Value) -> Sample {
    let method = match event {
        "call" => "tools/call",
        "prompt" => "prompts/get",
        "read" => "resources/read",
        _ => "completion/complete",
    };
    Sample { event, method, params }
}

fn remote(url: &str) -> String {
    format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n")
}

/// The conformance fixture over Streamable HTTP.
async fn fixture(name: &'static str) -> Upstream {
    let fixture = Fixture::start(name).await;
    let of = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
    let samples = vec![
        sample("call", json!({ "name": "greet", "arguments": { "name": "Ada" } })),
        sample(
            "prompt",
            json!({ "name": "test_prompt_with_arguments",
                "arguments": { "arg1": "Ada", "arg2": "b" } }),
        ),
        sample("read", json!({ "uri": "test://template/pa/data" })),
        sample("completion", json!({ "ref": of, "argument": { "name": "arg1", "value": "Ada" } })),
    ];
    let connector = remote(&fixture.url);
    Upstream { name, connector, swap: "pa", samples, _kept: (Some(fixture), None) }
}

/// The reference server, over HTTP+SSE or hosted over stdio.
fn everything(name: &'static str, connector: String, child: Option<Child>) -> Upstream {
    let of = json!({ "type": "ref/prompt", "name": "completable-prompt" });
    let samples = vec![
        sample("call", json!({ "name": "echo", "arguments": { "message": "Ada" } })),
        sample("prompt", json!({ "name": "args-prompt", "arguments": { "city": "Ada" } })),
        sample("read", json!({ "uri": "demo://resource/static/document/architecture.md" })),
        sample(
            "completion",
            json!({
                "ref": of,
                "argument": { "name": "name", "value": "Ada" },
                "context": { "arguments": { "department": "Sales" } },
            }),
        ),
    ];
    Upstream { name, connector, swap: "Eve", samples, _kept: (None, child) }
}

/// A component that is a server; it completes nothing.
fn component(path: &Path) -> Upstream {
    let connector = format!(
        "kind = \"wasm\"\ncomponent = {path:?}\n{GRANTS}\n[config]\ncalls_only = true\ndo = \"echo\"\n"
    );
    let samples = vec![
        sample("call", json!({ "name": "act", "arguments": { "name": "Ada" } })),
        sample("prompt", json!({ "name": "greet", "arguments": { "city": "Ada" } })),
        sample("read", json!({ "uri": "note://one" })),
    ];
    Upstream { name: "wasm", connector, swap: "Eve", samples, _kept: (None, None) }
}

async fn upstreams() -> Vec<Upstream> {
    let (server, port) = peers::everything("sse").await;
    let sse = remote(&format!("http://127.0.0.1:{port}/sse"));
    let stdio = peers::hosted("server-everything/dist/index.js", &["stdio"]);
    vec![
        fixture("modern").await,
        fixture("legacy").await,
        everything("sse", sse, Some(server)),
        everything("stdio", stdio, None),
        component(&guest("hostile")),
    ]
}

/// What the plugins do, each at a virtual MCP of its own.
const ACTS: [&str; 8] =
    ["swap", "refuse_all", "answer_all", "withhold", "hand_over", "confirm", "insist", "hide"];

async fn gateway(upstream: &Upstream) -> TestGateway {
    let mut setup = Setup::new()
        .file("connectors/up.toml", &upstream.connector)
        .key("alice", &[])
        .policy("all", "permit (principal, action, resource);")
        .vmcp("plain", &["up"]);
    for act in ACTS {
        let name = act.replace('_', "-");
        let swap = upstream.swap;
        let text = format!(
            "component = {:?}\nbind = [{{ vmcp = \"{name}\" }}]\n{GRANTS}\n[limits]\ntime_ms = 2000\n\
             wait_ms = 10000\n[config]\ncalls_only = true\ndo = \"{act}\"\n\
             in = [\"Ada\", \"{swap}\"]\nout = [\"{swap}\", \"Mia\"]\n",
            guest("hostile")
        );
        setup = setup.vmcp(&name, &["up"]).file(&format!("plugins/{name}.toml"), &text);
    }
    let gateway = setup.start().await;
    let client = gateway.client("alice", "plain");
    eventually("what the connector offers", || async {
        let prompts = client.request("prompts/list", json!({})).await;
        let prompts = prompts.message["result"]["prompts"].as_array().map_or(0, Vec::len);
        (prompts > 0).then_some(())
    })
    .await;
    gateway
}

/// Whether the client got what this act is to bring about.
fn check(act: &str, sample: &Sample, swap: &str, ended: &Ended) -> Result<(), String> {
    let text = ended.text();
    let is_completion = sample.event == "completion";
    let fine = match act {
        "swap" => text.contains("Mia") && !text.contains(swap) && !text.contains("Ada"),
        "refuse_all" | "withhold" => ended.code() == "plugin_refused",
        "answer_all" => text.contains("answered") && ended.code() == "none",
        "hand_over" => ended.message["result"]["handed"] == sample.method,
        // Nobody is asked while they type.
        "confirm" | "insist" if is_completion => ended.code() == "plugin_failed",
        "confirm" => {
            let asks = "plugin confirm of the gateway: Are you sure?";
            ended.question() == asks
                && ended.code() == "none"
                && ended.message["result"].is_object()
        }
        "insist" => ended.asked.len() == 3 && ended.code() == "plugin_refused",
        _ => ended.code() == "none" && ended.message["result"].is_object(),
    };
    if fine { Ok(()) } else { Err(format!("{act} at {}: {ended:?}", sample.event)) }
}

#[tokio::test]
async fn the_chain_is_the_same_on_every_transport_and_kind_of_connector() {
    let accept = json!({ "action": "accept", "content": { "why": "because" } });
    // What the plugin that insists asks for has no fields.
    let cancel = json!({ "action": "cancel" });
    for upstream in upstreams().await {
        let gateway = gateway(&upstream).await;
        let mut problems = Vec::new();
        for act in ACTS {
            for (era, caller) in Caller::both(&gateway, &act.replace('_', "-")).await {
                for sample in &upstream.samples {
                    let reply = if act == "insist" { &cancel } else { &accept };
                    let ended = caller.request(sample.method, sample.params.clone(), reply).await;
                    if let Err(problem) = check(act, sample, upstream.swap, &ended) {
                        problems.push(format!("{} for {era}: {problem}", upstream.name));
                    }
                }
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        lists(&upstream, &gateway).await;
        notes(&upstream, &gateway).await;
    }
}

/// The first entry of each list is hidden by the plugin, and all others are there.
async fn lists(upstream: &Upstream, gateway: &TestGateway) {
    let whole = Caller::both(gateway, "plain").await;
    let hidden = Caller::both(gateway, "hide").await;
    for ((era, whole), (_, hidden)) in whole.iter().zip(&hidden) {
        for (method, member) in
            [("tools/list", "tools"), ("prompts/list", "prompts"), ("resources/list", "resources")]
        {
            let (all, left) = (whole.list(method, member).await, hidden.list(method, member).await);
            assert_eq!(left, all[1..], "{} for {era}: {method}", upstream.name);
        }
    }
}

/// Each hook that ran left its note, under the name of its event.
async fn notes(upstream: &Upstream, gateway: &TestGateway) {
    let rows = gateway.audit().await;
    for sample in &upstream.samples {
        for (hook, verdict) in [("before", "refuse"), ("before", "answer"), ("after", "refuse")] {
            let event = format!("{hook}_{}", sample.event);
            let is_note = |note: &Value| note["event"] == *event && note["verdict"] == verdict;
            let found = rows.iter().filter(|row| row["method"] == sample.method).any(|row| {
                row["plugins"].as_array().is_some_and(|notes| notes.iter().any(is_note))
            });
            assert!(found, "{}: no {event} with {verdict}", upstream.name);
        }
    }
    let shown = rows.iter().any(|row| row["plugins"][0]["event"] == "shown");
    assert!(shown, "{}: nothing shown", upstream.name);
}
