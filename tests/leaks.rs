//! Secrets that must not turn up where they do not belong.
//!
//! Each secret is a canary that is nothing else's text. It is looked for as it is, in
//! hexadecimal, in base64 and percent-encoded: in what the gateway printed, in every file it
//! wrote, in every answer a client got.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose};
use serde_json::json;

use crate::support::{Era, Mock, MockTool, Reply, Setup, TestGateway};

/// How a secret may look when somebody wrote it down.
fn guises(canary: &str) -> Vec<Vec<u8>> {
    let bytes = canary.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let mut guises = vec![
        canary.into(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        percent.into_bytes(),
        canary.replace('-', "%2D").into_bytes(),
    ];
    // Base64 of the canary at each of the three places it can have in a longer text; the first
    // and last characters depend on what is around it.
    for shift in 0..3 {
        let padded = [vec![b'x'; shift], bytes.to_vec()].concat();
        for engine in [general_purpose::STANDARD_NO_PAD, general_purpose::URL_SAFE_NO_PAD] {
            let text = engine.encode(&padded);
            guises.push(text.as_bytes()[4..text.len() - 3].to_vec());
        }
    }
    guises
}

fn check_absent(what: &str, bytes: &[u8], canaries: &[&str]) {
    for canary in canaries {
        for guise in guises(canary) {
            let at = bytes.windows(guise.len()).position(|window| window == guise);
            let shown = String::from_utf8_lossy(&guise);
            assert!(at.is_none(), "{canary} as {shown} in {what} at {at:?}");
        }
    }
}

fn check_files(dir: &Path, canaries: &[&str]) -> usize {
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            seen += check_files(&path, canaries);
        } else if let Ok(bytes) = std::fs::read(&path) {
            check_absent(path.to_str().unwrap(), &bytes, canaries);
            seen += 1;
        }
    }
    seen
}

/// Everything the gateway wrote anywhere but to the connectors.
async fn check_gateway(gateway: TestGateway, canaries: &[&str]) {
    for args in [&["status", "--json"][..], &["status"], &["audit", "tail", "--json", "-n", "1000"]]
    {
        let output = gateway.cli(args).await;
        check_absent(&format!("{args:?}"), output.stdout.as_bytes(), canaries);
        check_absent(&format!("{args:?}"), output.stderr.as_bytes(), canaries);
    }
    let metrics = gateway.ops("/metrics").send(hyper::Method::GET, &[], "").await;
    check_absent("the metrics", &metrics.body, canaries);
    check_absent("the log", gateway.log().as_bytes(), canaries);
    assert!(check_files(&gateway.data(), canaries) > 3, "hardly any file was looked at");
    let (_, setup) = gateway.stop().await;
    check_files(&setup.data(), canaries);
}

#[test]
fn the_search_finds_what_is_there() {
    let canary = "canary-4f1d-secret-token";
    for text in [
        canary.to_owned(),
        format!("x={}", canary.replace('-', "%2D")),
        general_purpose::STANDARD.encode(format!("user:{canary}")),
        general_purpose::URL_SAFE.encode(format!("{{\"a\":\"{canary}\"}}")),
        canary.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ] {
        let found = std::panic::catch_unwind(|| check_absent("text", text.as_bytes(), &[canary]));
        assert!(found.is_err(), "{text}");
    }
}

#[tokio::test]
async fn credentials_of_connectors_go_to_the_connector_and_nowhere_else() {
    let canaries = ["canary-env-1b52a7c9-token", "canary-file-93be01fd-token"];
    let mock = Mock::start(
        Era::Modern,
        vec![MockTool::echo("echo"), MockTool::answering("resets", Reply::Reset)],
    )
    .await;
    let other = Mock::start(Era::Legacy, vec![MockTool::echo("other")]).await;
    let outside = tempfile::TempDir::with_prefix("tidegate-secret-").unwrap();
    let file = outside.path().join("token");
    std::fs::write(&file, format!("{}\n", canaries[1])).unwrap();
    let auth = format!(
        "[auth]\nheader = \"X-Api-Key\"\nformat = \"key {{}}\"\nsecret = \"file:{}\"",
        file.display()
    );
    let gateway = Setup::new()
        .environment("CANARY_TOKEN", canaries[0])
        .environment("RUST_LOG", "trace")
        .remote("up", &mock, "[auth]\nsecret = \"env:CANARY_TOKEN\"")
        .remote("other", &other, &auth)
        .vmcp("main", &["up", "other"])
        .key("alice", &[])
        .policy("all", "permit (principal, action, resource);")
        .start()
        .await;
    let client = gateway.client("alice", "main");
    for tool in ["echo", "resets", "other", "nothing"] {
        let answer = client.call(tool, json!({})).await;
        check_absent("an answer", answer.message.to_string().as_bytes(), &canaries);
    }
    let key = gateway.key("alice").to_owned();
    assert_eq!(mock.calls("echo")[0].header("authorization"), format!("Bearer {}", canaries[0]));
    assert_eq!(other.calls("other")[0].header("x-api-key"), format!("key {}", canaries[1]));
    for received in mock.received().iter().chain(&other.received()) {
        // The client's own credential never travels on.
        check_absent("a request upstream", format!("{received:?}").as_bytes(), &[&key]);
    }
    // The secret is base64url and may hold a `_` itself: what follows the last one can be a
    // letter or two, which is found anywhere.
    let secret = key.splitn(3, '_').nth(2).unwrap().to_owned();
    assert_eq!(secret.len(), 43, "{key}");
    check_gateway(gateway, &[canaries[0], canaries[1], &secret]).await;
}

#[tokio::test]
async fn arguments_and_results_are_in_no_file_and_no_log() {
    let (asked, answered) = ("canary-argument-5e21aa07", "canary-result-77c09d13");
    let mock = Mock::start(
        Era::Modern,
        vec![
            MockTool::echo("echo"),
            MockTool::answering("secret", Reply::Text(answered.into())),
            MockTool::answering("resets", Reply::Reset),
        ],
    )
    .await;
    // The second ends the text of the setting and adds another.
    for durability in ["process", "process\"\npayloads = \"masked"] {
        let gateway = Setup::simple(&mock)
            .durability(durability)
            .environment("RUST_LOG", "trace")
            .start()
            .await;
        let client = gateway.client("alice", "main");
        for tool in ["echo", "secret", "resets", "nothing"] {
            client.call(tool, json!({ "message": asked })).await;
        }
        client.call("echo", json!({ "message": [asked] })).await;
        check_gateway(gateway, &[asked, answered]).await;
    }
}

#[tokio::test]
async fn a_broken_upstream_gives_nothing_away() {
    let canary = "canary-inside-0a1b2c3d";
    let page = format!("<html>{canary} at /srv/app/secret.py line 7</html>");
    let mock = Mock::start(
        Era::Modern,
        vec![MockTool::answering("bad", Reply::Raw(500, "text/html", page.into()))],
    )
    .await;
    let gateway = Setup::simple(&mock).start().await;
    let answer = gateway.client("alice", "main").call("bad", json!({})).await;
    assert!(answer.is_tool_error());
    check_absent("the refusal", answer.message.to_string().as_bytes(), &[canary, "secret.py"]);
    let address = mock.address.to_string();
    check_absent("the refusal", answer.message.to_string().as_bytes(), &[&address]);
}
