//! Other people's MCP programs, unmodified: as clients of the gateway and as servers behind it.
//!
//! Owns the pairs (which client, which revision, which kind of upstream) and what must come
//! out the same for all of them. The programs are installed by `cargo xtask test`; how they
//! are driven is in `tests/peers/`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::{process::Command, sync::Notify};

use crate::support::{
    Era, Mock, MockTool, Received, Reply, Setup, TestGateway, eventually, patiently,
};

mod rust_sdk;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A file that `cargo xtask test` installs.
fn installed(path: &str) -> PathBuf {
    let path = root().join("target/peers").join(path);
    assert!(path.exists(), "{} is missing: `cargo xtask test` installs it", path.display());
    path
}

/// The Node.js that the packages run on.
fn node() -> PathBuf {
    let own = root().join("target/peers/node/node_modules/node/bin/node");
    if own.exists() { own } else { "node".into() }
}

/// A script of `tests/peers` and the program that runs it, ready for its arguments.
fn script(name: &str) -> Command {
    let path = root().join("tests/peers").join(name);
    let mut command = if name.ends_with(".py") {
        Command::new(installed("py/bin/python"))
    } else {
        Command::new(node())
    };
    command.arg(path).stdin(Stdio::null()).kill_on_drop(true);
    if name.ends_with(".mjs") {
        command.arg(installed("npm"));
    }
    command
}

/// What a script reported about the endpoint.
async fn report(name: &str, url: &str, key: &str, mode: &str) -> Value {
    let mut command = script(name);
    let output = patiently(name, command.args([url, key, mode]).output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {mode}: {said}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{name} {mode}: {error}: {said}"))
}

fn progress(received: &Received, done: u64) -> Value {
    let token = &received.message["params"]["_meta"]["progressToken"];
    let params = json!({ "progressToken": token, "progress": done, "total": 3 });
    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
}

fn text(text: &str, is_error: bool) -> Value {
    let content = json!([{ "type": "text", "text": text }]);
    json!({ "resultType": "complete", "content": content, "isError": is_error })
}

/// An upstream with the four tools that every client is taken through.
async fn upstream(era: Era) -> Mock {
    let tool = |name: &str, script: fn(&Received) -> Reply| {
        let schema = json!({ "type": "object", "properties": { "message": { "type": "string" } } });
        MockTool::new(json!({ "name": name, "inputSchema": schema }), script)
    };
    let tools = vec![
        tool("echo", |received| {
            let message = &received.message["params"]["arguments"]["message"];
            Reply::Result(text(message.as_str().unwrap_or_default(), false))
        }),
        tool("steps", |received| {
            let steps = (1..=3).map(|done| progress(received, done)).collect();
            Reply::Stream(steps, text("all three", false))
        }),
        tool("fail", |_| Reply::Result(text("no such customer", true))),
        tool("endless", |received| {
            let never = Arc::new(Notify::new());
            Reply::StreamUntil(vec![progress(received, 1)], never, text("never", false))
        }),
    ];
    let mock = Mock::start(era, tools).await;
    // More than one page, so that the gateway has to follow the cursor.
    mock.set_page(3);
    mock
}

/// What every client must report, whatever stands behind the gateway.
fn check_report(who: &str, report: &Value, revision: &str) {
    assert_eq!(report["revision"], revision, "{who}");
    assert_eq!(report["tools"], json!(["echo", "steps", "fail", "endless"]), "{who}");
    assert_eq!(report["echo"], "grüße", "{who}");
    assert_eq!(report["stepped"], "all three", "{who}");
    assert_eq!(report["steps"], json!([[1, 3], [2, 3], [3, 3]]), "{who}");
    assert_eq!(report["failed"], json!([true, "no such customer"]), "{who}");
    assert_eq!(report["cancelled"], true, "{who}");
    assert_eq!(report["after"], "still there", "{who}");
}

/// The upstream learns that a call was given up: its stream is closed, or it is told.
async fn check_given_up(who: &str, mock: &Mock) {
    eventually(&format!("{who}: the cancellation upstream"), || async {
        let told = |one: &Received| one.method() == "notifications/cancelled";
        (mock.abandoned() > 0 || mock.received().iter().any(told)).then_some(())
    })
    .await;
}

/// One script in one mode, over upstreams of both eras.
async fn check_client(name: &str, mode: &str, revision: &str) {
    for era in [Era::Modern, Era::Legacy] {
        let who = format!("{name} {mode} to a {era:?} upstream");
        let mock = upstream(era).await;
        let gateway = Setup::simple(&mock).start().await;
        let report = report(name, &gateway.url("main"), gateway.key("alice"), mode).await;
        check_report(&who, &report, revision);
        check_given_up(&who, &mock).await;
    }
}

#[tokio::test]
async fn the_python_sdk_works_in_both_eras() {
    check_client("client.py", "legacy", "2025-11-25").await;
    check_client("client.py", "2026-07-28", "2026-07-28").await;
}

#[tokio::test]
async fn the_typescript_sdk_works_in_both_eras() {
    check_client("client.mjs", "v1", "2025-11-25").await;
    check_client("client.mjs", "legacy", "2025-11-25").await;
    check_client("client.mjs", "2026-07-28", "2026-07-28").await;
}

/// The scripts themselves, with no gateway in between: what fails here is the script.
#[tokio::test]
async fn the_scripts_report_what_the_upstream_does() {
    for (name, mode, revision) in [
        ("client.py", "legacy", "2025-11-25"),
        ("client.py", "2026-07-28", "2026-07-28"),
        ("client.mjs", "v1", "2025-11-25"),
        ("client.mjs", "legacy", "2025-11-25"),
        ("client.mjs", "2026-07-28", "2026-07-28"),
    ] {
        let mock = upstream(Era::Both).await;
        let report = report(name, &mock.url(), "none", mode).await;
        check_report(&format!("{name} {mode}"), &report, revision);
        check_given_up(name, &mock).await;
    }
}

/// A gateway with one connector, given as TOML, and everything permitted.
async fn over(connector: &str) -> TestGateway {
    let gateway = Setup::new()
        .file("connectors/peer.toml", connector)
        .vmcp("main", &["peer"])
        .key("alice", &["staff"])
        .policy("all", "permit (principal, action, resource);")
        .start()
        .await;
    let client = gateway.client("alice", "main");
    eventually("the connector's tools", || async {
        (!client.tool_names().await.is_empty()).then_some(())
    })
    .await;
    gateway
}

/// `kind = "hosted"` for a program of an npm package.
fn hosted(entry: &str, args: &[&str]) -> String {
    let entry = installed("npm/node_modules/@modelcontextprotocol").join(entry);
    let mut all = vec![entry.to_str().unwrap()];
    all.extend(args);
    format!("kind = \"hosted\"\ncommand = {:?}\nargs = {all:?}\n", node())
}

/// What `server-everything` must do through the gateway, over whichever transport.
async fn check_everything(gateway: &TestGateway) {
    let client = gateway.client("alice", "main");
    let names = client.tool_names().await;
    for expected in ["echo", "get-sum", "get-structured-content", "get-tiny-image"] {
        assert!(names.iter().any(|name| name == expected), "{expected} in {names:?}");
    }
    let echo = client.call("echo", json!({ "message": "grüße" })).await;
    assert_eq!(echo.text(), "Echo: grüße");
    let sum = client.call("get-sum", json!({ "a": 19, "b": 23 })).await;
    assert!(sum.text().contains("42"), "{sum:?}");
    let image = client.call("get-tiny-image", json!({})).await;
    let content = image.result()["content"].as_array().unwrap();
    assert!(content.iter().any(|block| block["mimeType"] == "image/png"), "{content:?}");
    let structured = json!({ "location": "Chicago" });
    let structured = client.call("get-structured-content", structured).await;
    assert!(structured.result()["structuredContent"]["temperature"].is_number());
    let session = client.session("2025-11-25").await;
    assert_eq!(session.call("echo", json!({ "message": "again" })).await.text(), "Echo: again");
}

#[tokio::test]
async fn server_everything_works_over_stdio() {
    let gateway = over(&hosted("server-everything/dist/index.js", &["stdio"])).await;
    check_everything(&gateway).await;
}

#[tokio::test]
async fn server_everything_works_over_streamable_http() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let entry = "npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    let mut command = Command::new(node());
    command.arg(installed(entry)).arg("streamableHttp").env("PORT", port.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _server = command.spawn().unwrap();
    eventually("server-everything to listen", || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    let url = format!("http://127.0.0.1:{port}/mcp");
    let connector = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
    check_everything(&over(&connector).await).await;
}

#[tokio::test]
async fn server_filesystem_works_over_stdio() {
    let folder = tempfile::TempDir::with_prefix("tidegate-files-").unwrap();
    let path = folder.path().canonicalize().unwrap();
    std::fs::write(path.join("note.txt"), "hello from a file").unwrap();
    let served = path.to_str().unwrap();
    let gateway = over(&hosted("server-filesystem/dist/index.js", &[served])).await;
    let client = gateway.client("alice", "main");

    let note = json!({ "path": path.join("note.txt") });
    assert_eq!(client.call("read_text_file", note).await.text(), "hello from a file");
    let written = json!({ "path": path.join("new.txt"), "content": "written" });
    assert!(!client.call("write_file", written).await.is_tool_error());
    assert_eq!(std::fs::read_to_string(path.join("new.txt")).unwrap(), "written");
    let outside = client.call("read_text_file", json!({ "path": "/etc/hostname" })).await;
    assert!(outside.is_tool_error() && outside.text().contains("denied"), "{outside:?}");
}
