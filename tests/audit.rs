//! What the audit log says about each operation, and what verifying it finds.
//!
//! Owns the expected row of every way a call can end. Crashes are in `crash`; the bytes of the
//! log are tested in `host/store`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{
    CliOutput, Client, Era, Mock, MockTool, Reply, Setup, TestGateway, eventually,
};

const POLICIES: &str = r#"
@id("everything")
permit (principal in Group::"staff", action, resource);
@id("no-secrets")
@reason("not this one")
forbid (principal, action == Action::"up/write", resource)
when { context.input has message && context.input.message == "forbidden" };
"#;

async fn world() -> (Mock, TestGateway) {
    let writing = json!({
        "name": "write",
        "inputSchema": { "type": "object", "properties": { "message": { "type": "string" } } },
        "annotations": { "readOnlyHint": false },
    });
    let hanging = json!({ "name": "hangs", "inputSchema": { "type": "object" } });
    let failed = json!({ "resultType": "complete", "isError": true, "content": [] });
    let tools = vec![
        MockTool::echo("read"),
        MockTool::new(writing, |_| Reply::Text("written".into())),
        MockTool::answering("fails", Reply::Result(failed)),
        MockTool::answering("errs", Reply::Error(json!({ "code": -1, "message": "no" }))),
        MockTool::answering("resets", Reply::Reset),
        MockTool::new(hanging, |_| Reply::Hang),
    ];
    let mock = Mock::start(Era::Modern, tools).await;
    let gateway = Setup::simple(&mock).policy("all", POLICIES).durability("disk").start().await;
    (mock, gateway)
}

fn find<'a>(rows: &'a [Value], phase: &str, end: &str) -> &'a Value {
    let found = rows.iter().find(|row| {
        row["phase"] == phase && (row["status"] == end || row["code"] == end || phase == "intent")
    });
    found.unwrap_or_else(|| panic!("no row of {phase} {end} in {rows:#?}"))
}

/// The members of `expected` are in the row.
fn check_row(row: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&row[name], value, "{name} of {row:#}");
    }
}

async fn traced(client: &Client, tool: &str, arguments: Value, trace: &str) {
    let meta = json!({ "traceparent": format!("00-{trace}-00f067aa0ba902b7-01") });
    let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    client.request("tools/call", params).await;
}

#[tokio::test]
async fn every_end_of_a_call_has_its_row() {
    let (_mock, gateway) = world().await;
    let client = gateway.client("alice", "main");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    traced(&client, "read", json!({ "message": "hi" }), trace).await;
    for (tool, arguments) in [
        ("write", json!({ "message": "x" })),
        ("write", json!({ "message": "forbidden" })),
        ("read", json!({ "message": 7 })),
        ("nothing", json!({})),
        ("fails", json!({})),
        ("errs", json!({})),
        ("resets", json!({})),
    ] {
        client.call(tool, arguments).await;
    }
    let rows = gateway.audit().await;
    let ok = find(&rows, "outcome", "ok");
    check_row(
        ok,
        &json!({
            "v": 1, "method": "tools/call", "org": "default", "vmcp": "main", "connector": "up",
            "tool": "read", "client": "tidegate-tests", "source": "127.0.0.1", "trace": trace,
            "policies": ["everything"],
            "caller": { "user": "alice@example.com", "groups": ["staff"], "key": "alice", "sign_in": "api_key" },
        }),
    );
    assert_eq!(ok["arguments"]["bytes"], json!({ "message": "hi" }).to_string().len());
    assert!(ok["result"]["bytes"].as_u64() > Some(0) && ok["revision"].as_u64() > Some(0));
    assert!(ok["id"].as_str().is_some_and(|id| id.len() == 32), "{ok}");
    for stage in ["authorize", "connector"] {
        assert!(ok["timings"][stage].as_u64() > Some(0), "{stage}: {ok}");
    }
    for (code, expected) in [
        (
            "policy_denied",
            json!({ "status": "refused", "tool": "write", "policies": ["no-secrets"] }),
        ),
        ("invalid_arguments", json!({ "status": "refused", "tool": "read" })),
        ("not_found", json!({ "status": "refused", "asked": "nothing", "tool": null })),
        ("connector_unavailable", json!({ "status": "refused", "tool": "resets" })),
        ("tool_error", json!({ "tool": "fails", "code": null })),
        ("upstream_error", json!({ "tool": "errs", "code": null })),
    ] {
        check_row(find(&rows, "outcome", code), &expected);
    }
    // A call that may change something is on record before it leaves; one that cannot is not.
    let intents: Vec<&Value> = rows.iter().filter(|row| row["phase"] == "intent").collect();
    assert!(intents.iter().all(|row| row["tool"] != "read"), "{intents:#?}");
    let intent = find(&rows, "intent", "");
    let place = |row: &Value| rows.iter().position(|other| other == row).unwrap();
    let outcome = rows.iter().find(|row| row["id"] == intent["id"] && row["phase"] == "outcome");
    assert!(place(intent) < place(outcome.unwrap()), "{rows:#?}");
    assert_eq!(intent["arguments"], outcome.unwrap()["arguments"]);
}

#[tokio::test]
async fn lists_and_admin_actions_have_rows_too() {
    let (_mock, gateway) = world().await;
    gateway.client("alice", "main").tool_names().await;
    gateway.cli(&["status"]).await;
    let rows = gateway.audit().await;
    let list = rows.iter().find(|row| row["method"] == "tools/list").unwrap();
    check_row(list, &json!({ "status": "ok", "vmcp": "main" }));
    let admin = rows.iter().find(|row| row["method"] == "admin:status").unwrap();
    assert_eq!(admin["caller"]["sign_in"], "admin_socket");
}

#[tokio::test]
async fn rows_are_found_by_what_they_say() {
    let (_mock, gateway) = world().await;
    let client = gateway.client("alice", "main");
    client.call("read", json!({})).await;
    client.call("write", json!({ "message": "forbidden" })).await;
    client.call("fails", json!({})).await;
    for (question, tools) in [
        (&["--code", "policy_denied"][..], &["write"][..]),
        (&["--tool", "up/fails"], &["fails"]),
        (&["--tool", "up/nothing"], &[]),
        (&["--user", "alice@example.com", "--code", "policy_denied"], &["write"]),
        (&["--user", "mallory@example.com"], &[]),
        (&["--since", "2999-01-01T00:00:00Z"], &[]),
    ] {
        let mut args = vec!["audit", "find", "--json"];
        args.extend(question);
        eventually(&format!("{tools:?} for {question:?}"), || async {
            let output = gateway.cli(&args).await;
            assert!(output.ok, "{question:?}: {output:?}");
            let rows =
                output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let found: Vec<Value> = rows.map(|row| row["tool"].clone()).collect();
            (found == tools).then_some(())
        })
        .await;
    }
    let wrong = gateway.cli(&["audit", "find", "--code", "nonsense"]).await;
    assert!(!wrong.ok && wrong.stderr.contains("nonsense"), "{wrong:?}");
}

#[tokio::test]
async fn digests_tell_same_from_different_and_cannot_be_guessed() {
    let (_mock, gateway) = world().await;
    let client = gateway.client("alice", "main");
    for message in ["yes", "yes", "no"] {
        client.call("read", json!({ "message": message })).await;
    }
    let rows = gateway.audit().await;
    let digest = |nth: usize| rows[nth]["arguments"]["hmac"].as_str().unwrap().to_owned();
    assert_eq!(digest(0), digest(1));
    assert_ne!(digest(0), digest(2));
    // SHA-256 of {"message":"yes"}, which anybody could look up.
    let plain = "b0d7a3ed52f6eb6b7bb5e1b1ea4d0cb4";
    assert!(!digest(0).starts_with(plain));
    assert!(rows.iter().all(|row| !row.to_string().contains("\"yes\"")));
}

/// A gateway's data after a few calls and a clean end.
async fn ended(calls: usize) -> Setup {
    let (_mock, gateway) = world().await;
    let client = gateway.client("alice", "main");
    for call in 0..calls {
        client.call("read", json!({ "message": format!("call {call}") })).await;
    }
    let (ended, setup) = gateway.stop().await;
    assert!(ended);
    setup
}

async fn verify(setup: &Setup, more: &[&str]) -> CliOutput {
    let mut args = vec!["audit", "verify"];
    args.extend(more);
    setup.cli(&args).await
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Replaces text of the same length in whichever file of the log has it.
fn forge(setup: &Setup, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    for path in files(&setup.data().join("audit")) {
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes());
        if let Some(at) = at {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            std::fs::write(&path, bytes).unwrap();
            return;
        }
    }
    panic!("`{from}` is nowhere in the log");
}

#[tokio::test]
async fn verifying_finds_what_was_changed() {
    let setup = ended(5).await;
    let sound = verify(&setup, &[]).await;
    assert!(sound.ok && sound.stdout.starts_with("sound: 5 rows"), "{sound:?}");
    forge(&setup, "\"user\":\"alice@example.com\"", "\"user\":\"mally@example.com\"");
    let forged = verify(&setup, &[]).await;
    assert!(!forged.ok, "{forged:?}");
    assert!(forged.stdout.contains("TAMPERED") && forged.stdout.contains("row 0"), "{forged:?}");
}

#[tokio::test]
async fn a_checkpoint_kept_elsewhere_finds_a_log_that_was_rolled_back() {
    let setup = ended(3).await;
    let audit = setup.data().join("audit");
    let kept: Vec<(PathBuf, Vec<u8>)> = files(&audit)
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    let gateway = setup.start().await;
    let client = gateway.client("alice", "main");
    client.call("read", json!({ "message": "to be forgotten" })).await;
    let (ended, setup) = gateway.stop().await;
    assert!(ended);
    let checkpoint = setup.data().join("elsewhere");
    let notes = std::fs::read_to_string(audit.join("checkpoints")).unwrap();
    let last = notes.trim_end().rsplit("\n\n").take(2).collect::<Vec<_>>();
    let last = format!("{}\n\n{}\n", last[1], last[0]);
    std::fs::write(&checkpoint, last).unwrap();
    let against = ["--against", checkpoint.to_str().unwrap()];
    let sound = verify(&setup, &against).await;
    assert!(sound.ok, "{sound:?}");
    for path in files(&audit) {
        std::fs::remove_file(path).unwrap();
    }
    for (path, bytes) in kept {
        std::fs::write(path, bytes).unwrap();
    }
    assert!(verify(&setup, &[]).await.ok, "the log of before is sound by itself");
    let found = verify(&setup, &against).await;
    assert!(!found.ok, "{found:?}");
}

#[tokio::test]
async fn tail_shows_the_last_rows_in_one_line_each() {
    let setup = ended(5).await;
    let tail = setup.cli(&["audit", "tail", "-n", "2"]).await;
    let lines: Vec<&str> = tail.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{tail:?}");
    for word in ["alice@example.com", "main", "up/read", "ok", "everything"] {
        assert!(lines[1].contains(word), "{word}: {lines:?}");
    }
    let all = setup.cli(&["audit", "tail", "-n", "100", "--json"]).await;
    for line in all.stdout.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row.to_string().len(), line.len(), "not canonical: {line}");
    }
}

#[tokio::test]
async fn a_call_under_way_when_the_process_dies_is_closed_at_the_next_start() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (mock, gateway) = world().await;
    let client = gateway.client("alice", "main");
    let calling = tokio::spawn(async move { traced(&client, "hangs", json!({}), TRACE).await });
    let left = || async { (mock.calls("hangs").len() == 1).then_some(()) };
    eventually("the call to leave", left).await;
    let gateway = gateway.kill().await.start().await;
    assert!(calling.await.is_err(), "somebody answered");
    let rows = eventually("the row to be closed", || async {
        let rows = gateway.audit().await;
        let ended = rows.iter().any(|row| row["trace"] == TRACE && row["status"] == "abandoned");
        ended.then_some(rows)
    })
    .await;
    let rows: Vec<_> = rows.iter().filter(|row| row["trace"] == TRACE).collect();
    assert_eq!(rows.len(), 2, "an intent and one end: {rows:#?}");
    assert_eq!((&rows[0]["phase"], &rows[1]["phase"]), (&json!("intent"), &json!("outcome")));
    assert_eq!(rows[0]["id"], rows[1]["id"]);
}
