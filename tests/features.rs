//! Prompts, resources, completion and tasks of several connectors behind one endpoint.
//!
//! The connectors are the conformance fixture twice, once in each era: everything they offer
//! has the same names and URIs, so nothing is told apart but by the gateway.

use serde_json::{Value, json};

use crate::{
    conformance::Fixture,
    support::{Client, Rpc, Setup, TestGateway, eventually},
};

/// Who may do what: alice everything, bob the prompts of `new` alone, carol two tools.
const POLICIES: &str = r#"
permit (principal == User::"alice@example.com", action, resource);
permit (principal == User::"bob@example.com", action == Action::"get_prompt", resource in Connector::"new");
permit (principal == User::"carol@example.com", action == Action::"new/slow_compute", resource);
permit (principal == User::"carol@example.com", action == Action::"old/test_simple_text", resource);
"#;

/// A gateway over the fixture in both eras; `all` has both connectors, `one` the modern one.
async fn gateway() -> (TestGateway, [Fixture; 2]) {
    let fixtures = [Fixture::start("modern").await, Fixture::start("legacy").await];
    let mut setup = Setup::new().settings("[limits]\npage = 7");
    for (name, fixture) in ["new", "old"].iter().zip(&fixtures) {
        let url = &fixture.url;
        let text = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
        setup = setup.file(&format!("connectors/{name}.toml"), &text);
    }
    let gateway = setup
        .vmcp("all", &["new", "old"])
        .vmcp("one", &["new"])
        .key("alice", &[])
        .key("bob", &[])
        .key("carol", &[])
        .policy("all", POLICIES)
        .start()
        .await;
    eventually("both connectors' prompts", || async {
        let prompts = entries(&gateway.client("alice", "all"), "prompts/list", "prompts").await;
        (prompts.len() == 10).then_some(())
    })
    .await;
    (gateway, fixtures)
}

/// All entries of a list, page by page.
async fn entries(client: &Client, method: &str, member: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut params = json!({});
    loop {
        let page = client.request(method, params).await;
        let Some(result) = page.message.get("result") else { return all };
        all.extend(result[member].as_array().unwrap().iter().cloned());
        match result.get("nextCursor") {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => return all,
        }
    }
}

fn texts(entries: &[Value], member: &str) -> Vec<String> {
    entries.iter().map(|entry| entry[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn capabilities_are_those_that_work_for_the_caller() {
    let (gateway, _fixtures) = gateway().await;
    for (who, vmcp, prompts, resources) in [
        ("alice", "all", true, true),
        ("alice", "one", true, true),
        ("bob", "all", true, false),
        ("bob", "one", true, false),
        ("carol", "all", false, false),
    ] {
        let client = gateway.client(who, vmcp);
        let discovered = client.request("server/discover", json!({})).await;
        let session = client.session("2025-11-25").await;
        let modern = &discovered.result()["capabilities"];
        let legacy = &session.initialized["capabilities"];
        for capabilities in [modern, legacy] {
            let has = |name: &str| capabilities.get(name).is_some();
            assert!(has("tools"), "{who} at {vmcp}: {capabilities}");
            assert_eq!(has("prompts"), prompts, "{who} at {vmcp}: {capabilities}");
            assert_eq!(has("resources"), resources, "{who} at {vmcp}: {capabilities}");
            assert_eq!(has("completions"), prompts || resources, "{who}: {capabilities}");
        }
        // What is not advertised is not answered, and what is, is.
        for (method, works) in [
            ("prompts/list", prompts),
            ("resources/list", resources),
            ("resources/templates/list", resources),
        ] {
            let answer = client.request(method, json!({})).await;
            let found = (answer.status.as_u16(), answer.message.get("result").is_some());
            let wanted = if works { (200, true) } else { (404, false) };
            assert_eq!(found, wanted, "{who} at {vmcp}: {method}");
            let answer = session.request(method, json!({})).await;
            assert_eq!(answer.message.get("result").is_some(), works, "{who}: {method}");
        }
        let tasks = modern["extensions"].get("io.modelcontextprotocol/tasks").is_some();
        assert!(tasks, "{modern}");
        assert!(legacy["extensions"].get("io.modelcontextprotocol/tasks").is_none(), "{legacy}");
    }
}

#[tokio::test]
async fn names_and_uris_of_several_connectors_are_told_apart() {
    let (gateway, _fixtures) = gateway().await;
    let client = gateway.client("alice", "all");
    let prompts = texts(&entries(&client, "prompts/list", "prompts").await, "name");
    let resources = texts(&entries(&client, "resources/list", "resources").await, "uri");
    let templates = entries(&client, "resources/templates/list", "resourceTemplates").await;
    let templates = texts(&templates, "uriTemplate");
    let once = |list: &[String], one: &str| list.iter().filter(|it| *it == one).count();
    for connector in ["new", "old"] {
        let prompt = format!("{connector}__test_prompt_with_arguments");
        assert_eq!(once(&prompts, &prompt), 1, "{prompts:?}");
        let got = json!({ "name": prompt, "arguments": { "arg1": "a", "arg2": "b" } });
        let got = client.request("prompts/get", got).await;
        assert!(got.result()["messages"].to_string().contains("a"), "{got:?}");

        let uri = format!("mcp+{connector}:test://static-text");
        assert_eq!(once(&resources, &uri), 1, "{resources:?}");
        let read = client.request("resources/read", json!({ "uri": uri })).await;
        assert_eq!(read.result()["contents"][0]["uri"], uri);
        assert_eq!(read.result()["cacheScope"], "private");

        let template = format!("mcp+{connector}:test://template/{{id}}/data");
        assert_eq!(once(&templates, &template), 1, "{templates:?}");
        let uri = template.replace("{id}", "77");
        let read = client.request("resources/read", json!({ "uri": uri })).await;
        assert_eq!(read.result()["contents"][0]["uri"], uri);
        assert!(read.result()["contents"][0]["text"].as_str().unwrap().contains("77"));

        let tool = format!("{connector}__test_embedded_resource");
        let called = client.call(&tool, json!({})).await;
        let embedded = called.result()["content"][0]["resource"]["uri"].as_str().unwrap();
        assert!(embedded.starts_with(&format!("mcp+{connector}:test://")), "{embedded}");

        for of in [
            json!({ "type": "ref/prompt", "name": prompt }),
            json!({ "type": "ref/resource", "uri": template }),
        ] {
            let wanted = json!({ "ref": of, "argument": { "name": "arg1", "value": "t" } });
            let completed = client.request("completion/complete", wanted).await;
            assert!(completed.result()["completion"]["values"].is_array(), "{completed:?}");
        }
    }
    for foreign in ["test://static-text", "mcp+other:test://static-text", "mcp+new", ""] {
        let read = client.request("resources/read", json!({ "uri": foreign })).await;
        assert_eq!(read.code(), -32602, "{foreign}: {read:?}");
    }
}

#[tokio::test]
async fn one_connector_keeps_its_names() {
    let (gateway, _fixtures) = gateway().await;
    let client = gateway.client("alice", "one");
    let prompts = texts(&entries(&client, "prompts/list", "prompts").await, "name");
    assert!(prompts.contains(&"test_simple_prompt".to_owned()), "{prompts:?}");
    let resources = texts(&entries(&client, "resources/list", "resources").await, "uri");
    assert!(resources.contains(&"test://static-text".to_owned()), "{resources:?}");
    let read = client.request("resources/read", json!({ "uri": "test://static-text" })).await;
    assert_eq!(read.result()["contents"][0]["uri"], "test://static-text");
}

#[tokio::test]
async fn what_may_not_be_known_is_answered_like_what_is_missing() {
    let (gateway, _fixtures) = gateway().await;
    let bob = gateway.client("bob", "all");
    let seen = texts(&entries(&bob, "prompts/list", "prompts").await, "name");
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(seen.iter().all(|name| name.starts_with("new__")), "{seen:?}");
    let prompt = |name: &str| json!({ "name": name });
    let hidden = bob.request("prompts/get", prompt("old__test_simple_prompt")).await;
    let missing = bob.request("prompts/get", prompt("old__test_simplr_prompt")).await;
    let same = |rpc: &Rpc| (rpc.status, rpc.message["error"]["code"].clone());
    assert_eq!(same(&hidden), same(&missing));
    let blank = |rpc: &Rpc, name: &str| {
        rpc.message["error"]["message"].as_str().unwrap().replace(name, "…")
    };
    assert_eq!(
        blank(&hidden, "old__test_simple_prompt"),
        blank(&missing, "old__test_simplr_prompt")
    );
    // Nothing was asked of the connector for it: its row has no connector.
    let rows = gateway.audit().await;
    let refused = rows.iter().filter(|row| row["code"] == "not_found").collect::<Vec<_>>();
    assert_eq!(refused.len(), 2, "{rows:?}");
    assert!(refused.iter().all(|row| row.get("connector").is_none()), "{refused:?}");
}

#[tokio::test]
async fn a_cursor_is_of_one_caller_and_one_list() {
    let (gateway, _fixtures) = gateway().await;
    let alice = gateway.client("alice", "all");
    let first = alice.request("tools/list", json!({})).await;
    let cursor = first.result()["nextCursor"].clone();
    let next = alice.request("tools/list", json!({ "cursor": cursor })).await;
    assert!(next.message.get("result").is_some());
    let elsewhere = gateway.client("alice", "one");
    let other = gateway.client("carol", "all");
    for (client, method) in
        [(&alice, "prompts/list"), (&elsewhere, "tools/list"), (&other, "tools/list")]
    {
        let refused = client.request(method, json!({ "cursor": cursor })).await;
        assert_eq!(refused.code(), -32602, "{method}: {refused:?}");
    }
    for bad in ["", "x", "AAAA"] {
        let refused = alice.request("tools/list", json!({ "cursor": bad })).await;
        assert_eq!(refused.code(), -32602, "{bad}: {refused:?}");
    }
}

#[tokio::test]
async fn a_task_is_reached_by_its_owner_alone() {
    let (gateway, _fixtures) = gateway().await;
    let alice = gateway.client("alice", "all");
    let can = json!({ "io.modelcontextprotocol/clientCapabilities":
        { "extensions": { "io.modelcontextprotocol/tasks": {} } } });
    let tool = json!({ "name": "new__slow_compute", "_meta": can,
        "arguments": { "seconds": 1, "label": "mine" } });
    let created = alice.request("tools/call", tool).await;
    assert_eq!(created.result()["resultType"], "task", "{created:?}");
    let id = created.result()["taskId"].as_str().unwrap().to_owned();
    let get = |id: &str| json!({ "taskId": id, "_meta": can });
    let mine = alice.request("tasks/get", get(&id)).await;
    assert_eq!(mine.result()["taskId"], id, "the same task has the same id");
    // Carol may call the tool, and has neither its id nor the task.
    let changed = format!("{}{}", &id[..id.len() - 1], if id.ends_with('A') { "B" } else { "A" });
    let elsewhere = gateway.client("alice", "one");
    for (who, id) in [
        (&gateway.client("carol", "all"), id.as_str()),
        (&elsewhere, id.as_str()),
        (&alice, changed.as_str()),
        (&alice, "task-1"),
        (&alice, ""),
    ] {
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let mut params = get(id);
            params["inputResponses"] = json!({});
            let refused = who.request(method, params).await;
            assert_eq!(refused.code(), -32602, "{method} {id}: {refused:?}");
        }
    }
    let undeclared = alice.request("tasks/get", json!({ "taskId": id })).await;
    assert_eq!((undeclared.status.as_u16(), undeclared.code()), (400, -32021));
    eventually("the end of the task", || async {
        let now = alice.request("tasks/get", get(&id)).await;
        (now.result()["status"] == "completed").then_some(())
    })
    .await;
}
