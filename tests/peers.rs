//! Other people's MCP programs, unmodified: as clients of the gateway and as servers behind it.
//!
//! Owns the pairs (which client, which revision, which kind of upstream) and what must come
//! out the same for all of them. The programs are installed by `cargo xtask test`; how they
//! are driven is in `tests/peers/`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::json;
use tokio::process::{Child, Command};

use crate::support::{Setup, TestGateway, eventually};

mod matrix;
mod rust_sdk;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A file that `cargo xtask test` installs.
pub(crate) fn installed(path: &str) -> PathBuf {
    let path = root().join("target/peers").join(path);
    assert!(path.exists(), "{} is missing: `cargo xtask test` installs it", path.display());
    path
}

/// The Node.js that the packages run on.
pub(crate) fn node() -> PathBuf {
    let own = root().join("target/peers/node/node_modules/node/bin/node");
    if own.exists() { own } else { "node".into() }
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
pub(crate) fn hosted(entry: &str, args: &[&str]) -> String {
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

/// `server-everything` in one of its HTTP modes, and the port it listens on.
pub(crate) async fn everything(mode: &str) -> (Child, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let entry = "npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    let mut command = Command::new(node());
    command.arg(installed(entry)).arg(mode).env("PORT", port.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let server = command.spawn().unwrap();
    eventually("server-everything to listen", || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    (server, port)
}

#[tokio::test]
async fn server_everything_works_over_streamable_http() {
    let (_server, port) = everything("streamableHttp").await;
    let url = format!("http://127.0.0.1:{port}/mcp");
    let connector = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
    check_everything(&over(&connector).await).await;
}

/// HTTP+SSE of 2024-11-05, found out by asking.
#[tokio::test]
async fn server_everything_works_over_http_and_sse() {
    let (_server, port) = everything("sse").await;
    let url = format!("http://127.0.0.1:{port}/sse");
    let connector = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
    check_everything(&over(&connector).await).await;
}

#[tokio::test]
async fn server_filesystem_works_over_stdio() {
    let folder = tempfile::TempDir::with_prefix("tidegate-files-").unwrap();
    let path = folder.path().canonicalize().unwrap();
    std::fs::write(path.join("note.txt"), "hello from a file").unwrap();
    let served = path.to_str().unwrap();
    let connector = hosted("server-filesystem/dist/index.js", &[served]);
    let machine = format!("[machine]\nwrite = [{served:?}]\n");
    let gateway = over(&format!("{connector}{machine}")).await;
    let client = gateway.client("alice", "main");

    let note = json!({ "path": path.join("note.txt") });
    assert_eq!(client.call("read_text_file", note).await.text(), "hello from a file");
    let written = json!({ "path": path.join("new.txt"), "content": "written" });
    assert!(!client.call("write_file", written).await.is_tool_error());
    assert_eq!(std::fs::read_to_string(path.join("new.txt")).unwrap(), "written");
    let outside = client.call("read_text_file", json!({ "path": "/etc/hostname" })).await;
    assert!(outside.is_tool_error() && outside.text().contains("denied"), "{outside:?}");
}
