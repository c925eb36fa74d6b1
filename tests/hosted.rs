//! Hosted connectors: public servers in sandboxed machines, what is told of them, and what
//! happens when they change or go.

use serde_json::{Value, json};

use crate::{
    peers::{installed, node},
    support::{Setup, TestGateway, eventually},
};

const ALL: &str = "permit (principal, action, resource);";

/// A gateway that hosts these connectors behind one virtual MCP, each of them listed.
async fn hosting(connectors: &[(&str, String)]) -> TestGateway {
    let mut setup = Setup::new().key("alice", &["staff"]).policy("all", ALL);
    for (name, text) in connectors {
        setup = setup.file(&format!("connectors/{name}.toml"), text);
    }
    let names: Vec<&str> = connectors.iter().map(|(name, _)| *name).collect();
    let gateway = setup.vmcp("main", &names).start().await;
    eventually("all connectors offer tools", || async {
        let status = status(&gateway).await;
        let all = status["connectors"].as_array()?.iter();
        all.clone().all(|connector| connector["tools"] != 0).then_some(())
    })
    .await;
    gateway
}

async fn status(gateway: &TestGateway) -> Value {
    let told = gateway.cli(&["status", "--json"]).await;
    serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{told:?}"))
}

/// A program of the Python environment with public servers.
fn python(program: &str) -> String {
    installed(&format!("servers-py/bin/{program}")).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn public_servers_work_in_machines_without_a_network() {
    let repository = tempfile::TempDir::with_prefix("tidegate-git-").unwrap();
    let path = repository.path().canonicalize().unwrap();
    let git = std::process::Command::new("git").arg("init").arg("-q").arg(&path).status();
    assert!(git.unwrap().success());
    std::fs::write(path.join("new.txt"), "x").unwrap();
    let entry = "servers-npm/node_modules/@modelcontextprotocol/server-memory/dist/index.js";
    let entry = installed(entry);
    let machine = "[machine]\nnetwork = \"none\"\nsandbox = \"required\"\n";
    let memory = tempfile::TempDir::with_prefix("tidegate-memory-").unwrap();
    let kept = memory.path().canonicalize().unwrap();
    let gateway = hosting(&[
        (
            "memory",
            format!(
                "kind = \"hosted\"\ncommand = {:?}\nargs = [{:?}]\ncwd = {kept:?}\n\
                 env = {{ MEMORY_FILE_PATH = {:?} }}\n{machine}",
                node(),
                entry,
                kept.join("memory.json"),
            ),
        ),
        (
            "time",
            format!("kind = \"hosted\"\ncommand = {:?}\n{machine}", python("mcp-server-time")),
        ),
        (
            "git",
            format!(
                "kind = \"hosted\"\ncommand = {:?}\nargs = [\"--repository\", {path:?}]\n{machine}\
                 write = [{path:?}]\n",
                python("mcp-server-git")
            ),
        ),
    ])
    .await;
    let client = gateway.client("alice", "main");

    let tide = json!({ "name": "tide", "entityType": "water", "observations": ["comes"] });
    let made = client.call("create_entities", json!({ "entities": [tide] })).await;
    assert!(!made.is_tool_error(), "{made:?}");
    let graph = client.call("read_graph", json!({})).await;
    assert!(graph.text().contains("comes"), "{graph:?}");
    assert!(std::fs::read_to_string(kept.join("memory.json")).unwrap().contains("comes"));

    let wanted =
        json!({ "source_timezone": "UTC", "time": "16:30", "target_timezone": "Asia/Tokyo" });
    let converted = client.call("convert_time", wanted).await;
    assert!(converted.text().contains("01:30"), "{converted:?}");

    let state = client.call("git_status", json!({ "repo_path": path })).await;
    assert!(state.text().contains("new.txt"), "{state:?}");
    let added = client.call("git_add", json!({ "repo_path": path, "files": ["new.txt"] })).await;
    assert!(!added.is_tool_error(), "{added:?}");

    let told = status(&gateway).await;
    assert!(told["sandbox"].as_str().unwrap().contains("resource limits"), "{told}");
    for connector in told["connectors"].as_array().unwrap() {
        assert_eq!(connector["machines"][0]["state"], "running", "{connector}");
    }
}

/// A server in a few lines of shell, which says its own name.
fn speaker(name: &str, more: &str) -> String {
    let script = format!(
        r#"echo "{name} is up" >&2
while read l; do
    case "$l" in
        *server/discover*) said='{{"supportedVersions":["2026-07-28"],"capabilities":{{"tools":{{}}}}}}';;
        *tools/list*) said='{{"tools":[{{"name":"who","inputSchema":{{"type":"object"}}}}]}}';;
        *tools/call*) sleep 0.2; said='{{"content":[{{"type":"text","text":"{name}"}}]}}';;
        *) continue;;
    esac
    id=$(echo "$l" | sed 's/.*"id":\([0-9]*\).*/\1/')
    echo "{{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$said}}"
done"#
    );
    format!("kind = \"hosted\"\ncommand = \"sh\"\nargs = [\"-c\", {script:?}]\n{more}")
}

#[tokio::test]
async fn a_program_is_replaced_while_calls_go_on_and_its_lines_are_shown() {
    let gateway = hosting(&[("who", speaker("first", "[machine]\ncount = 2\n"))]).await;
    let client = gateway.client("alice", "main");
    assert_eq!(client.call("who", json!({})).await.text(), "first");
    let shown = gateway.cli(&["connector", "logs", "who"]).await;
    assert!(shown.ok && shown.stdout.contains("server  first is up"), "{shown:?}");
    gateway.write("connectors/who.toml", &speaker("second", "[machine]\ncount = 2\n"));
    let mut seen = Vec::new();
    eventually("the second answers", || {
        let answer = client.call("who", json!({}));
        async { (answer.await.text() == "second").then_some(()) }
    })
    .await;
    // Whatever was called meanwhile was answered by one or the other.
    for _ in 0..4 {
        seen.push(client.call("who", json!({})).await.text().to_owned());
    }
    assert_eq!(seen, ["second"; 4]);
    let unknown = gateway.cli(&["connector", "logs", "none"]).await;
    assert!(!unknown.ok && unknown.stderr.contains("there is no connector `none`"), "{unknown:?}");
}

#[tokio::test]
async fn machines_end_with_their_gateway() {
    let gateway = hosting(&[("who", speaker("first", ""))]).await;
    let run = gateway.data().join("run");
    assert_eq!(std::fs::read_dir(&run).unwrap().count(), 1);
    let setup = gateway.kill().await;
    eventually("the bridge is gone", || async {
        (!processes().any(|line| line.contains(run.to_str().unwrap()))).then_some(())
    })
    .await;
    drop(setup);
}

/// The command lines of all processes.
fn processes() -> impl Iterator<Item = String> {
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    })
}
