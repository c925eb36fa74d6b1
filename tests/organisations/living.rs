//! Organisations that break, are mended, come and go, while others are served.

use hyper::Method;
use serde_json::json;

use super::{ALL, cli, echoed, fill, status, upstream};
use crate::support::{Client, EventStream, MockTool, Setup, eventually, modern_params};

/// The status and words of a request, as somebody sees them who tries paths.
async fn seen(client: &Client) -> (u16, String) {
    let answer = client.send(Method::POST, &[], r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let answer = answer.await;
    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
}

/// Waits until the upstream of an organisation can be called through it.
async fn until_served(client: &Client) {
    eventually("the organisation to serve", || async {
        let answer = client.call("who", json!({})).await;
        answer.message.pointer("/result/content/0/text").map(|_| ())
    })
    .await;
}

async fn listen(client: &Client) -> EventStream {
    let params = modern_params(json!({ "notifications": { "toolsListChanged": true } }));
    let method = "subscriptions/listen";
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let headers = Client::modern_headers(method, &params);
    let mut stream = client.stream(Method::POST, &headers, body.to_string()).await;
    let first = stream.next().await.expect("an acknowledgement");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    stream
}

#[tokio::test]
async fn a_broken_organisation_is_out_of_service_alone_and_comes_up_when_it_is_mended() {
    let (acme, beta) = (upstream("acme").await, upstream("beta").await);
    let broken = "title = \"Main\"\nconnectors = [\"upp\"]\n";
    let gateway = Setup::simple(&beta)
        .organisation("acme", |setup| fill(setup, &acme, "facts").file("vmcps/main.toml", broken))
        .organisation("beta", |setup| fill(setup, &beta, "facts"))
        .file("orgs/README.md", "who is who")
        .start()
        .await;
    let who =
        async |org: &str| gateway.client_of(org, "alice", "main").call("who", json!({})).await;
    assert_eq!(who("beta").await.text(), "beta");
    let unknown = seen(&gateway.anonymous_of("nobody", "main")).await;
    assert_eq!(seen(&gateway.anonymous_of("acme", "main")).await.0, unknown.0);
    let answer = gateway.client_of("acme", "alice", "main").send(Method::POST, &[], "{}").await;
    assert_eq!(answer.status, 401);

    let top = status(&gateway, "").await;
    let told = &top["organisations"][0];
    assert_eq!((&told["id"], &told["state"]), (&json!("acme"), &json!("out of service")));
    assert!(told["problems"].to_string().contains("did you mean `up`?"), "{told}");
    assert_eq!(top["problems"], json!([]), "it is no problem of another");
    let shown = gateway.cli(&["status"]).await;
    assert!(!shown.ok && shown.stdout.contains("out of service"), "{shown:?}");
    let asked = cli(&gateway, "acme", &["status"]).await;
    assert!(!asked.ok && asked.stderr.contains("did you mean `up`?"), "{asked:?}");

    let file = "orgs/acme/vmcps/main.toml";
    let good = "title = \"Main\"\nconnectors = [\"up\"]\n";
    gateway.write(file, good);
    until_served(&gateway.client_of("acme", "alice", "main")).await;
    assert_eq!(who("acme").await.text(), "acme");

    // Broken again it serves on, and the other changes meanwhile.
    gateway.write(file, broken);
    eventually("the problem of acme", || async {
        let top = status(&gateway, "").await;
        let told = &top["organisations"][0];
        (told["state"] == "serving" && !told["problems"].as_array()?.is_empty()).then_some(())
    })
    .await;
    assert_eq!(who("acme").await.text(), "acme");
    gateway.write(
        "orgs/beta/policies/all.cedar",
        "permit (principal, action == Action::\"up/who\", resource);",
    );
    eventually("the changed policy of beta", || async {
        let names = gateway.client_of("beta", "alice", "main").tool_names().await;
        (names == ["who"]).then_some(())
    })
    .await;
    assert_eq!(gateway.client("alice", "main").tool_names().await, ["echo", "long", "who"]);
}

#[tokio::test]
async fn a_broken_top_keeps_the_process_from_starting_as_ever() {
    let mock = upstream("acme").await;
    let refused = Setup::new()
        .file("vmcps/main.toml", "title = 1\n")
        .organisation("acme", |setup| fill(setup, &mock, "facts"))
        .start_refused()
        .await;
    assert!(refused.contains("main.toml"), "{refused}");
}

#[tokio::test]
async fn an_organisation_comes_and_goes_while_the_gateway_serves() {
    let (top, acme) = (upstream("default").await, upstream("acme").await);
    let setup = Setup::simple(&top).organisation("acme", |setup| fill(setup, &acme, "facts"));
    let (folder, aside) = (setup.config().join("orgs/acme"), setup.data().with_file_name("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    let gateway = setup.start().await;
    let never = seen(&gateway.anonymous_of("acme", "main")).await;
    let comes = async || until_served(&gateway.client_of("acme", "alice", "main")).await;
    std::fs::rename(&aside, &folder).unwrap();
    comes().await;
    let client = gateway.client_of("acme", "alice", "main");
    assert_eq!(client.call("who", json!({})).await.text(), "acme");
    assert_eq!(echoed(&client).await["count"], 2);

    let mut heard = listen(&client).await;
    let mut of_top = listen(&gateway.client("alice", "main")).await;
    let session = client.session("2025-11-25").await;
    let mut own = session.listen(None).await;
    own.next_event().await.expect("a priming event");
    let asked_before = top.received().len();
    std::fs::rename(&folder, &aside).unwrap();
    let end = heard.next().await.expect("a result at the end");
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&json!(7), &json!("complete")));
    assert_eq!(heard.next().await, None);
    while own.next_event().await.is_some() {}
    assert_eq!(seen(&gateway.anonymous_of("acme", "main")).await, never);
    let answer = client.send(Method::POST, &[], "{}").await;
    assert_eq!(answer.status, 401, "its keys are no keys");
    assert_eq!(status(&gateway, "").await.get("organisations"), None);
    let gone = cli(&gateway, "acme", &["status"]).await;
    assert!(gone.stderr.contains("no organisation `acme`"), "{gone:?}");
    eventually("the upstream to be let go", || async {
        let listeners = acme.tell("notifications/tools/list_changed", json!({}));
        (listeners == 0).then_some(())
    })
    .await;

    // The others did not notice.
    assert_eq!(gateway.client("alice", "main").call("who", json!({})).await.text(), "default");
    assert!(top.received().len() > asked_before);
    top.set_tools(vec![MockTool::echo("other")]);
    top.tell("notifications/tools/list_changed", json!({}));
    let told = of_top.next().await.expect("word of the change");
    assert_eq!(told["method"], "notifications/tools/list_changed");

    // What it had in the store was kept for it; its sessions were not.
    std::fs::rename(&aside, &folder).unwrap();
    comes().await;
    assert_eq!(echoed(&client).await["count"], 4);
    let id = session.id.clone().unwrap();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let late = client.send(Method::POST, &[("mcp-session-id", &id)], ping).await;
    assert_eq!(late.status, 404);
}

#[tokio::test]
async fn a_folder_that_is_exchanged_whole_is_followed() {
    let (top, acme) = (upstream("default").await, upstream("acme").await);
    let gateway =
        Setup::simple(&top).organisation("acme", |setup| fill(setup, &acme, "facts")).start().await;
    let config = gateway.config();
    let (folder, new) = (config.join("orgs/acme"), gateway.data().with_file_name("new"));
    let copied = std::process::Command::new("cp").arg("-r").args([&folder, &new]).status();
    assert!(copied.unwrap().success());
    std::fs::rename(&folder, gateway.data().with_file_name("old")).unwrap();
    std::fs::rename(&new, &folder).unwrap();
    let tools = async |policy: &str, names: &[&str]| {
        gateway.write("orgs/acme/policies/all.cedar", policy);
        eventually(&format!("{names:?}"), || async {
            let client = gateway.client_of("acme", "alice", "main");
            let list = client.request("tools/list", json!({})).await;
            if list.status != 200 {
                return None;
            }
            (client.tool_names().await == names).then_some(())
        })
        .await;
    };
    tools("permit (principal, action == Action::\"up/who\", resource);", &["who"]).await;
    tools(ALL, &["echo", "long", "who"]).await;
}
