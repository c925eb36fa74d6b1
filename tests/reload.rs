//! A change of a file while the gateway runs: live soon, whole or not at all, and nobody's
//! call is dropped for it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::{
    guests::guest,
    support::{Era, Mock, MockTool, Setup, TestGateway, eventually},
};

async fn status(gateway: &TestGateway) -> Value {
    let output = gateway.cli(&["status", "--json"]).await;
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

async fn until_problem(gateway: &TestGateway, word: &str) {
    eventually(&format!("a problem with `{word}`"), || async {
        let problems = status(gateway).await["problems"].to_string();
        problems.contains(word).then_some(())
    })
    .await;
}

async fn until_tools(gateway: &TestGateway, who: &str, vmcp: &str, tools: &[&str]) {
    let client = gateway.client(who, vmcp);
    eventually(&format!("{tools:?} for {who} at {vmcp}"), || async {
        let list = client.request("tools/list", json!({})).await;
        let names = list.message.pointer("/result/tools")?.as_array()?.clone();
        let names: Vec<_> = names.iter().filter_map(|tool| tool["name"].as_str()).collect();
        (names == tools).then_some(())
    })
    .await;
}

fn permit(tool: &str) -> String {
    format!("permit (principal, action == Action::\"up/{tool}\", resource);")
}

async fn two_tools() -> Mock {
    Mock::start(Era::Modern, vec![MockTool::echo("a"), MockTool::echo("b")]).await
}

#[tokio::test]
async fn every_kind_of_file_is_followed() {
    let mock = two_tools().await;
    let other = Mock::start(Era::Legacy, vec![MockTool::echo("c")]).await;
    let gateway = Setup::simple(&mock).key("bob", &[]).start().await;
    until_tools(&gateway, "alice", "main", &["a", "b"]).await;

    gateway.write("policies/all.cedar", &permit("b"));
    until_tools(&gateway, "alice", "main", &["b"]).await;
    gateway.write("policies/more.cedar", &permit("a"));
    until_tools(&gateway, "alice", "main", &["a", "b"]).await;
    gateway.remove("policies/more.cedar");
    until_tools(&gateway, "alice", "main", &["b"]).await;
    gateway.write("policies/all.cedar", "permit (principal, action, resource);");

    let url = other.url();
    gateway.write(
        "connectors/second.toml",
        &format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n"),
    );
    gateway.write("vmcps/wide.toml", "title = \"Wide\"\nconnectors = [\"second\", \"up\"]\n");
    until_tools(&gateway, "alice", "wide", &["c", "a", "b"]).await;
    gateway.write(
        "vmcps/wide.toml",
        "title = \"Wide\"\nconnectors = [\"second\"]\n[[tool]]\nfrom = \"second/c\"\nname = \"sea\"\n",
    );
    until_tools(&gateway, "alice", "wide", &["sea"]).await;
    gateway.remove("vmcps/wide.toml");
    eventually("the virtual MCP to be gone", || async {
        let list = gateway.client("alice", "wide").request("tools/list", json!({})).await;
        (list.status == 404).then_some(())
    })
    .await;

    gateway.remove("keys/bob.toml");
    eventually("the key to be refused", || async {
        let list = gateway.client("bob", "main").send(hyper::Method::POST, &[], "{}").await;
        (list.status == 401).then_some(())
    })
    .await;
    assert_eq!(gateway.client("alice", "main").tool_names().await, ["a", "b"]);
}

#[tokio::test]
async fn a_plugin_file_is_followed() {
    let mock = two_tools().await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let message = json!({ "message": "card 4111 1111 1111 1111" });
    let masked = |wanted: bool| {
        let (client, message) = (client.clone(), message.clone());
        async move {
            eventually("the plugin's effect", || async {
                let answer = client.call("a", message.clone()).await;
                (answer.text().contains("[card masked]") == wanted).then_some(())
            })
            .await;
        }
    };
    masked(false).await;
    let grants = r#"grants = ["credential", "facts", "log"]"#;
    let bind = r#"bind = [{ vmcp = "main" }]"#;
    let text = format!("component = {:?}\n{grants}\n{bind}\n", guest("redact"));
    gateway.write("plugins/redact.toml", &text);
    masked(true).await;
    gateway.write("plugins/redact.toml", &format!("{text}mode = \"observe\"\n"));
    masked(false).await;
}

#[tokio::test]
async fn a_broken_file_keeps_the_old_revision_and_says_why() {
    let mock = two_tools().await;
    let gateway = Setup::simple(&mock).policy("all", &permit("a")).start().await;
    until_tools(&gateway, "alice", "main", &["a"]).await;
    let wrong = [
        (
            "policies/all.cedar",
            "permit (principal, action == Action::\"up/bb\", resource);",
            "all.cedar:1:",
        ),
        ("vmcps/main.toml", "title = \"m\"\nconnectors = [\"upp\"]\n", "did you mean `up`?"),
        ("connectors/up.toml", "kind = \"remote\"\nurll = \"x\"\n", "up.toml:2:1"),
        ("plugins/p.toml", "component = \"nope.wasm\"\n", "nope.wasm"),
        ("keys/alice.toml", "user = \"x\"\n", "missing field `hash`"),
    ];
    for (file, text, says) in wrong {
        let path = gateway.config().join(file);
        let old = std::fs::read_to_string(&path).ok();
        gateway.write(file, text);
        until_problem(&gateway, says).await;
        assert_eq!(gateway.client("alice", "main").tool_names().await, ["a"], "{file}");
        let shown = gateway.cli(&["status"]).await;
        assert!(!shown.ok && shown.stdout.contains(says), "{file}: {shown:?}");
        match old {
            Some(old) => gateway.write(file, &old),
            None => gateway.remove(file),
        }
        eventually("the problem to be gone", || async {
            status(&gateway).await["problems"].as_array().unwrap().is_empty().then_some(())
        })
        .await;
    }
    gateway.write("policies/all.cedar", &permit("b"));
    until_tools(&gateway, "alice", "main", &["b"]).await;
}

#[tokio::test]
async fn no_call_is_dropped_while_revisions_change() {
    let mock = two_tools().await;
    let gateway = Arc::new(Setup::simple(&mock).start().await);
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let client = gateway.client("alice", "main");
            let (done, answered) = (Arc::clone(&done), Arc::clone(&answered));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let answer = client.call("a", json!({ "message": "x" })).await;
                    assert_eq!(answer.text(), r#"{"message":"x"}"#);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut revision = status(&gateway).await["revision"].as_u64().unwrap();
    for round in 0..10 {
        let before = answered.load(Ordering::Relaxed);
        match round % 2 {
            0 => gateway.write("policies/round.cedar", &format!("{} // {round}\n", permit("b"))),
            _ => gateway.write(
                "vmcps/main.toml",
                &format!("title = \"m{round}\"\nconnectors = [\"up\"]\n"),
            ),
        }
        revision = eventually("the next revision", || async {
            let now = status(&gateway).await["revision"].as_u64().unwrap();
            (now > revision).then_some(now)
        })
        .await;
        eventually("calls to go on", || async {
            (answered.load(Ordering::Relaxed) > before).then_some(())
        })
        .await;
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn a_call_under_way_ends_under_the_revision_it_began_with() {
    let go_on = Arc::new(tokio::sync::Notify::new());
    let reply = crate::support::Reply::After(
        Arc::clone(&go_on),
        json!({ "resultType": "complete", "content": [{ "type": "text", "text": "done" }] }),
    );
    let mock = Mock::start(Era::Modern, vec![MockTool::answering("slow", reply)]).await;
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call("slow", json!({})).await }
    });
    eventually("the call", || async { (mock.calls("slow").len() == 1).then_some(()) }).await;
    // Neither the policy, nor the connector, nor the virtual MCP is there any more.
    gateway.remove("vmcps/main.toml");
    gateway.remove("connectors/up.toml");
    gateway.write("policies/all.cedar", "forbid (principal, action, resource);");
    eventually("the virtual MCP to be gone", || async {
        (client.request("tools/list", json!({})).await.status == 404).then_some(())
    })
    .await;
    go_on.notify_one();
    assert_eq!(call.await.unwrap().text(), "done");
}
