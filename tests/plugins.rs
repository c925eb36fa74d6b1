//! Plugins as bound in a configuration: what they change, what happens when they misbehave.
//!
//! Owns the table of misdeeds. What the sandbox itself enforces is tested in `host/wasm`;
//! here it is what becomes of the call, of the next one, and of the audit row.

mod asked;
mod caller;
mod contract;
mod customizing;
mod everywhere;
mod lists;

use serde_json::{Value, json};

use crate::{
    guests::guest,
    support::{Client, Era, Mock, MockTool, Reply, Rpc, Setup, TestGateway},
};

/// Everything that the hostile guest imports, as a line of a file.
const GRANTS: &str = "grants = [\"clock\", \"facts\", \"log\", \"random\", \"state\"]";

/// A plugin file for a guest; `more` is TOML that comes after.
fn plugin(name: &str, more: &str) -> String {
    format!("component = {:?}\nbind = [{{ vmcp = \"main\" }}]\n{more}\n", guest(name))
}

/// What the component of `redact` imports.
const REDACT_GRANTS: &str = "grants = [\"credential\", \"facts\", \"log\"]";

/// `hostile`, told what to do; `settings` are lines before its configuration.
fn hostile(act: &str, settings: &str) -> String {
    plugin("hostile", &format!("{GRANTS}\n{settings}\n[config]\ncalls_only = true\ndo = \"{act}\""))
}

async fn with_plugins(mock: &Mock, plugins: &[(&str, String)]) -> TestGateway {
    let mut setup = Setup::simple(mock);
    for (name, text) in plugins {
        setup = setup.file(&format!("plugins/{name}.toml"), text);
    }
    setup.start().await
}

async fn echo() -> Mock {
    Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await
}

fn code(answer: &Rpc) -> &str {
    answer
        .message
        .pointer("/result/_meta/tidegate~1refusal/code")
        .and_then(Value::as_str)
        .unwrap_or("none")
}

async fn say(client: &Client, message: &str) -> Rpc {
    client.call("echo", json!({ "message": message })).await
}

#[tokio::test]
async fn redact_masks_both_ways_and_nothing_else() {
    let personal = json!({
        "resultType": "complete",
        "content": [{ "type": "text", "text": "card 4111 1111 1111 1111, iban DE89370400440532013000" }],
        "structuredContent": { "mail": "a.b@example.com", "order": "4111 1111 1111 1112", "n": 1 },
    });
    let tools = vec![MockTool::echo("echo"), MockTool::answering("who", Reply::Result(personal))];
    let mock = Mock::start(Era::Modern, tools).await;
    let gateway = with_plugins(&mock, &[("redact", plugin("redact", REDACT_GRANTS))]).await;
    let client = gateway.client("alice", "main");
    say(&client, "pay with 5555-5555-5555-4444, order 1234 5678 9012 3456").await.result();
    let sent = mock.calls("echo")[0].message["params"]["arguments"]["message"].clone();
    assert_eq!(sent, "pay with [card masked], order 1234 5678 9012 3456");
    let answer = client.call("who", json!({})).await;
    assert_eq!(answer.text(), "card [card masked], iban [iban masked]");
    let structured = &answer.result()["structuredContent"];
    assert_eq!(
        structured,
        &json!({ "mail": "[email masked]", "order": "4111 1111 1111 1112", "n": 1 })
    );
    let rows = gateway.audit().await;
    let notes = rows.last().unwrap()["plugins"].as_array().unwrap();
    let said: Vec<_> = notes.iter().map(|note| (&note["event"], &note["verdict"])).collect();
    assert_eq!(
        said,
        [(&json!("before_call"), &json!("proceed")), (&json!("after_call"), &json!("replace"))]
    );
}

#[tokio::test]
async fn what_a_task_came_to_meets_the_plugins_of_its_tool() {
    let state = json!({ "taskId": "t", "status": "working", "ttl": null,
        "createdAt": "2026-11-21T00:00:00Z", "lastUpdatedAt": "2026-11-21T00:00:00Z" });
    let personal =
        json!({ "content": [{ "type": "text", "text": "iban DE89370400440532013000" }] });
    let slow = json!({ "name": "slow", "inputSchema": { "type": "object" },
        "execution": { "taskSupport": "optional" } });
    let created = json!({ "task": state });
    let tools = vec![
        MockTool::new(slow, move |_| Reply::Result(created.clone())),
        MockTool::answering("tasks/result", Reply::Result(personal)),
        MockTool::answering("tasks/get", Reply::Result(state)),
    ];
    let mock = Mock::start(Era::Legacy, tools).await;
    let gateway = with_plugins(&mock, &[("redact", plugin("redact", REDACT_GRANTS))]).await;
    let session = gateway.client("alice", "main").session("2025-11-25").await;
    let call = json!({ "name": "slow", "arguments": {}, "task": {} });
    let created = session.request("tools/call", call).await;
    let id = created.result()["task"]["taskId"].clone();
    assert_ne!(id, "t", "{created:?}");
    let got = session.request("tasks/get", json!({ "taskId": id })).await;
    assert_eq!((&got.result()["taskId"], &got.result()["status"]), (&id, &json!("working")));
    let came_to = session.request("tasks/result", json!({ "taskId": id })).await;
    assert_eq!(came_to.text(), "iban [iban masked]");
}

#[tokio::test]
async fn a_plugin_that_misbehaves_fails_its_call_closed_and_no_other() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo"), MockTool::echo("calm")]).await;
    for act in ["loop", "memory", "trap", "recursion", "huge", "not_json", "duplicate_key", "flood"]
    {
        let limits = "[limits]\ntime_ms = 50\nmemory_mib = 16\noutput_kib = 64";
        let text = hostile(act, limits).replace("vmcp = \"main\"", "tool = \"up/echo\"");
        let gateway = with_plugins(&mock, &[("bad", text)]).await;
        let client = gateway.client("alice", "main");
        let before = mock.calls("echo").len();
        for round in 0..3 {
            let answer = say(&client, "hi").await;
            assert_eq!(code(&answer), "plugin_failed", "{act}: {answer:?}");
            assert!(answer.text().contains("`bad`"), "{act}: {answer:?}");
            let calm = client.call("calm", json!({ "message": "hi" })).await;
            assert_eq!(calm.text(), r#"{"message":"hi"}"#, "{act} in round {round}");
        }
        assert_eq!(mock.calls("echo").len(), before, "{act}: the call went upstream");
        let rows = gateway.audit().await;
        let row = rows.iter().rfind(|row| row["tool"] == "echo").unwrap();
        assert_eq!(
            (&row["status"], &row["code"]),
            (&json!("refused"), &json!("plugin_failed")),
            "{act}"
        );
    }
}

#[tokio::test]
async fn memory_that_all_plugins_have_used_up_is_no_plugins_fault() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo"), MockTool::echo("calm")]).await;
    // Its own bound is beyond that of all together.
    let limits = "[limits]\nmemory_mib = 256\ntime_ms = 10000\nwait_ms = 60000";
    let text = hostile("memory", limits).replace("vmcp = \"main\"", "tool = \"up/echo\"");
    let gateway = Setup::simple(&mock)
        .settings("[plugins]\nmemory_mib = 64\ninstances = 16")
        .file("plugins/greedy.toml", &text)
        .file("plugins/calm.toml", &plugin("bench-pass", ""))
        .start()
        .await;
    let client = gateway.client("alice", "main");
    // Far more often than opens a breaker, and what was taken is there for the next one.
    for _ in 0..8 {
        let answer = say(&client, "hi").await;
        assert_eq!(code(&answer), "plugin_failed", "{answer:?}");
        let calm = client.call("calm", json!({ "message": "hi" })).await;
        assert_eq!(calm.text(), r#"{"message":"hi"}"#);
    }
    let rows = gateway.audit().await;
    let said = rows.iter().filter(|row| row["tool"] == "echo").map(|row| {
        let notes = row["plugins"].as_array().unwrap();
        notes.iter().find(|note| note["plugin"] == "greedy").unwrap()["verdict"].clone()
    });
    assert_eq!(said.collect::<Vec<_>>(), vec![json!("memory_full"); 8]);
    let list = gateway.cli(&["plugin", "list", "--json"]).await.stdout;
    let list: Value = serde_json::from_str(&list).unwrap();
    let greedy = list.as_array().unwrap().iter().find(|one| one["name"] == "greedy").unwrap();
    assert_eq!(greedy["versions"][0]["ended"], json!({ "memory_full": 8 }), "{greedy}");
}

#[tokio::test]
async fn a_binding_says_what_a_failure_and_a_verdict_are_worth() {
    let mock = echo().await;
    for (what, act, settings, expected, verdict) in [
        ("enforced", "refuse", "", "plugin_refused", "refuse"),
        ("observed", "refuse", "mode = \"observe\"", "none", "observed:refuse"),
        ("an observed failure", "trap", "mode = \"observe\"", "none", "observed:trapped"),
        ("open", "trap", "fail = \"open\"", "none", "trapped"),
        ("closed", "trap", "fail = \"closed\"", "plugin_failed", "trapped"),
        ("a verdict of an open one", "refuse", "fail = \"open\"", "plugin_refused", "refuse"),
    ] {
        let gateway = with_plugins(&mock, &[("p", hostile(act, settings))]).await;
        let answer = say(&gateway.client("alice", "main"), "hi").await;
        assert_eq!(code(&answer), expected, "{what}: {answer:?}");
        if expected == "none" {
            assert_eq!(answer.text(), r#"{"message":"hi"}"#, "{what}");
        }
        if expected == "plugin_refused" {
            assert!(answer.text().contains("not for alice@example.com"), "{what}: {answer:?}");
        }
        let rows = gateway.audit().await;
        assert_eq!(rows.last().unwrap()["plugins"][0]["verdict"], verdict, "{what}");
    }
}

#[tokio::test]
async fn changed_arguments_are_locked_checked_and_authorized_again() {
    let tool = |schema: Value| {
        let definition = json!({ "name": "echo", "inputSchema": schema });
        MockTool::new(definition, |received| {
            Reply::Text(received.message["params"]["arguments"].to_string())
        })
    };
    let open = json!({ "type": "object", "properties": { "was": { "type": "object" }, "region": { "type": "string" } } });
    let closed =
        json!({ "type": "object", "properties": { "message": {} }, "additionalProperties": false });
    let locked = "[[tool]]\nfrom = \"up/echo\"\nlocked = { region = \"eu\" }\n";
    let forbid = r#"
        permit (principal, action, resource);
        @reason("no changed calls")
        forbid (principal, action == Action::"up/echo", resource) when { context.input has was };
    "#;
    for (what, schema, vmcp, policy, expected) in [
        ("authorized", open.clone(), "", "permit (principal, action, resource);", "none"),
        ("locked", open.clone(), locked, "permit (principal, action, resource);", "none"),
        ("forbidden", open, "", forbid, "policy_denied"),
        (
            "outside the schema",
            closed,
            "",
            "permit (principal, action, resource);",
            "invalid_arguments",
        ),
    ] {
        let mock = Mock::start(Era::Modern, vec![tool(schema)]).await;
        let gateway = Setup::simple(&mock)
            .file("vmcps/main.toml", &format!("title = \"m\"\nconnectors = [\"up\"]\n{vmcp}"))
            .policy("all", policy)
            .file("plugins/p.toml", &hostile("replace", ""))
            .start()
            .await;
        let answer = say(&gateway.client("alice", "main"), "hi").await;
        assert_eq!(code(&answer), expected, "{what}: {answer:?}");
        assert_eq!(mock.calls("echo").len(), usize::from(expected == "none"), "{what}");
        if what == "locked" {
            let sent = &mock.calls("echo")[0].message["params"]["arguments"];
            assert_eq!(sent["region"], "eu", "{sent}");
            assert!(sent["was"].is_object(), "{sent}");
        }
    }
}

#[tokio::test]
async fn every_call_meets_a_fresh_instance() {
    let mock = echo().await;
    let gateway = with_plugins(&mock, &[("counts", hostile("count", ""))]).await;
    let client = gateway.client("alice", "main");
    for _ in 0..3 {
        // It answers with a count of its calls, in place of the upstream.
        assert_eq!(say(&client, "hi").await.result()["count"], 1);
    }
    assert!(mock.calls("echo").is_empty());
}

#[tokio::test]
async fn what_the_first_hook_remembers_reaches_the_second() {
    let mock = echo().await;
    let gateway = with_plugins(&mock, &[("remembers", hostile("state", ""))]).await;
    let answer = say(&gateway.client("alice", "main"), "hi").await;
    assert_eq!(answer.result()["state"], json!({ "message": "hi" }));
    assert_eq!(mock.calls("echo").len(), 1);
}

#[tokio::test]
async fn what_is_observed_remembers_as_it_would_in_force() {
    let mock = echo().await;
    for (settings, expected) in [("", "proceed"), ("mode = \"observe\"", "observed:proceed")] {
        let gateway = with_plugins(&mock, &[("p", hostile("rely", settings))]).await;
        say(&gateway.client("alice", "main"), "hi").await.result();
        let rows = gateway.audit().await;
        assert_eq!(rows.last().unwrap()["plugins"][1]["verdict"], expected);
    }
}

/// A call that took too long is refused as such, and does not go on without its plugin.
#[tokio::test]
async fn a_call_that_is_over_ends_whatever_a_failure_counts() {
    let mock = echo().await;
    for settings in ["fail = \"open\"", "fail = \"closed\""] {
        let limits = "[limits]\ntime_ms = 10000\nwait_ms = 300000";
        let file = hostile("loop", &format!("{settings}\n{limits}"));
        let gateway = Setup::simple(&mock)
            .remote("up", &mock, "[limits]\ntimeout_ms = 300")
            .file("plugins/p.toml", &file)
            .start()
            .await;
        let answer = say(&gateway.client("alice", "main"), "hi").await;
        assert_eq!(code(&answer), "deadline_exceeded", "{settings}: {answer:?}");
    }
    assert!(mock.calls("echo").is_empty());
}

#[tokio::test]
async fn plugins_run_in_order_in_and_in_reverse_out() {
    let mock = echo().await;
    let bound = |order: i32| {
        let text = plugin("bench-pass", "");
        text.replace("vmcp = \"main\"", &format!("vmcp = \"main\", order = {order}"))
    };
    let plugins = [("a", bound(30)), ("b", bound(10)), ("c", bound(20))];
    let gateway = with_plugins(&mock, &plugins).await;
    say(&gateway.client("alice", "main"), "hi").await.result();
    let rows = gateway.audit().await;
    let notes = rows.last().unwrap()["plugins"].as_array().unwrap().clone();
    let order: Vec<_> = notes.iter().map(|note| note["plugin"].as_str().unwrap()).collect();
    assert_eq!(order, ["b", "c", "a", "a", "c", "b"]);
}

#[tokio::test]
async fn a_customizer_edits_the_list_and_what_it_breaks_is_not_taken() {
    let mock = echo().await;
    let retool = plugin(
        "retool",
        "[config.tools.echo]\nname = \"say\"\ntitle = \"Say\"\ndefaults = { message = \"hi\" }",
    );
    let gateway = with_plugins(&mock, &[("retool", retool)]).await;
    let client = gateway.client("alice", "main");
    let tools = client.tools().await;
    assert_eq!((&tools[0]["name"], &tools[0]["title"]), (&json!("say"), &json!("Say")));
    assert_eq!(client.call("say", json!({})).await.text(), r#"{"message":"hi"}"#);
}
