//! The process as an operator meets it: start, health, TLS, stop, and what it refuses.
//!
//! Owns the outside of the program: listeners, signals, exit status, files and their modes.

use std::{
    collections::BTreeSet,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    Era, Load, Mock, MockTool, Reply, Response, Setup, TestGateway, eventually, trace_of,
};

mod draining;
mod tls;

fn done(text: &str) -> Value {
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
}

async fn echo() -> Mock {
    Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await
}

async fn get(gateway: &TestGateway, path: &str) -> Response {
    gateway.ops(path).send(Method::GET, &[], "").await
}

async fn rows(setup: &Setup) -> Vec<Value> {
    let output = setup.cli(&["audit", "tail", "--json", "-n", "100000"]).await;
    assert!(output.ok, "{output:?}");
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn check_sound(setup: &Setup) {
    let verified = setup.cli(&["audit", "verify"]).await;
    assert!(verified.ok && verified.stdout.starts_with("sound"), "{verified:?}");
}

#[tokio::test]
async fn health_and_metrics_have_a_listener_of_their_own() {
    let mock = echo().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let _session = client.session("2025-11-25").await;
    client.call("echo", json!({})).await.result();
    client.call("canary-tool", json!({ "x": "canary-argument" })).await.code();
    for (path, body) in [("/healthz", "alive\n"), ("/readyz", "ready\n")] {
        let response = get(&gateway, path).await;
        assert_eq!((response.status.as_u16(), &*response.body), (200, body.as_bytes()), "{path}");
    }
    let metrics = get(&gateway, "/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    for line in [
        r#"tidegate_calls_total{end="ok"} 1"#,
        r#"tidegate_calls_total{end="not_found"} 1"#,
        "tidegate_call_duration_seconds_count 2",
        "tidegate_sessions 1",
    ] {
        assert!(text.lines().any(|found| found == line), "`{line}` in\n{text}");
    }
    for gauge in [r#"tidegate_revision{org="default"} "#, "tidegate_audit_rows "] {
        let value = text.lines().find_map(|line| line.strip_prefix(gauge));
        let value = value.and_then(|value| value.parse::<f64>().ok());
        assert!(value.is_some_and(|value| value >= 1.0), "`{gauge}` in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    for canary in ["canary", "alice", "up\"", "main"] {
        assert!(!text.contains(canary), "`{canary}` in\n{text}");
    }
    // Neither listener serves what is the other's.
    assert_eq!(get(&gateway, "/mcp/main").await.status, 404);
    for path in ["/metrics", "/readyz", "/healthz"] {
        let public = crate::support::Client::new(gateway.address, path);
        assert_eq!(public.send(Method::GET, &[], "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_source_of_a_call_is_what_a_trusted_proxy_says() {
    let mock = echo().await;
    let proxies = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.1\"]";
    for (settings, told) in [
        ("", [("203.0.113.9", "127.0.0.1"), ("", "127.0.0.1")].as_slice()),
        (
            proxies,
            &[
                ("", "127.0.0.1"),
                ("203.0.113.9", "203.0.113.9"),
                // What stands further left came from the client, who may write anything.
                ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
                ("nonsense,203.0.113.9", "203.0.113.9"),
                ("198.51.100.1, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
                ("2001:db8::7", "2001:db8::7"),
                ("::ffff:203.0.113.9", "203.0.113.9"),
                ("203.0.113.9, nonsense", "127.0.0.1"),
                ("10.0.0.1", "127.0.0.1"),
            ],
        ),
    ] {
        let gateway = Setup::simple(&mock).settings(settings).start().await;
        let client = gateway.client("alice", "main");
        let params = crate::support::modern_params(json!({ "name": "echo", "arguments": {} }));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        for (forwarded, _) in told {
            let mut headers = crate::support::Client::modern_headers("tools/call", &params);
            headers.extend((!forwarded.is_empty()).then_some(("x-forwarded-for", *forwarded)));
            client.send(Method::POST, &headers, body.to_string()).await.rpc().result();
        }
        let rows = gateway.audit().await;
        let calls: Vec<_> = rows.iter().filter(|row| row["method"] == "tools/call").collect();
        assert_eq!(calls.len(), told.len());
        for ((forwarded, source), row) in told.iter().zip(calls) {
            assert_eq!(row["source"], *source, "`{forwarded}` with `{settings}`");
        }
    }
}

#[tokio::test]
async fn a_second_gateway_on_the_same_data_is_refused() {
    let mock = echo().await;
    let gateway = Setup::simple(&mock).start().await;
    let second = gateway.cli(&["serve"]).await;
    assert!(!second.ok && second.stdout.is_empty(), "{second:?}");
    assert!(second.stderr.contains("in use by another process"), "{second:?}");
    // The first one has lost nothing by it: neither its socket nor its log.
    let status = gateway.cli(&["status"]).await;
    assert!(status.ok && status.stdout.contains("audit: ready"), "{status:?}");
    gateway.client("alice", "main").call("echo", json!({})).await.result();

    let taken = gateway.address.to_string();
    let elsewhere = gateway.config().join("../other-data");
    let elsewhere = elsewhere.to_str().unwrap();
    let third = gateway.cli(&["serve", "--listen", &taken, "--data", elsewhere]).await;
    assert!(
        !third.ok && third.stderr.contains(&format!("cannot listen on `{taken}`")),
        "{third:?}"
    );
    let (ended, setup) = gateway.stop().await;
    assert!(ended);
    check_sound(&setup).await;
}

#[tokio::test]
async fn a_gateway_open_to_the_network_without_tls_is_refused() {
    let setup = Setup::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8787"] {
        let refused = setup.cli(&["serve", "--listen", address]).await;
        assert!(!refused.ok && refused.stdout.is_empty(), "{refused:?}");
        assert!(refused.stderr.contains("open to the network without TLS"), "{refused:?}");
        let setup = Setup::new().file("gateway.toml", &format!("listen = \"{address}\"\n"));
        let refused =
            setup.bare_cli(&["serve", "--config", setup.config().to_str().unwrap()]).await;
        assert!(!refused.ok && refused.stdout.is_empty(), "{refused:?}");
        assert!(refused.stderr.contains("gateway.toml"), "{refused:?}");
        assert!(refused.stderr.contains("without TLS"), "{refused:?}");
        assert!(!setup.data().exists() && !setup.config().join("data").exists());
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn the_data_is_its_owners_alone() {
    let mock = echo().await;
    let setup = Setup::simple(&mock);
    std::fs::create_dir(setup.data()).unwrap();
    for others in [0o777, 0o770, 0o702] {
        set_mode(&setup.data(), others);
        let refused = setup.start_refused().await;
        assert!(refused.contains("chmod 700"), "{others:o}: {refused}");
        assert_eq!(std::fs::read_dir(setup.data()).unwrap().count(), 0, "{others:o}");
    }
    std::fs::remove_dir(setup.data()).unwrap();
    let gateway = setup.start().await;
    let socket = gateway.data().join("admin.sock");
    assert!(std::fs::metadata(&socket).unwrap().file_type().is_socket());
    for (path, expected) in [(socket.clone(), 0o600), (gateway.data(), 0o700)] {
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
    assert_eq!(mode(&gateway.data().join("root.key")), 0o600);
    let (ended, setup) = gateway.stop().await;
    assert!(ended && !socket.exists(), "the socket stays behind");
    // A socket that a killed process left behind is in nobody's way.
    let setup = setup.start().await.kill().await;
    assert!(socket.exists());
    setup.start().await.client("alice", "main").call("echo", json!({})).await.result();
}

/// Gives every segment of the log another format version, with a checksum that fits.
fn set_log_format(audit: &Path, format: u32) {
    let mut segments = 0;
    for entry in std::fs::read_dir(audit).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[8..12].copy_from_slice(&format.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[..4092]);
            bytes[4092..4096].copy_from_slice(&crc.to_le_bytes());
            std::fs::write(&path, bytes).unwrap();
            segments += 1;
        }
    }
    assert!(segments > 0, "there is no segment");
}

/// Gives the store another format version.
fn set_store_format(store: &Path, format: u32) {
    use tidegate_store::{rows::Rows, sled::SledRows};
    let rows = SledRows::open(tidegate_store::SledOptions::new(store.to_owned())).unwrap();
    let key = [0xf2];
    let mut row = rows.get(&key).unwrap().expect("the store has no format row");
    row[8..12].copy_from_slice(&format.to_le_bytes());
    rows.apply(&[(key.to_vec(), Some(row))]).unwrap();
}

type SetFormat = fn(&Path, u32);

#[tokio::test]
async fn data_of_a_newer_version_is_refused_and_left_as_it_is() {
    let mock = echo().await;
    let gateway = Setup::simple(&mock).start().await;
    gateway.client("alice", "main").call("echo", json!({})).await.result();
    let (ended, mut setup) = gateway.stop().await;
    assert!(ended);
    let kinds: [(&str, SetFormat); 2] = [("audit", set_log_format), ("store", set_store_format)];
    for (folder, set) in kinds {
        let path = setup.data().join(folder);
        set(&path, 2);
        let refused = setup.start_refused().await;
        assert!(refused.contains("format 2"), "{folder}: {refused}");
        assert!(refused.contains("newer version"), "{folder}: {refused}");
        set(&path, 1);
        let (ended, stopped) = setup.start().await.stop().await;
        assert!(ended, "{folder}");
        setup = stopped;
        let rows = rows(&setup).await;
        assert_eq!(rows.iter().filter(|row| row["tool"] == "echo").count(), 1, "{folder}");
        check_sound(&setup).await;
    }
}
