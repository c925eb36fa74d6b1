//! What a failing or observed customizer costs: its own tools at most.

use serde_json::{Value, json};

use super::plugin;
use crate::support::{Era, Mock, MockTool, Setup, TestGateway, eventually};

const RETOOL: &str = "[config]\nstrict = true\n[config.tools.echo]\nname = \"say\"\n\
                      [config.tools.gone]\ntitle = \"Gone\"\n";

/// Lists other tools, and has the gateway connect anew, which makes it look.
fn offer(mock: &Mock, gateway: &TestGateway, names: &[&str], round: usize) {
    mock.set_tools(names.iter().map(|name| MockTool::echo(name)).collect());
    let url = mock.url();
    let queue = 7 + round;
    let text = format!(
        "kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n[limits]\nqueue = {queue}\n"
    );
    gateway.write("connectors/up.toml", &text);
}

async fn until_tools(gateway: &TestGateway, expected: &[&str]) {
    let client = gateway.client("alice", "main");
    eventually("the tools", || async { (client.tool_names().await == expected).then_some(()) })
        .await;
}

async fn until_notice(gateway: &TestGateway, words: &str) {
    eventually("the notice", || async {
        let output = gateway.cli(&["status", "--json"]).await;
        let status: Value = serde_json::from_str(&output.stdout).unwrap();
        status["notices"].to_string().contains(words).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_customizer_that_fails_holds_up_nothing_but_its_own_tools() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo"), MockTool::echo("gone")]).await;
    let gateway = Setup::simple(&mock)
        .key("bob", &[])
        .file("plugins/retool.toml", &plugin("retool", RETOOL))
        .start()
        .await;
    until_tools(&gateway, &["say", "gone"]).await;

    // The upstream takes one away and adds one: what was edited stays edited, what nobody
    // edited is not shown.
    offer(&mock, &gateway, &["echo", "new"], 1);
    until_tools(&gateway, &["say"]).await;
    until_notice(&gateway, "could not edit the tools of `up`").await;
    let alice = gateway.client("alice", "main");
    assert_eq!(alice.call("say", json!({ "message": "hi" })).await.text(), r#"{"message":"hi"}"#);
    assert_ne!(alice.call("new", json!({})).await.text(), "{}");

    // The rest of the configuration is taken.
    let bob = gateway.client("bob", "main");
    assert_eq!(bob.request("tools/list", json!({})).await.status, 200);
    gateway.remove("keys/bob.toml");
    eventually("the key to be gone", || async {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
        let body = body.to_string();
        (bob.send(hyper::Method::POST, &[], body).await.status == 401).then_some(())
    })
    .await;
    assert_eq!(alice.tool_names().await, ["say"]);

    // A start finds no edits to go by, and serves all the same.
    let (_, setup) = gateway.stop().await;
    let gateway = setup.file("plugins/other.toml", &plugin("bench-pass", "")).start().await;
    until_notice(&gateway, "2 tools are withheld").await;
    assert!(gateway.client("alice", "main").tool_names().await.is_empty());
    offer(&mock, &gateway, &["echo", "gone"], 2);
    until_tools(&gateway, &["say", "gone"]).await;
}

#[tokio::test]
async fn an_observed_customizer_changes_nothing_and_says_what_it_would() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo"), MockTool::echo("gone")]).await;
    let observed = plugin("retool", &format!("mode = \"observe\"\n{RETOOL}"));
    let gateway = Setup::simple(&mock).file("plugins/retool.toml", &observed).start().await;
    until_tools(&gateway, &["echo", "gone"]).await;
    let log = gateway.log();
    assert!(log.contains("would edit") && log.contains("say"), "{log}");
    // Where it fails, that has no effect either.
    offer(&mock, &gateway, &["echo", "new"], 1);
    until_tools(&gateway, &["echo", "new"]).await;
    // In force, it edits.
    offer(&mock, &gateway, &["echo", "gone"], 2);
    gateway.write("plugins/retool.toml", &plugin("retool", RETOOL));
    until_tools(&gateway, &["say", "gone"]).await;
}

#[tokio::test]
async fn the_last_word_on_a_tool_is_by_order_and_then_by_name() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let bound = |title: &str, more: &str, binding: &str| {
        let config = format!("[config.tools.echo]\ntitle = \"{title}\"\n{more}\n");
        plugin("retool", &config).replace("vmcp = \"main\"", binding)
    };
    let here = |order: i32| format!("vmcp = \"main\", order = {order}");
    // What stands for the tool alone counts where it comes first.
    let twice = |first: i32, then: i32| {
        format!("tool = \"up/echo\", order = {first} }}, {{ order = {then}")
    };
    let described = "description = \"of a\"";
    for (what, a, b, c, last) in [
        ("by order", here(3), here(1), here(2), "a"),
        ("below nothing", here(-3), here(-1), here(-2), "b"),
        ("the same by name", here(0), here(0), here(0), "c"),
        ("by the binding that fits", twice(9, 0), here(5), twice(1, 20), "a"),
    ] {
        let gateway = Setup::simple(&mock)
            .file("plugins/a.toml", &bound("a", described, &a))
            .file("plugins/b.toml", &bound("b", "", &b))
            .file("plugins/c.toml", &bound("c", "", &c))
            .start()
            .await;
        let tools = gateway.client("alice", "main").tools().await;
        assert_eq!(tools[0]["title"], last, "{what}");
        // What nobody else says stays, whatever the order.
        assert_eq!(tools[0]["description"], "of a", "{what}");
    }
}
