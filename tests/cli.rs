//! The command line as an administrator uses it, beside a running gateway and without one.

use std::{os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{CliOutput, Era, Mock, MockTool, Setup, TestGateway, eventually};

async fn simple() -> (Mock, TestGateway) {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let gateway = Setup::simple(&mock).start().await;
    (mock, gateway)
}

/// A directory of resources to apply: one connector, and what `more` adds.
fn directory(mock: &Mock, more: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::with_prefix("tidegate-apply-").unwrap();
    let url = mock.url();
    let connector = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
    for (name, text) in [("connectors/other.toml", connector.as_str())].iter().chain(more) {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

async fn apply(gateway: &TestGateway, dir: &Path, flags: &[&str]) -> CliOutput {
    let mut args = vec!["apply", dir.to_str().unwrap()];
    args.extend(flags);
    gateway.cli(&args).await
}

#[tokio::test]
async fn the_version_and_wrong_commands() {
    let setup = Setup::new();
    let version = setup.bare_cli(&["--version"]).await;
    assert_eq!(version.stdout.trim(), format!("tidegate {}", env!("CARGO_PKG_VERSION")));
    for (args, word) in [
        (&["serv"][..], "serve"),
        (&["serve", "--listen", "nowhere"], "--listen"),
        (&["key", "new"], "--name"),
        (&["audit", "tail", "-n", "many"], "many"),
        (&[], "Usage"),
    ] {
        let output = setup.bare_cli(args).await;
        assert!(!output.ok && output.stdout.is_empty(), "{args:?}: {output:?}");
        assert!(output.stderr.contains(word), "{args:?}: {output:?}");
    }
}

#[tokio::test]
async fn without_a_gateway_commands_say_so() {
    let setup = Setup::new();
    for args in [&["status"][..], &["apply", setup.config().to_str().unwrap()]] {
        let output = setup.cli(args).await;
        assert!(!output.ok && output.stderr.contains("no gateway is running"), "{output:?}");
    }
    for args in [&["audit", "tail"][..], &["audit", "verify"]] {
        let output = setup.cli(args).await;
        assert!(!output.ok && output.stderr.contains("no audit log"), "{output:?}");
    }
}

#[tokio::test]
async fn a_new_key_is_shown_once_and_works() {
    let (_mock, gateway) = simple().await;
    let new = ["key", "new", "--name", "bob", "--user", "bob@example.com", "--group", "staff"];
    let made = gateway.cli(&new).await;
    assert!(made.ok, "{made:?}");
    let key = made.stdout.trim().to_owned();
    assert!(key.starts_with("tg_bob_") && !key.contains(char::is_whitespace), "{made:?}");
    let file = gateway.config().join("keys/bob.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let secret = key.strip_prefix("tg_bob_").unwrap();
    assert!(!text.contains(secret) && text.contains("sha256:"), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = gateway.cli(&new).await;
    assert!(!again.ok && again.stderr.contains("choose another --name"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let bob = gateway.anonymous("main").with_key(&key);
    eventually("the key to work", || async {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
        (bob.send(hyper::Method::POST, &[], body).await.status != 401).then_some(())
    })
    .await;
    assert_eq!(bob.tool_names().await, ["echo"]);
    for (args, word) in [
        (&["--name", "Bob", "--user", "b"][..], "`Bob`"),
        (&["--name", "b", "--user", "b b"], "`b b`"),
        (&["--name", "b", "--user", "b", "--expires", "soon"], "`soon`"),
    ] {
        let mut all = vec!["key", "new"];
        all.extend(args);
        let output = gateway.cli(&all).await;
        assert!(!output.ok && output.stderr.contains(word), "{output:?}");
        assert!(output.stdout.is_empty(), "a key was shown: {output:?}");
    }
}

#[tokio::test]
async fn apply_shows_what_changes_and_changes_it() {
    let (mock, gateway) = simple().await;
    let extra = "title = \"Extra\"\nconnectors = [\"other\"]\n";
    let dir = directory(&mock, &[("vmcps/extra.toml", extra)]);
    let dry = apply(&gateway, dir.path(), &["--dry-run"]).await;
    assert_eq!(
        dry.stdout, "+ connector other\n+ vmcp extra\n2 resources would change\n",
        "{dry:?}"
    );
    let client = gateway.client("alice", "extra");
    assert_eq!(client.request("tools/list", json!({})).await.status, 404);

    let done = apply(&gateway, dir.path(), &[]).await;
    assert_eq!(done.stdout, "+ connector other\n+ vmcp extra\n2 resources applied\n", "{done:?}");
    eventually("the tools", || async { (client.tool_names().await == ["echo"]).then_some(()) })
        .await;
    assert_eq!(apply(&gateway, dir.path(), &[]).await.stdout, "nothing to change\n");

    let renamed = format!("{extra}instructions = \"hi\"\n");
    let changed = directory(&mock, &[("vmcps/extra.toml", &renamed)]);
    let changed = apply(&gateway, changed.path(), &[]).await;
    assert_eq!(changed.stdout, "~ vmcp extra\n1 resource applied\n");

    // What the store owns outlives the process.
    let (ended, setup) = gateway.stop().await;
    assert!(ended);
    let gateway = setup.start().await;
    assert_eq!(gateway.client("alice", "extra").tool_names().await, ["echo"]);
    let pruned = directory(&mock, &[]);
    let output = apply(&gateway, pruned.path(), &["--prune"]).await;
    assert_eq!(output.stdout, "- vmcp extra\n1 resource applied\n");
    assert_eq!(gateway.client("alice", "extra").request("tools/list", json!({})).await.status, 404);
    assert_eq!(gateway.client("alice", "main").tool_names().await, ["echo"]);

    let rows = gateway.audit().await;
    let notes: Vec<_> = rows
        .iter()
        .filter(|row| row["method"] == "admin:config_apply")
        .map(|row| row["note"].as_str().unwrap_or_default())
        .collect();
    let made = ["", "2 added, 0 changed, 0 removed", "0 added, 0 changed, 0 removed"];
    assert_eq!(notes[..3], made);
    assert_eq!(notes[3..], ["0 added, 1 changed, 0 removed", "0 added, 0 changed, 1 removed"]);
}

#[tokio::test]
async fn what_a_watched_file_owns_is_not_for_apply() {
    let (mock, gateway) = simple().await;
    let theirs = "title = \"Mine\"\nconnectors = [\"other\"]\n";
    let dir = directory(&mock, &[("vmcps/main.toml", theirs), ("vmcps/more.toml", theirs)]);
    let refused = apply(&gateway, dir.path(), &[]).await;
    assert!(!refused.ok && refused.stdout.is_empty(), "{refused:?}");
    let file = gateway.config().join("vmcps/main.toml");
    for word in [file.to_str().unwrap(), "owned by this watched file", "change the file instead"] {
        assert!(refused.stderr.contains(word), "{word}: {refused:?}");
    }
    // Nothing of it was taken.
    let more = gateway.client("alice", "more").request("tools/list", json!({})).await;
    assert_eq!(more.status, 404);
}

#[tokio::test]
async fn apply_refuses_what_is_wrong_before_and_behind_the_socket() {
    let (mock, gateway) = simple().await;
    let broken = directory(&mock, &[("vmcps/extra.toml", "titel = \"x\"\n")]);
    let output = apply(&gateway, broken.path(), &[]).await;
    assert!(!output.ok && output.stderr.contains("extra.toml:1:1"), "{output:?}");
    // Only the gateway knows the tools that this policy is about.
    let policy = "permit (principal, action == Action::\"up/ecko\", resource);";
    let misspelt = directory(&mock, &[("policies/extra.cedar", policy)]);
    let output = apply(&gateway, misspelt.path(), &[]).await;
    assert!(!output.ok && output.stderr.contains("did you mean `up/echo`?"), "{output:?}");
    assert_eq!(gateway.client("alice", "main").tool_names().await, ["echo"]);
}

#[tokio::test]
async fn status_tells_people_and_programs_what_is_going_on() {
    let (mock, gateway) = simple().await;
    gateway.client("alice", "main").session("2025-11-25").await;
    let output = gateway.cli(&["status", "--json"]).await;
    assert!(output.ok, "{output:?}");
    let status: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["sessions"], 1);
    assert_eq!(status["connectors"][0]["id"], "up");
    assert_eq!(status["connectors"][0]["kind"], "remote");
    assert_eq!(
        (&status["connectors"][0]["state"], &status["connectors"][0]["tools"]),
        (&json!("up"), &json!(1))
    );
    assert_eq!(status["vmcps"][0]["url"], gateway.url("main"));
    assert_eq!(status["policies"][0]["id"], "policies/all.cedar:1");
    let shown = gateway.cli(&["status"]).await;
    for word in ["up", "main", &gateway.url("main"), "remote"] {
        assert!(shown.stdout.contains(word), "{word}: {shown:?}");
    }
    drop(mock);
    let _failed = gateway.client("alice", "main").call("echo", json!({})).await;
    let output = gateway.cli(&["status", "--json"]).await;
    let status: Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(status["connectors"][0]["error"].is_string(), "{status}");
}
