//! Recorded calls and logs: what `replay` and `logs` show of a gateway that ran.

use std::{os::unix::fs::PermissionsExt, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    guests::guest,
    support::{Era, Mock, MockTool, Setup, TestGateway, patiently},
};

const CARD: &str = "4111 1111 1111 1111";

/// A gateway over two tools that keeps what calls carry.
async fn recording(mock: &Mock) -> TestGateway {
    Setup::simple(mock).durability("process\"\npayloads = \"masked").start().await
}

async fn echo() -> Mock {
    Mock::start(Era::Modern, vec![MockTool::echo("echo"), MockTool::echo("other")]).await
}

/// What `replay` tells about the gateway that was set up here.
async fn replayed(config: &std::path::Path, more: &[&str]) -> Value {
    let component = guest("redact");
    let mut args = vec!["plugin", "replay", component.to_str().unwrap(), "--json"];
    args.extend(["--gateway", config.to_str().unwrap()]);
    args.extend(more);
    let output = Setup::new().bare_cli(&args).await;
    assert!(output.ok, "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[tokio::test]
async fn what_a_plugin_would_have_done_is_shown_beside_a_gateway_and_without_one() {
    let mock = echo().await;
    let gateway = recording(&mock).await;
    let client = gateway.client("alice", "main");
    client.call("echo", json!({ "message": format!("pay {CARD}") })).await.result();
    client.call("echo", json!({ "message": "nothing" })).await.result();
    client.call("other", json!({ "message": "hi", "api_key": "x" })).await.result();
    // The gateway has business of its own there, at moments of its own.
    let calls = || mock.calls("echo").len() + mock.calls("other").len();
    assert_eq!(calls(), 3);

    let config = gateway.config();
    let beside = replayed(&config, &[]).await;
    assert_eq!(beside["replayed"], 3, "{beside}");
    assert_eq!(beside["verdicts"], json!({ "proceed": 2, "replace": 1 }), "{beside}");
    assert_eq!(beside["tools"]["up/echo"], json!({ "proceed": 1, "replace": 1 }));
    assert_eq!(beside["inexact"], 1, "{beside}");
    let first = &beside["calls"][0];
    assert_eq!(
        (&first["target"], &first["user"]),
        (&json!("up/echo"), &json!("alice@example.com"))
    );
    assert_eq!(
        first["before"]["changed"],
        json!([{ "path": "/message", "was": format!("pay {CARD}"), "is": "pay [card masked]" }])
    );
    assert!(first["after"]["changed"].to_string().contains("[card masked]"), "{first}");
    assert_eq!(beside["calls"][2]["inexact"], true, "{beside}");
    assert_eq!(calls(), 3, "something was sent");

    // Reading payloads is an act of its own on the record.
    let rows = gateway.audit().await;
    assert!(rows.iter().any(|row| row["method"] == "admin:payload_read"), "{rows:?}");

    let (stopped, _setup) = gateway.stop().await;
    assert!(stopped);
    let mut without = replayed(&config, &[]).await;
    assert_eq!(without, beside);
    let narrowed = replayed(&config, &["--tool", "other", "--since", "1h"]).await;
    assert_eq!(narrowed["replayed"], 1);
    assert_eq!(replayed(&config, &["--tool", "up/echo", "--limit", "1"]).await["replayed"], 1);
    assert_eq!(replayed(&config, &["--connector", "elsewhere"]).await["replayed"], 0);
    without = replayed(&config, &["--since", "2100-01-01T00:00:00Z"]).await;
    assert_eq!(without["calls"], json!([]));
}

/// What `replay` of the guest that does as it is told says, newest call last.
async fn replayed_as(gateway: &TestGateway, act: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    std::fs::write(&file, json!({ "do": act }).to_string()).unwrap();
    let (component, config) = (guest("hostile"), gateway.config());
    let (component, config) = (component.to_str().unwrap(), config.to_str().unwrap());
    let own = file.to_str().unwrap();
    let args = ["plugin", "replay", component, "--json", "--gateway", config, "--config", own];
    let output = Setup::new().bare_cli(&args).await;
    assert!(output.ok, "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[tokio::test]
async fn hooks_hand_over_what_they_know_and_find_it_in_the_next_call() {
    let mock = echo().await;
    mock.set_resources(&["note:///1"]);
    let gateway = recording(&mock).await;
    let client = gateway.client("alice", "main");
    for message in ["one", "two"] {
        client.call("echo", json!({ "message": message })).await.result();
    }
    // The server lists it and does not know it when it is read, which is recorded as well.
    client.request("resources/read", json!({ "uri": "note:///1" })).await.code();

    let handed = replayed_as(&gateway, "state").await;
    let after = &handed["calls"][1]["after"]["said"]["replace"];
    assert_eq!(*after, json!({ "state": { "message": "two" } }), "{handed}");

    // Each answers with the count so far, which began at nothing.
    let kept = replayed_as(&gateway, "state_values").await;
    let count = |call: usize| kept["calls"][call]["before"]["said"]["answer"]["count"].clone();
    assert_eq!((count(0), count(1)), (json!(2), json!(4)), "{kept}");
    assert!(kept["calls"][0].get("after").is_none(), "a hook of the way back ran: {kept}");

    // What was read was not kept, but that it was asked for is known.
    let refused = replayed_as(&gateway, "refuse").await;
    let read = &refused["calls"][2];
    assert_eq!(read["before"]["said"]["refuse"], "not note:///1", "{refused}");
    assert_eq!(refused["verdicts"], json!({ "refuse": 3 }), "{refused}");

    let failed = replayed_as(&gateway, "trap").await;
    assert_eq!(failed["tools"]["up/echo"], json!({ "trapped": 2 }), "{failed}");
    let words = failed["calls"][0]["before"]["words"].as_str().unwrap();
    assert!(words.contains("it trapped"), "{failed}");
}

#[tokio::test]
async fn calls_without_payloads_are_counted_and_said() {
    let mock = echo().await;
    let gateway = Setup::simple(&mock).start().await;
    gateway.client("alice", "main").call("echo", json!({ "message": CARD })).await.result();
    let config = gateway.config();
    let report = replayed(&config, &[]).await;
    assert_eq!(
        (&report["replayed"], &report["lacking"]),
        (&json!(0), &json!({ "no payload was kept": 1 }))
    );

    let component = guest("redact");
    let args =
        ["plugin", "replay", component.to_str().unwrap(), "--gateway", config.to_str().unwrap()];
    let output = Setup::new().bare_cli(&args).await;
    assert!(output.ok, "{output:?}");
    assert!(output.stdout.contains("0 calls replayed"), "{output:?}");
    assert!(output.stdout.contains("payloads = \"masked\""), "{output:?}");
}

#[tokio::test]
async fn a_replay_shows_differences_to_people_and_only_to_who_has_the_key() {
    let mock = echo().await;
    let gateway = recording(&mock).await;
    let client = gateway.client("alice", "main");
    client.call("echo", json!({ "message": format!("pay {CARD}") })).await.result();
    client.call("echo", json!({ "message": "nothing" })).await.result();
    let config = gateway.config();
    let component = guest("redact");
    let args =
        ["plugin", "replay", component.to_str().unwrap(), "--gateway", config.to_str().unwrap()];
    let output = Setup::new().bare_cli(&args).await;
    assert!(output.ok, "{output:?}");
    for words in [
        "before: replace, after: replace",
        "arguments - /message: \"pay 4111",
        "arguments + /message: \"pay [card masked]\"",
        "2 calls replayed: proceed 1, replace 1",
        "up/echo: proceed 1, replace 1",
    ] {
        assert!(output.stdout.contains(words), "{words}: {output:?}");
    }
    assert!(!output.stdout.contains("nothing"), "a call that goes on was shown: {output:?}");

    // Somebody who runs as root reads any file, so the key is taken away whole.
    let key = gateway.data().join("root.key");
    let aside = gateway.data().join("aside.key");
    std::fs::rename(&key, &aside).unwrap();
    let output = Setup::new().bare_cli(&args).await;
    std::fs::rename(&aside, &key).unwrap();
    assert!(!output.ok && output.stdout.is_empty(), "{output:?}");
    assert!(output.stderr.contains("only to who can read the root key"), "{output:?}");
    assert!(!key.with_extension("key.new").exists());
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    let connector = guest("crm");
    let args =
        ["plugin", "replay", connector.to_str().unwrap(), "--gateway", config.to_str().unwrap()];
    let output = Setup::new().bare_cli(&args).await;
    assert!(!output.ok && output.stderr.contains("is no interceptor"), "{output:?}");
}

#[tokio::test]
async fn what_a_plugin_wrote_can_be_read_with_its_calls() {
    let mock = echo().await;
    let component = guest("hostile");
    let text = format!(
        "component = {component:?}\ngrants = [\"clock\", \"facts\", \"log\", \"random\", \"state\"]\n\
         [config]\ndo = \"log\"\n[[bind]]\nvmcp = \"main\"\n"
    );
    let gateway = Setup::simple(&mock).file("plugins/talker.toml", &text).start().await;
    gateway.client("alice", "main").call("echo", json!({ "message": "x" })).await;
    let rows = gateway.audit().await;
    let call = rows.iter().find(|row| row["method"] == "tools/call").unwrap()["id"].clone();

    let output = gateway.cli(&["plugin", "logs", "talker", "--json"]).await;
    assert!(output.ok, "{output:?}");
    let lines: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // It is a customizer as well, which wrote its line when the catalogue was compiled.
    for of in [&call, &Value::Null] {
        let line = lines.iter().find(|line| line["call"] == *of);
        let line = line.unwrap_or_else(|| panic!("no line of {of}: {lines:?}"));
        assert_eq!(
            (&line["text"], &line["level"]),
            (&json!("hello from the guest"), &json!("info"))
        );
        assert_eq!(line["version"].as_str().unwrap().len(), 12);
    }

    let shown = gateway.cli(&["plugin", "logs", "talker", "--since", "1h"]).await;
    assert!(shown.stdout.contains(call.as_str().unwrap()), "{shown:?}");
    let later = gateway.cli(&["plugin", "logs", "talker", "--since", "2100-01-01T00:00:00Z"]).await;
    assert!(later.ok && later.stdout.is_empty(), "{later:?}");
    let none = gateway.cli(&["plugin", "logs", "nobody"]).await;
    assert!(!none.ok && none.stderr.contains("no version of the plugin `nobody` runs"), "{none:?}");
}

#[tokio::test]
async fn lines_are_followed_as_they_are_written() {
    let mock = echo().await;
    let component = guest("hostile");
    let text = format!(
        "component = {component:?}\ngrants = [\"clock\", \"facts\", \"log\", \"random\", \"state\"]\n\
         [config]\ndo = \"log\"\ncalls_only = true\n[[bind]]\nvmcp = \"main\"\n"
    );
    let gateway = Setup::simple(&mock).file("plugins/talker.toml", &text).start().await;
    let client = gateway.client("alice", "main");
    let config = gateway.config();
    let mut following = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["plugin", "logs", "talker", "--follow", "--config", config.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    // One after another: what was shown is not shown again.
    for _ in 0..3 {
        client.call("echo", json!({ "message": "x" })).await;
        let rows = gateway.audit().await;
        let call = rows.iter().rev().find(|row| row["method"] == "tools/call").unwrap();
        let call = call["id"].as_str().unwrap().to_owned();
        let line = patiently("a line", lines.next_line()).await.unwrap().unwrap();
        assert!(line.contains(&call) && line.ends_with("hello from the guest"), "{line}");
    }
}
